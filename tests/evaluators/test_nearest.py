import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import nearest

RNG = np.random.default_rng(0)


def test_right_wrong_and_ties():
  distance = np.array([[0.0, 1, 2], [0, 1, 2], [3, 1, 1], [5, 5, 5]])
  found = nearest.is_right(distance, np.array([0, 1, 2, 1]))
  np.testing.assert_allclose(found, [1, 0, 1 / 2, 1 / 3])


def test_distances_are_those_of_a_loop():
  x, y = RNG.normal(size=(4, 6)), RNG.normal(size=(3, 6))
  cosine, l1 = nearest.cosine_distances(x, y), nearest.l1_distances(x, y)
  for i, a in enumerate(x):
    for k, b in enumerate(y):
      want = 1 - a @ b / np.sqrt(a @ a * (b @ b))
      np.testing.assert_allclose(cosine[i, k], want)
      np.testing.assert_allclose(l1[i, k], np.abs(a - b).mean())
  pictures = x.reshape(4, 3, 2), y.reshape(3, 3, 2)
  np.testing.assert_array_equal(nearest.l1_distances(*pictures), l1)


def test_nothing_is_as_far_from_all():
  found = nearest.cosine_distances(np.zeros((2, 3)), RNG.normal(size=(4, 3)))
  np.testing.assert_array_equal(found, 1)


def test_refuses_other_shapes():
  with pytest.raises(errors.InputError, match="right: expected"):
    nearest.is_right(np.ones((2, 3)), np.array([0]))
  with pytest.raises(errors.InputError, match="others: expected"):
    nearest.cosine_distances(np.ones((2, 3)), np.ones((2, 4)))
  with pytest.raises(errors.InputError, match="others: expected"):
    nearest.l1_distances(np.ones((2, 3)), np.ones((2, 4)))
