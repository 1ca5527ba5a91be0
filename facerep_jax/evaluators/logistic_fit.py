"""Logistic regressions with an L2 penalty, at falling strengths.

The objective is curved by c G + s I at the most: c the mean of p (1 - p), p the
share of a class, G the second moments of the features, s the strength. With
its Cholesky factor L the optimum is searched along L' w instead of the weights
w. In these coordinates L-BFGS needs a fraction of the steps.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.optimize

from facerep_jax.evaluators import probe_rows

_MOST_STEPS = 300


@dataclasses.dataclass(frozen=True)
class Accuracy:
  """Where the search for an optimum ends; the earlier of both counts.

  Attributes:
    gradient: No entry of the gradient, in these coordinates, is over this.
    progress: A step lowers the objective by less than this share of it (or
      of 1, where it is smaller).
  """

  gradient: float
  progress: float


# To choose a strength, and to keep the fit: float32 rounds to about 1e-9 of
# the mean loss of a thousand rows.
ROUGH = Accuracy(gradient=1e-4, progress=1e-6)
FINE = Accuracy(gradient=1e-5, progress=1e-8)


class Fit:
  """Logistic regressions of falling strengths, each started at the last.

  The objective is the mean over rows of the log loss (its sum over columns,
  where each column is a regression of its own) plus strength / 2 times the
  squared weights; offsets have no penalty.
  """

  def __init__(
    self, space: probe_rows.Space, target: np.ndarray, is_one_class: bool
  ):
    """Prepares the fits.

    Args:
      space: Features, whose columns have mean 0.
      target: [N, K] of 0 and 1; no column is constant.
      is_one_class: Whether each row is of one class, K of them, by softmax;
        else each column is read by a sigmoid of its own.
    """
    self._space = space
    self._target = np.ascontiguousarray(target, np.float32)
    self._loss = _softmax if is_one_class else _sigmoid
    share = target.mean(axis=0, dtype=np.float64)
    # One for all columns: softmax ties them.
    self._curve = float(np.mean(share * (1 - share)))
    logit = np.log(share) if is_one_class else np.log(share / (1 - share))
    self._weights = np.zeros((space.rows.shape[1], target.shape[1]))
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
    still = np.sqrt(self._curve)
    root = still * probe_rows.shifted_root(
      self._space.gram, strength / self._curve
    )
    start = np.concatenate([root.T @ self._weights, self._offset[None] * still])
    found = scipy.optimize.minimize(
      self._objective(strength, root, still),
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
    self._weights = _solve(root, end[:-1], "T")
    self._offset = end[-1] / still
    return self._space.widen(self._weights), self._offset.copy()

  def _objective(self, strength, root, still) -> Callable:
    """Returns what maps such parameters to the objective and its gradient."""
    rows, target = self._space.rows, self._target
    count = len(rows)

    def objective(flat):
      parameters = flat.reshape(-1, target.shape[1])
      weights = _solve(root, parameters[:-1], "T")
      logits = rows @ weights.astype(np.float32)
      logits += (parameters[-1] / still).astype(np.float32)
      loss, residual = self._loss(logits, target)
      gradient = np.empty_like(parameters)
      slope = (rows.T @ residual) / count
      gradient[:-1] = _solve(root, slope + strength * weights, "N")
      gradient[-1] = residual.mean(axis=0, dtype=np.float64) / still
      penalty = strength / 2 * np.sum(weights * weights)
      return loss / count + penalty, gradient.ravel()

    return objective


def _solve(root, right, trans):
  """Solves root x = right, or root' x = right where `trans` is "T"."""
  return scipy.linalg.solve_triangular(
    root, right, lower=True, trans=trans, check_finite=False
  )


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
