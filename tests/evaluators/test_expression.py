import numpy as np
import pytest
from sklearn import metrics

from facerep_jax import errors
from facerep_jax.evaluators import base, expression
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
GROUP = np.arange(120) // 4
# Every other image is neutral.
TRUE = np.where(np.arange(120) % 2, 0, RNG.integers(1, 4, 120))
LABELS = {"expression": TRUE}
NAMES = ("neutral", "happy", "sad", "angry")


def _values(found):
  return {name: score.value for name, score in found.scores.items()}


def test_perfect_logits():
  found = expression.measure(50.0 * np.eye(4)[TRUE], LABELS, GROUP, names=NAMES)
  assert list(_values(found)) == [
    "accuracy",
    "macro_f1",
    "macro_auc",
    "balanced_accuracy",
  ]
  np.testing.assert_allclose(list(_values(found).values()), 100)
  np.testing.assert_allclose(found.quality, 1)
  assert found.details["confusion"] == np.diag(np.bincount(TRUE)).tolist()
  assert found.details["classes"] == list(NAMES)


def test_a_constant_answer_has_the_values_of_guessing():
  found = expression.measure(np.tile([1.0, 0, 0, 0], (120, 1)), LABELS, GROUP)
  values = _values(found)
  assert values["accuracy"] == found.details["largest_class"] == 50
  assert values["balanced_accuracy"] == 25
  assert values["macro_auc"] == 50
  # F1 of neutral is 2 * 60 / (60 + 120); of the others 0.
  np.testing.assert_allclose(values["macro_f1"], 100 * 2 / 3 / 4)


def test_all_measures_are_those_of_sklearn():
  logits = RNG.normal(size=(120, 4)) + np.eye(4)[TRUE]
  found = expression.measure(logits, LABELS, GROUP)
  values, chosen = _values(found), logits.argmax(axis=1)
  probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  want = {
    "accuracy": metrics.accuracy_score(TRUE, chosen),
    "macro_f1": metrics.f1_score(TRUE, chosen, average="macro"),
    "macro_auc": metrics.roc_auc_score(TRUE, probability, multi_class="ovr"),
    "balanced_accuracy": metrics.balanced_accuracy_score(TRUE, chosen),
  }
  for name, value in want.items():
    np.testing.assert_allclose(values[name], 100 * value)
    assert found.scores[name].low < values[name] < found.scores[name].high
  np.testing.assert_allclose(found.quality, probability[range(120), TRUE])


def test_classes_that_training_lacks_are_wrong_and_those_of_no_image_unused():
  outputs = np.concatenate([np.eye(3)[np.minimum(TRUE, 2)] * 9], axis=1)
  found = expression.measure(outputs, LABELS, GROUP)
  assert (found.quality[TRUE == 3] == 0).all()
  values = _values(found)
  np.testing.assert_allclose(values["accuracy"], 100 * np.mean(TRUE < 3))
  np.testing.assert_allclose(values["balanced_accuracy"], 75)
  wide = np.pad(50.0 * np.eye(4)[TRUE], ((0, 0), (0, 2)))
  np.testing.assert_allclose(
    list(_values(expression.measure(wide, LABELS, GROUP)).values()), 100
  )


def test_a_representation_of_the_class_is_read_out():
  x = np.eye(4)[TRUE] @ RNG.normal(size=(4, 6)) + 3
  part = base.Part(x[:80], {"expression": TRUE[:80]}, GROUP[:80])
  found = expression.measure(
    expression.fit(part, 7).outputs(x[80:]),
    {"expression": TRUE[80:]},
    GROUP[80:],
  )
  assert _values(found)["accuracy"] == 100
  assert len(found.details["classes"]) == 7


def test_intervals_are_over_people():
  logits = RNG.normal(size=(120, 4))
  made_up.assert_no_interval(expression.measure(logits, LABELS, np.zeros(120)))


def test_refuses_what_is_no_class():
  with pytest.raises(
    errors.InputError, match="class numbers from 0, got int64"
  ):
    expression.measure(np.zeros((120, 4)), {"expression": TRUE - 1}, GROUP)
  with pytest.raises(errors.InputError, match="float64"):
    expression.measure(np.zeros((120, 4)), {"expression": TRUE * 1.0}, GROUP)
  with pytest.raises(errors.InputError, match="3 names for 4 classes"):
    expression.measure(np.zeros((120, 4)), LABELS, GROUP, names=NAMES[:3])
