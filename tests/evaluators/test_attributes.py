import numpy as np
import pytest
from sklearn import metrics

from facerep_jax import errors
from facerep_jax.evaluators import attributes, base
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
GROUP = np.arange(100) // 2
TRUE = (RNG.random((100, 4)) < 0.4).astype(int)
TRUE[:, 2] = 0
NAMES = ("glasses", "hat", "beard", "smile")


def test_perfect_constant_and_reversed_logits():
  sign = 2.0 * TRUE - 1
  for outputs, want in ((sign, 100), (0 * sign, 50), (-sign, 0)):
    found = attributes.measure(
      9 * outputs, {"attributes": TRUE}, GROUP, names=NAMES
    )
    assert found.scores["mean_auc"].value == want
    assert found.details["left_out"] == ["beard"]
    assert found.details["per_class"] == dict.fromkeys(
      ("glasses", "hat", "smile"), want
    )
    np.testing.assert_allclose(
      found.quality, 1 / (1 + np.exp(-9 * outputs[:, 0] * sign[:, 0]))
    )


def test_the_mean_is_that_of_sklearn():
  outputs = RNG.normal(size=(100, 4)) + TRUE
  # A column that training never had on.
  outputs[:, 3] = -np.inf
  found = attributes.measure(outputs, {"attributes": TRUE}, GROUP)
  want = [
    100 * metrics.roc_auc_score(TRUE[:, k], outputs[:, k]) for k in (0, 1)
  ] + [50]
  np.testing.assert_allclose(found.scores["mean_auc"].value, np.mean(want))
  assert list(found.details["per_class"]) == ["0", "1", "3"]
  assert np.isfinite(found.quality).all()


def test_attributes_are_read_out_of_what_holds_them():
  x = TRUE @ RNG.normal(size=(4, 5))
  part = base.Part(x[:60], {"attributes": TRUE[:60]}, GROUP[:60])
  outputs = attributes.fit(part).outputs(x[60:])
  found = attributes.measure(outputs, {"attributes": TRUE[60:]}, GROUP[60:])
  assert found.scores["mean_auc"].value == 100


def test_intervals_are_over_people():
  outputs = RNG.normal(size=(100, 4))
  made_up.assert_no_interval(
    attributes.measure(outputs, {"attributes": TRUE}, np.zeros(100))
  )


def test_expressions_become_columns():
  got = attributes.expression_multilabel(np.array([2, 0, 1]), 4)
  assert got.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
  with pytest.raises(errors.InputError, match="0 to 3, got 0 to 4"):
    attributes.expression_multilabel(np.array([4, 0]), 4)


def test_refuses_attributes_that_never_vary():
  with pytest.raises(errors.InputError, match="none has both values"):
    attributes.measure(np.zeros((100, 1)), {"attributes": TRUE[:, 2:3]}, GROUP)
  with pytest.raises(errors.InputError, match="names: 3 for 4"):
    attributes.measure(1.0 * TRUE, {"attributes": TRUE}, GROUP, names=NAMES[:3])
