import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.ops import ranking


def by_hand(first, second, weight):
  """Every comparison, in float64."""
  a, b = (np.float64(x) for x in (first, second))
  a /= np.linalg.norm(a, axis=1, keepdims=True)
  b /= np.linalg.norm(b, axis=1, keepdims=True)
  wins = total = 0.0
  count = len(a)
  for i in range(count):
    for j in range(count):
      for k in range(count):
        if j == k:
          continue
        w = weight[i] * weight[j] * weight[k]
        own, other = a[i] @ b[i], a[j] @ b[k]
        wins += w * (1.0 if own > other else 0.5 if own == other else 0.0)
        total += w
  return wins, total


def test_comparisons_are_those_of_the_loops():
  rng = np.random.default_rng(0)
  first = rng.normal(size=(6, 4)).astype(np.float32)
  second = (first + rng.normal(size=(6, 4))).astype(np.float32)
  weight = np.array([1, 1, 0, 1, 1, 1], np.float32)
  got = ranking.pair_auc(first, second, weight)
  np.testing.assert_allclose(got, by_hand(first, second, weight), rtol=1e-6)
  assert 0.5 < got[0] / got[1] < 1


def test_perfect_constant_and_lonely_rows():
  rows = np.eye(4, dtype=np.float32)
  ones = np.ones(4, np.float32)
  wins, total = ranking.pair_auc(rows, 3 * rows, ones)
  assert wins == total == 4 * 12
  wins, total = ranking.pair_auc(ones[:, None], ones[:, None], ones)
  assert wins == total / 2
  assert ranking.pair_auc(rows[:1], rows[:1], ones[:1])[1] == 0


def test_rows_of_zeros_are_no_division_by_zero():
  zeros = np.zeros((3, 2), np.float32)
  wins, total = ranking.pair_auc(zeros, zeros, np.ones(3, np.float32))
  assert wins == total / 2


def test_sets_of_other_shapes_are_refused():
  with pytest.raises(errors.InputError, match="second"):
    ranking.pair_auc(np.ones((3, 2)), np.ones((3, 3)), np.ones(3))
