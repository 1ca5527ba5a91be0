"""Logistic regressions with an L2 penalty, at falling strengths.

The optimum is searched along the principal axes of the features, each scaled
by what curves the objective there: p (1 - p) times the axis's variance, p the
share of a class, and the strength. In these coordinates L-BFGS needs a fraction
of the steps that it needs on the features themselves.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.optimize

# Of the features' variance along the strongest axis; weaker axes of a row
# space are rounding.
_LEAST_VARIANCE = 1e-10
_MOST_STEPS = 300


@dataclasses.dataclass(frozen=True)
class Accuracy:
  """Where the search for an optimum ends; the earlier of both counts.

  Attributes:
    gradient: No entry of the gradient, along scaled axes, is over this.
    progress: A step lowers the objective by less than this share of it (or
      of 1, where it is smaller).
  """

  gradient: float
  progress: float


# To choose a strength, and to keep the fit: float32 rounds to about 1e-9 of
# the mean loss of a thousand rows.
ROUGH = Accuracy(gradient=1e-4, progress=1e-6)
FINE = Accuracy(gradient=1e-5, progress=1e-8)


class Axes:
  """Features along their principal axes.

  Attributes:
    rows: [N, M] float32, features along the axes; M is the smaller of N and D.
    vectors: [D, M] float32, orthonormal columns.
    variance: [M] float64, mean square along each axis.
  """

  def __init__(self, z: np.ndarray):
    """Finds the axes.

    Args:
      z: [N, D] float32, features whose columns have mean 0.
    """
    count, width = z.shape
    if count < width:
      # An L2 penalty keeps weights in the space of the rows. Float64: a square
      # root of a small eigenvalue divides.
      wide = z.astype(np.float64)
      values, vectors = np.linalg.eigh(wide @ wide.T / count)
      kept = values > _LEAST_VARIANCE * max(values[-1], 0)
      scale = np.sqrt(values[kept] * count)
      vectors = (wide.T @ vectors[:, kept]) / scale
    else:
      vectors = np.linalg.eigh(z.T @ z / np.float32(count))[1]
    self.vectors = np.ascontiguousarray(vectors, np.float32)
    self.rows = z @ self.vectors
    self.variance = np.square(self.rows, dtype=np.float64).mean(axis=0)


class Fit:
  """Logistic regressions of falling strengths, each started at the last.

  The objective is the mean over rows of the log loss (its sum over columns,
  where each column is a regression of its own) plus strength / 2 times the
  squared weights; offsets have no penalty.
  """

  def __init__(self, axes: Axes, target: np.ndarray, is_one_class: bool):
    """Prepares the fits.

    Args:
      axes: Features.
      target: [N, K] of 0 and 1; no column is constant.
      is_one_class: Whether each row is of one class, K of them, by softmax;
        else each column is read by a sigmoid of its own.
    """
    self._axes = axes
    self._target = np.ascontiguousarray(target, np.float32)
    self._loss = _softmax if is_one_class else _sigmoid
    share = target.mean(axis=0, dtype=np.float64)
    # One for all columns: softmax ties them.
    self._curve = float(np.mean(share * (1 - share)))
    logit = np.log(share) if is_one_class else np.log(share / (1 - share))
    self._weights = np.zeros((axes.rows.shape[1], target.shape[1]))
    self._offset = logit - (logit.mean() if is_one_class else 0)

  def at(
    self, strength: float, accuracy: Accuracy = FINE
  ) -> tuple[np.ndarray, np.ndarray]:
    """Fits with one strength, from where the last call ended.

    Args:
      strength: Of the penalty, over 0.
      accuracy: Where the search ends.

    Returns:
      [D, K] float64 weights and [K] float64 offsets.
    """
    curve = self._curve * self._axes.variance[:, None]
    scale, still = 1 / np.sqrt(curve + strength), 1 / np.sqrt(self._curve)
    start = np.concatenate([self._weights / scale, self._offset[None] / still])
    found = scipy.optimize.minimize(
      self._objective(strength, scale, still),
      start.ravel(),
      jac=True,
      method="L-BFGS-B",
      options={
        "maxiter": _MOST_STEPS,
        "gtol": accuracy.gradient,
        "ftol": accuracy.progress,
      },
    )
    end = found.x.reshape(start.shape)
    self._weights, self._offset = end[:-1] * scale, end[-1] * still
    weights = self._axes.vectors @ self._weights
    return weights, self._offset.copy()

  def _objective(self, strength, scale, still) -> Callable:
    """Returns what maps scaled parameters to the objective and gradient."""
    rows, target = self._axes.rows, self._target
    count = len(rows)

    def objective(flat):
      parameters = flat.reshape(-1, target.shape[1])
      weights = parameters[:-1] * scale
      logits = rows @ weights.astype(np.float32)
      logits += (parameters[-1] * still).astype(np.float32)
      loss, residual = self._loss(logits, target)
      gradient = np.empty_like(parameters)
      slope = (rows.T @ residual) / count
      gradient[:-1] = scale * (slope + strength * weights)
      gradient[-1] = still * residual.mean(axis=0, dtype=np.float64)
      penalty = strength / 2 * np.sum(weights * weights)
      return loss / count + penalty, gradient.ravel()

    return objective


def _softmax(logits, target):
  """Returns the summed log loss, and its slopes [N, K]; changes `logits`."""
  logits -= logits.max(axis=1, keepdims=True)
  chosen = np.einsum("nk,nk->", logits, target, dtype=np.float64)
  np.exp(logits, out=logits)
  total = logits.sum(axis=1, keepdims=True)
  loss = np.log(total).sum(dtype=np.float64) - chosen
  logits /= total
  logits -= target
  return loss, logits


def _sigmoid(logits, target):
  """Returns the same where each column is a regression of its own."""
  small = np.exp(-np.abs(logits))
  loss = np.maximum(logits, 0) - logits * target + np.log1p(small)
  chance = np.where(logits > 0, 1, small) / (1 + small)
  return loss.sum(dtype=np.float64), chance - target
