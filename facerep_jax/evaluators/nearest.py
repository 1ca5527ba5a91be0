"""Whether the nearest of several things is the right one."""

import numpy as np

from facerep_jax import errors

# Distances that differ by less are equal but for rounding.
_ROUNDING = 1e-9


def is_right(distance: np.ndarray, right: np.ndarray) -> np.ndarray:
  """Says of each row whether the right column is nearest.

  Args:
    distance: [M, K] float, from M things to K others; smaller is nearer.
    right: [M] int, the right one of the K.

  Returns:
    [M] float64: 1 where it is, 0 where it is not; where n are nearest alike and
    the right one is among them, 1 / n, what guessing among them would give.

  Raises:
    InputError: Shapes do not fit.
  """
  distance = np.asarray(distance, np.float64)
  right = np.asarray(right)
  errors.check_shape("distance", distance, "M K", "One row per thing.")
  errors.check_shape("right", right, str(len(distance)), "One per row.")
  least = distance.min(axis=1, keepdims=True)
  is_nearest = distance <= least + _ROUNDING * (1 + np.abs(least))
  return is_nearest[np.arange(len(right)), right] / is_nearest.sum(axis=1)


def cosine_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns 1 less the cosine of features.

  Args:
    x: [M, D] float.
    y: [K, D] float.

  Returns:
    [M, K] float64, in [0, 2]; 1 where a feature is 0.

  Raises:
    InputError: Shapes do not fit.
  """
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  errors.check_shape("features", x, "M D", "One row per thing.")
  errors.check_shape("others", y, f"K {x.shape[1]}", "Of the same features.")
  return 1 - _unit(x) @ _unit(y).T


def l1_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns mean absolute differences.

  Args:
    x: [M, ...] float.
    y: [K, ...] float, of the same shape but for K.

  Returns:
    [M, K] float64.

  Raises:
    InputError: Shapes do not fit.
  """
  x, y = (np.asarray(z, np.float64).reshape(len(z), -1) for z in (x, y))
  errors.check_shape("others", y, f"K {x.shape[1]}", "Of the same size.")
  return np.stack([np.abs(y - row).mean(axis=1) for row in x])


def _unit(x):
  length = np.linalg.norm(x, axis=1, keepdims=True)
  return x / np.where(length > 0, length, 1)
