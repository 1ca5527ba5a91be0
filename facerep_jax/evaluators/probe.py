"""Linear read-outs of a frozen representation."""

import numpy as np

from facerep_jax import errors

_STRENGTHS = tuple(10.0**k for k in range(-4, 5))


def _fit(x, y, strength):
  """Ridge regression on standardised features; returns a predictor."""
  mean, deviation = x.mean(axis=0), x.std(axis=0)
  deviation = np.where(deviation > 0, deviation, 1.0)
  z = (x - mean) / deviation
  gram = z.T @ z / len(z) + strength * np.eye(z.shape[1])
  weights = np.linalg.solve(gram, z.T @ (y - y.mean(axis=0)) / len(z))
  offset = y.mean(axis=0)
  return lambda new: (new - mean) / deviation @ weights + offset


def ridge(
  train_x: np.ndarray,
  train_y: np.ndarray,
  train_group: np.ndarray,
  test_x: np.ndarray,
) -> np.ndarray:
  """Fits a ridge regression and predicts.

  The strength is chosen on a fifth of the training groups; the read-out is
  then fitted on all of them. Test data takes no part in any choice.

  Args:
    train_x: [N, D] float, features.
    train_y: [N, K] float, what is read out.
    train_group: [N], the person of each row; groups are never divided.
    test_x: [M, D] float.

  Returns:
    [M, K] float64, predictions.

  Raises:
    InputError: There are fewer than two groups.
  """
  groups = np.unique(train_group)
  if len(groups) < 2:
    raise errors.InputError(
      f"a read-out needs two people or more for training, got {len(groups)}."
    )
  train_x, train_y, test_x = (
    np.asarray(a, np.float64) for a in (train_x, train_y, test_x)
  )
  held_out = np.isin(train_group, groups[:: min(5, len(groups))])
  errors_by_strength = []
  for strength in _STRENGTHS:
    predict = _fit(train_x[~held_out], train_y[~held_out], strength)
    error = predict(train_x[held_out]) - train_y[held_out]
    errors_by_strength.append(np.mean(error**2))
  best = _STRENGTHS[int(np.argmin(errors_by_strength))]
  return _fit(train_x, train_y, best)(test_x)


def r2(predicted: np.ndarray, true: np.ndarray) -> float:
  """Returns the share of variance that is explained, over all columns.

  Args:
    predicted: [M, K] float.
    true: [M, K] float.

  Returns:
    1 for a perfect prediction, 0 for the mean of `true`, less for worse.
  """
  residual = np.sum((true - predicted) ** 2)
  return float(1 - residual / np.sum((true - true.mean(axis=0)) ** 2))
