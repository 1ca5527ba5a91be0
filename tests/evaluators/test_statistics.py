import numpy as np
import pytest
from sklearn import metrics

from facerep_jax.evaluators import statistics

RNG = np.random.default_rng(0)
N = 200
# Coarse, so that there are ties; some rows are not drawn at all.
SCORE = RNG.integers(0, 12, N) / 4.0
IS_ON = RNG.random(N) < 0.3 + 0.1 * SCORE
WEIGHTS = RNG.integers(0, 4, N).astype(float)
ROWS = np.repeat(np.arange(N), WEIGHTS.astype(int))


def test_weights_are_copies_of_rows():
  values = RNG.normal(size=N)
  got = statistics.median(values)(WEIGHTS)
  assert got == np.quantile(values[ROWS], 0.5, method="inverted_cdf")
  true = RNG.normal(5, 2, (N, 3))
  predicted = true + RNG.normal(size=(N, 3))
  want = metrics.r2_score(
    true[ROWS], predicted[ROWS], multioutput="variance_weighted"
  )
  np.testing.assert_allclose(statistics.r2(predicted, true)(WEIGHTS), want)
  want = metrics.roc_auc_score(IS_ON[ROWS], SCORE[ROWS])
  np.testing.assert_allclose(statistics.auc(SCORE, IS_ON)(WEIGHTS), want)


def test_of_two_middle_values_the_lower_one_is_the_median():
  values = np.array([3.0, 1.0, 4.0, 2.0])
  assert statistics.median(values)(np.ones(4)) == 2
  # 1, 1, 3, 4: the second and the third are in the middle.
  assert statistics.median(values)(np.array([1.0, 2, 1, 0])) == 1
  assert statistics.median(values)(np.array([1.0, 1, 1, 0])) == 3


def test_r2_of_known_predictions():
  true = np.array([[1.0], [2.0], [3.0]])
  ones = np.ones(3)
  assert statistics.r2(true, true)(ones) == 1
  assert statistics.r2(np.full((3, 1), 2.0), true)(ones) == 0
  assert statistics.r2(true[::-1], true)(ones) == -3
  assert np.isnan(statistics.r2(true, true)(np.array([0.0, 4, 0])))


def test_auc_of_known_scores():
  on = np.array([False, False, True, True])
  for score, want in (
    ([0, 1, 2, 3], 1),
    ([7, 7, 7, 7], 0.5),
    ([1, 2, 1, 2], 0.5),
  ):
    assert statistics.auc(np.array(score), on)(np.ones(4)) == want
  assert np.isnan(statistics.auc(np.arange(4), on)(np.array([1.0, 1, 0, 0])))


def test_the_mean_of_areas_leaves_out_undefined_ones():
  score = np.stack([SCORE, SCORE], axis=1)
  is_on = np.stack([IS_ON, np.ones(N, bool)], axis=1)
  got = statistics.mean_auc(score, is_on)(WEIGHTS)
  assert got == statistics.auc(SCORE, IS_ON)(WEIGHTS)
  assert np.isnan(statistics.mean_auc(score[:, 1:], is_on[:, 1:])(WEIGHTS))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_accepted_is_the_best_of_all_thresholds(rate):
  score, same = SCORE[ROWS], IS_ON[ROWS]
  found = [
    np.mean(score[same] >= threshold)
    for threshold in [*np.unique(score), np.inf]
    if np.mean(score[~same] >= threshold) <= rate
  ]
  got = statistics.accepted(SCORE, IS_ON, rate)(WEIGHTS)
  np.testing.assert_allclose(got, max(found))


def test_measures_of_classes_are_those_of_sklearn():
  true = RNG.integers(0, 4, N)
  chosen = np.where(RNG.random(N) < 0.5, true, RNG.integers(0, 5, N))
  matrix = statistics.confusion(true, chosen, 6)(WEIGHTS)
  np.testing.assert_array_equal(
    matrix, metrics.confusion_matrix(true[ROWS], chosen[ROWS], labels=range(6))
  )
  # Class 4 is chosen at times but never true: no class of this test.
  want = metrics.f1_score(
    true[ROWS], chosen[ROWS], labels=range(4), average="macro"
  )
  np.testing.assert_allclose(statistics.macro_f1(matrix), want)
  recalls = [np.mean(chosen[ROWS][true[ROWS] == k] == k) for k in range(4)]
  np.testing.assert_allclose(
    statistics.balanced_accuracy(matrix), np.mean(recalls)
  )


def test_pearson_counts_rows_as_often_as_their_weight():
  rng = np.random.default_rng(0)
  true = rng.normal(size=(40, 4))
  predicted = true + rng.normal(size=(40, 4))
  predicted[:, 2], true[:, 3] = 5.0, 1.0
  weights = rng.integers(0, 3, 40)
  got = statistics.pearson(predicted, true)(weights.astype(float))
  repeated = np.repeat(np.arange(40), weights)
  for k in (0, 1):
    want = np.corrcoef(predicted[repeated, k], true[repeated, k])[0, 1]
    np.testing.assert_allclose(got[k], want, rtol=1e-10)
  assert got[2] == 0 and np.isnan(got[3])
