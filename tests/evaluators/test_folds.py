import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import folds


def test_people_are_never_divided_and_folds_are_even():
  rng = np.random.default_rng(0)
  group = rng.permutation(np.repeat(np.arange(40).astype(str), 7))
  fold = folds.by_group(group, 5)
  assert [np.unique(fold[group == one]).size for one in set(group)] == [1] * 40
  np.testing.assert_array_equal(np.bincount(fold), [56] * 5)
  assert not np.array_equal(fold, folds.by_group(group, 5, seed=1))
  np.testing.assert_array_equal(fold, folds.by_group(group, 5))


def test_one_large_person_fills_a_fold():
  group = np.array([0] * 30 + list(range(1, 11)))
  fold = folds.by_group(group, 3)
  assert sorted(np.bincount(fold)) == [5, 5, 30]


def test_refuses_too_few_people():
  with pytest.raises(errors.InputError, match="5 folds need as many people"):
    folds.by_group(np.arange(4), 5)
