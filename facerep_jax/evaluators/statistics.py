"""Statistics as functions of how often each row counts, for the bootstrap.

Each function here prepares what does not change and returns a function of
weights [N] float64, that gives NaN where the statistic is undefined.
"""

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], float]


def median(values: np.ndarray) -> Statistic:
  """Prepares the lower median of values [N]."""
  order = np.argsort(values, kind="stable")
  ordered = np.asarray(values, np.float64)[order]

  def statistic(weights):
    sums = np.cumsum(weights[order])
    return float(ordered[np.searchsorted(sums, sums[-1] / 2)])

  return statistic


def r2(predicted: np.ndarray, true: np.ndarray) -> Statistic:
  """Prepares the share of variance explained, over all columns together.

  Args:
    predicted: [N, K] float.
    true: [N, K] float.

  Returns:
    1 for a perfect prediction, 0 for the mean of `true`, less for worse; NaN
    where `true` does not vary.
  """
  true = np.asarray(true, np.float64)
  residual = np.sum((true - predicted) ** 2, axis=1)
  # About the mean of all rows first: sums of squares then lose no digits.
  centred = true - true.mean(axis=0)
  squares = np.sum(centred**2, axis=1)

  def statistic(weights):
    mean = weights @ centred / weights.sum()
    total = weights @ squares - weights.sum() * np.sum(mean**2)
    if total <= 1e-12 * squares.sum():
      return np.nan
    return float(1 - weights @ residual / total)

  return statistic


def pearson(
  predicted: np.ndarray, true: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
  """Prepares Pearson's r of each column.

  Args:
    predicted: [N, K] float.
    true: [N, K] float.

  Returns:
    A function of weights [N] that gives [K]: 0 where the prediction does not
    vary, NaN where the truth does not.
  """
  x, y = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
  products = x * x, y * y, x * y
  floor_x, floor_y = (1e-12 * np.sum(p, axis=0) for p in products[:2])
  # Rounding alone makes no prediction vary.
  is_constant = np.ptp(predicted, axis=0) <= 1e-12 * np.abs(predicted).max()

  def statistic(weights):
    total = weights.sum()
    mean_x, mean_y = weights @ x / total, weights @ y / total
    xx, yy, xy = (weights @ p for p in products)
    xx, yy = xx - total * mean_x**2, yy - total * mean_y**2
    flat = is_constant | (xx <= floor_x)
    varies = yy > floor_y
    r = (xy - total * mean_x * mean_y) / np.sqrt(
      np.where(flat, 1, xx) * np.where(varies, yy, 1)
    )
    return np.where(varies, np.where(flat, 0, r), np.nan)

  return statistic


def slope(
  predicted: np.ndarray, true: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
  """Prepares the slope of each column of predictions over the truth.

  It is that of the line predicted = slope * true + offset of least squares.

  Args:
    predicted: [N, K] float.
    true: [N, K] float.

  Returns:
    A function of weights [N] that gives [K]: 1 for a perfect prediction, 0 for
    one that does not follow the truth; NaN where the truth does not vary.
  """
  x = np.asarray(predicted, np.float64)
  y = np.asarray(true, np.float64)
  x, y = x - x.mean(axis=0), y - y.mean(axis=0)
  squares, products = y * y, x * y
  floor = 1e-12 * np.sum(squares, axis=0)

  def statistic(weights):
    total = weights.sum()
    mean_x, mean_y = weights @ x / total, weights @ y / total
    yy = weights @ squares - total * mean_y**2
    xy = weights @ products - total * mean_x * mean_y
    varies = yy > floor
    return np.where(varies, xy / np.where(varies, yy, 1), np.nan)

  return statistic


def auc(scores: np.ndarray, is_positive: np.ndarray) -> Statistic:
  """Prepares the area under the ROC curve; ties count half.

  Args:
    scores: [N] float, higher for positives.
    is_positive: [N] bool.

  Returns:
    The area, in [0, 1]; NaN without positives or without negatives.
  """
  values, level = np.unique(scores, return_inverse=True)
  is_positive = np.asarray(is_positive, bool)
  order = np.argsort(level, kind="stable")
  is_on = is_positive[order].astype(np.float64)
  starts = np.searchsorted(level[order], np.arange(len(values)))
  is_tied = len(values) < len(order)

  def statistic(weights):
    ordered = weights[order]
    positives = ordered * is_on
    negatives = ordered - positives
    if is_tied:
      positives = np.add.reduceat(positives, starts)
      negatives = np.add.reduceat(negatives, starts)
    # Weights are whole: their sums are exact in any order.
    below = np.cumsum(negatives)
    pairs = positives.sum() * below[-1]
    if not pairs:
      return np.nan
    return float(positives @ (below - negatives / 2) / pairs)

  return statistic


def mean_auc(scores: np.ndarray, is_positive: np.ndarray) -> Statistic:
  """Prepares the mean of `auc` over columns [N, K], without undefined ones."""
  columns = [auc(s, y) for s, y in zip(scores.T, is_positive.T)]

  def statistic(weights):
    found = np.array([column(weights) for column in columns])
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else np.nan

  return statistic


def accepted(
  scores: np.ndarray, same: np.ndarray, false_rate: float
) -> Statistic:
  """Prepares the share of true pairs accepted at a rate of false ones (TAR).

  Args:
    scores: [N] float, higher for pairs of one person.
    same: [N] bool.
    false_rate: Most of the false pairs that may be accepted (FAR).

  Returns:
    The largest share over all thresholds that keep the rate; NaN without true
    or without false pairs.
  """
  # Levels from the highest score down.
  _, level = np.unique(-np.asarray(scores), return_inverse=True)
  same = np.asarray(same, bool)

  def statistic(weights):
    size = int(level.max()) + 1
    true = np.cumsum(np.bincount(level[same], weights[same], size))
    false = np.cumsum(np.bincount(level[~same], weights[~same], size))
    if not true[-1] or not false[-1]:
      return np.nan
    allowed = true[false <= false_rate * false[-1]]
    return float(allowed[-1] / true[-1]) if len(allowed) else 0.0

  return statistic


def confusion(
  true: np.ndarray, chosen: np.ndarray, num_classes: int
) -> Callable[[np.ndarray], np.ndarray]:
  """Prepares the confusion matrix [K, K]: true class by row."""
  cell = np.asarray(true) * num_classes + chosen
  shape = num_classes, num_classes
  return lambda weights: np.bincount(cell, weights, num_classes**2).reshape(
    shape
  )


def macro_f1(matrix: np.ndarray) -> float:
  """Averages F1 over the classes that have rows; of a confusion matrix."""
  has_rows = matrix.sum(axis=1) > 0
  sums = matrix.sum(axis=1) + matrix.sum(axis=0)
  return float(np.mean(2 * np.diag(matrix)[has_rows] / sums[has_rows]))


def balanced_accuracy(matrix: np.ndarray) -> float:
  """Averages recall over the classes that have rows; of the same matrix."""
  rows = matrix.sum(axis=1)
  return float(np.mean(np.diag(matrix)[rows > 0] / rows[rows > 0]))
