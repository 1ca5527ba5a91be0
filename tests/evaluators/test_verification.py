import json

import numpy as np
import pytest
from sklearn import metrics

from facerep_jax import errors
from facerep_jax.evaluators import verification
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
FOLD = np.arange(300) // 30
SAME = np.arange(300) % 30 < 15


def _pairs(noise):
  """Pairs of noisy copies, or of independent vectors."""
  left = RNG.normal(size=(300, 16))
  other = np.where(SAME[:, None], left, RNG.normal(size=(300, 16)))
  return left, other + noise * RNG.normal(size=(300, 16))


def _values(found):
  return [score.value for score in found.scores.values()]


def test_the_rule_of_lfw():
  left, right = _pairs(2.0)
  found = verification.cosine(left, right, SAME, FOLD)
  score = np.array(
    [a @ b / np.sqrt(a @ a) / np.sqrt(b @ b) for a, b in zip(left, right)]
  )
  accuracies = []
  for k in range(10):
    # Every middle between two scores of the other folds, one at a time.
    ordered = np.sort(score[k != FOLD])
    right_by_threshold = {
      t: np.sum((score[k != FOLD] >= t) == SAME[k != FOLD])
      for t in (ordered[:-1] + ordered[1:]) / 2
    }
    most = max(right_by_threshold.values())
    best = [t for t, n in right_by_threshold.items() if n == most]
    threshold = best[(len(best) - 1) // 2]
    assert found.details["threshold_by_fold"][k] == pytest.approx(threshold)
    is_right = (score[k == FOLD] >= threshold) == SAME[k == FOLD]
    accuracies.append(100 * np.mean(is_right))
  np.testing.assert_allclose(found.details["per_fold"], accuracies)
  assert list(found.scores) == [
    "accuracy",
    "auc",
    "tar_at_far_1e-2",
    "tar_at_far_1e-3",
  ]
  accuracy, area, tar2, tar3 = _values(found)
  np.testing.assert_allclose(accuracy, np.mean(accuracies))
  np.testing.assert_allclose(
    found.details["accuracy_deviation"], np.std(accuracies, ddof=1)
  )
  np.testing.assert_allclose(area, 100 * metrics.roc_auc_score(SAME, score))
  # One false pair of 150 is within 1 in 100, none within 1 in 1000.
  false = np.sort(score[~SAME])
  np.testing.assert_allclose(tar2, 100 * np.mean(score[SAME] > false[-2]))
  np.testing.assert_allclose(tar3, 100 * np.mean(score[SAME] > false[-1]))
  assert 60 < accuracy < 95
  assert np.mean(found.quality >= 0) == pytest.approx(accuracy / 100)


@pytest.mark.parametrize("rule", ["cosine", "pairs_linear"])
def test_intervals_draw_what_belongs_together(rule, monkeypatch):
  made_up.hurry(monkeypatch, 1e-2)
  left, right = _pairs(2.0)
  rows = FOLD < 3
  measure = lambda group: getattr(verification, rule)(
    left[rows], right[rows], SAME[rows], FOLD[rows], group=group
  )
  made_up.assert_no_interval(measure(np.zeros(90)))
  alone = measure(None).scores["accuracy"]
  assert alone.low < alone.value < alone.high


# The linear rule is fitted many times; half of the folds will do.
FEW = FOLD < 5


@pytest.mark.parametrize("rule", ["cosine", "pairs_linear"])
def test_perfect_constant_and_random_features(rule):
  measure = lambda left, right: getattr(verification, rule)(
    left[FEW], right[FEW], SAME[FEW], FOLD[FEW]
  )
  found = measure(*_pairs(0.0))
  if rule == "cosine":
    assert _values(found) == [100] * 4
  else:
    assert found.scores["accuracy"].value > 95
  constant = np.ones((300, 4))
  found = measure(constant, constant)
  assert _values(found)[:2] == [50, 50]
  noise = RNG.normal(size=(2, 300, 16))
  accuracy, area, *_ = _values(measure(*noise))
  # 150 pairs: a deviation of 4 %.
  assert 38 < accuracy < 62 and 38 < area < 62


def test_pair_labels_find_what_the_cosine_does_not():
  left, right = _pairs(0.5)
  # Common noise of a person's images that says nothing of who it is.
  left, right = (
    np.concatenate([x, 5 * RNG.normal(size=x.shape)], axis=1)
    for x in (left, right)
  )
  cosine, linear = (
    rule(left, right, SAME, FOLD // 2)
    for rule in (verification.cosine, verification.pairs_linear)
  )
  assert linear.scores["accuracy"].value > cosine.scores["accuracy"].value + 10
  assert linear.details["threshold_by_fold"] == [0] * 5


@pytest.mark.parametrize("rule", ["cosine", "pairs_linear"])
def test_nothing_is_chosen_on_the_fold_itself(rule):
  left, right = _pairs(1.0)
  swapped = SAME.copy()
  swapped[FOLD == 4] = ~SAME[FOLD == 4]
  measure = getattr(verification, rule)
  before, after = (
    measure(left[FEW], right[FEW], same[FEW], FOLD[FEW])
    for same in (SAME, swapped)
  )
  one, other = (found.details["per_fold"][4] for found in (before, after))
  # The same decisions, with every answer turned around.
  np.testing.assert_allclose(one + other, 100)


def test_the_middle_of_the_best_thresholds():
  best = verification.best_threshold
  score = np.array([0.0, 1, 2, 3])
  assert best(score, np.array([False, False, True, True])) == 1.5
  # As many right with 0.5 as with 2.5: the lower.
  assert best(score, np.array([False, True, False, True])) == 0.5
  assert best(score, np.ones(4, bool)) == 0
  assert best(score, np.zeros(4, bool)) > 3
  close = np.array([1.0, np.nextafter(1, 2)])
  assert best(close, np.array([False, True])) == close[1]


def test_the_curve_is_thinned_from_end_to_end():
  rng = np.random.default_rng(1)
  left = rng.normal(size=(2000, 3))
  right = left + 2 * rng.normal(size=left.shape)
  same, fold = rng.random(2000) < 0.5, np.arange(2000) % 10
  roc = verification.cosine(left, right, same, fold).details["roc"]
  assert len(roc) == 200 and roc[0] == [0, 0] and roc[-1] == [1, 1]
  assert (np.diff(roc, axis=0) >= 0).all()
  json.dumps(roc, allow_nan=False)


def test_zero_features_and_unusable_folds():
  zeros = np.zeros((300, 4))
  found = verification.cosine(zeros, zeros, SAME, FOLD)
  assert found.scores["accuracy"].value == 50
  with pytest.raises(errors.InputError, match="fold 0: the other folds need"):
    verification.cosine(zeros, zeros, SAME, np.zeros(300, int))
  with pytest.raises(errors.InputError, match="right: expected"):
    verification.cosine(zeros, zeros[:, :3], SAME, FOLD)
  with pytest.raises(errors.InputError, match="not finite"):
    verification.cosine(zeros + np.nan, zeros, SAME, FOLD)
