"""Rows that linear probes are fitted to, and what all fits to them share.

A probe needs the second moments of its features, or, with fewer rows than
features, those of the rows. They cost far more than a fit, and are the same
for all labels.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from facerep_jax import errors
from facerep_jax.evaluators import folds
from facerep_jax.inference import probe_file

# Of the trace of moments: what is added to them before a root is taken.
# Rounding of float64 is far below, the weakest penalty far above.
_JITTER = 1e-13


class Moments:
  """Standardised features and their second moments.

  Attributes:
    mean: [D] float64.
    scale: [D] float64, standard deviations; 1 where a column is constant.
    is_dual: Whether moments are those of the rows, of which there are fewer
      than features.
  """

  def __init__(self, x: np.ndarray, rows: np.ndarray | slice = slice(None)):
    """Finds mean and scale.

    Args:
      x: [M, D] float, features.
      rows: [M] bool, the N that count; all by default. They are not copied.
    """
    self._all, self._rows = x, rows
    wide = self._wide()
    self.mean = wide.mean(axis=0)
    # A constant column has the rounding of its mean for a deviation.
    is_constant = np.ptp(wide, axis=0) == 0
    self.scale = np.where(is_constant, 1.0, wide.std(axis=0))
    self.is_dual = len(wide) < wide.shape[1]

  def _wide(self):
    return np.asarray(self._all[self._rows], np.float64)

  def standardised(self, x: np.ndarray) -> np.ndarray:
    """Maps features [M, D] to [M, D] float64."""
    return (x - self.mean) / self.scale

  @property
  def z(self) -> np.ndarray:
    """The standardised rows, [N, D] float64; made anew at each call."""
    return self.standardised(self._wide())

  @functools.cached_property
  def gram(self) -> np.ndarray:
    """Second moments [M, M] float64: z' z / N, or z z' / N where dual."""
    z = self.z
    return (z @ z.T if self.is_dual else z.T @ z) / len(z)

  def products(self, y: np.ndarray) -> np.ndarray:
    """Returns what ridge regressions to y [N, K] solve for, [M, K] float64.

    Args:
      y: Targets.

    Returns:
      z' y / N, or y / N where it is dual; for targets less their mean.
    """
    target = (y - y.mean(axis=0)) / len(y)
    if self.is_dual:
      return target
    # The targets' sum is 0, so that the mean of the features falls out.
    return (self._wide().T @ target) / self.scale[:, None]

  def ridge(self, y: np.ndarray, strength: float) -> np.ndarray:
    """Returns the weights [D, K] of a ridge regression to y [N, K].

    They are z' (z z' / N + s)^-1 y / N in dual form, else
    (z' z / N + s)^-1 z' y / N, for targets less their mean.
    """
    root = shifted_root(self.gram, strength)
    found = scipy.linalg.cho_solve((root, True), self.products(y))
    return self.z.T @ found if self.is_dual else found

  @functools.cached_property
  def tridiagonal(self) -> "Tridiagonal":
    """The moments, ready for any number of penalties."""
    return Tridiagonal(self.gram)

  def space(self) -> "Space":
    """Returns where logistic regressions are fitted."""
    z = self.z
    if not self.is_dual:
      return Space(z.astype(np.float32), self.gram, lambda weights: weights)
    # An L2 penalty keeps weights in the space of the rows. With z z' = r r',
    # rows of r have the products of those of z. The trace counts the columns
    # that vary; there may be none.
    root = shifted_root(self.gram, _JITTER * max(np.trace(self.gram), 1.0))
    scale = np.sqrt(len(z))
    widen = lambda weights: (
      z.T
      @ scipy.linalg.solve_triangular(root, weights, lower=True, trans="T")
      / scale
    )
    rows = (root * scale).astype(np.float32)
    return Space(rows, root.T @ root, widen)


class Space(NamedTuple):
  """Rows in few dimensions, in which an L2 penalty is the same.

  Attributes:
    rows: [N, M] float32; M is the smaller of N and D.
    gram: [M, M] float64, their second moments.
    widen: Maps weights [M, K] of these rows to those [D, K] of the features.
  """

  rows: np.ndarray
  gram: np.ndarray
  widen: Callable[[np.ndarray], np.ndarray]


class Tridiagonal:
  """Q T Q' of a symmetric matrix: a third of the work of eigenvectors."""

  def __init__(self, matrix: np.ndarray):
    """Finds Q and T of a positive matrix [M, M] float64."""
    work = lapack.dsytrd_lwork(len(matrix), lower=1)[0]
    packed, self._main, self._next, self._tau, _ = lapack.dsytrd(
      matrix, lower=1, lwork=int(work)
    )
    self._reflectors = np.asfortranarray(packed[1:, :-1])

  def turned(self, x: np.ndarray) -> np.ndarray:
    """Returns Q' x, [M, K] float64."""
    x = np.array(x, np.float64, order="F")
    if len(x) > 1:
      arguments = "L", "T", self._reflectors, self._tau, x[1:]
      work = lapack.dormqr(*arguments, -1)[1][0]
      x[1:] = lapack.dormqr(*arguments, int(work))[0]
    return x

  def solve(self, right: np.ndarray, strength: float) -> np.ndarray:
    """Returns (T + strength)^-1 right, [M, K] float64."""
    if len(right) == 1:  # LAPACK wants a neighbour.
      return right / (self._main + strength)
    band = np.zeros((2, len(self._main)))
    band[0] = self._main + strength
    band[1, :-1] = self._next
    return scipy.linalg.solveh_banded(band, right, lower=True)


class Choice:
  """Rows of which some are held out, to choose a strength by.

  Attributes:
    held_out: [N] bool.
    fitted: The other rows.
  """

  def __init__(self, x: np.ndarray, held_out: np.ndarray):
    """Divides features [N, D] by `held_out` [N] bool."""
    self._all, self.held_out = x, held_out
    self.fitted = Moments(x, ~held_out)

  @property
  def x(self) -> np.ndarray:
    """Features of the rows held out, [R, D]; copied at each call."""
    return self._all[self.held_out]

  @functools.cached_property
  def _turned(self):
    """What maps solutions in the coordinates of T to outputs; [R, M]."""
    fitted = self.fitted
    z = fitted.standardised(self.x)
    left = z @ fitted.z.T if fitted.is_dual else z
    return fitted.tridiagonal.turned(left.T).T

  def ridge_losses(
    self, y: np.ndarray, strengths: Sequence[float]
  ) -> list[float]:
    """Returns mean squared errors on the rows held out.

    Args:
      y: [N, K] float, what is regressed, of all rows.
      strengths: Of the penalty, over 0.

    Returns:
      The error of each strength.
    """
    own, moments = y[~self.held_out], self.fitted.tridiagonal
    mean = own.mean(axis=0)
    right = moments.turned(self.fitted.products(own))
    found = []
    for strength in strengths:
      predicted = self._turned @ moments.solve(right, strength) + mean
      found.append(float(np.mean((predicted - y[self.held_out]) ** 2)))
    return found


class Rows:
  """Features of the rows that linear probes are fitted to.

  Attributes:
    x: [N, D] float.
    group: [N], the person of each row.
  """

  def __init__(self, x: np.ndarray, group: np.ndarray):
    """Checks features and people.

    Args:
      x: [N, D] float.
      group: [N], the person of each row.

    Raises:
      InputError: Shapes do not fit, a value is not finite, or there are fewer
        than two people.
    """
    self.x, self.group = np.asarray(x), np.asarray(group)
    errors.check_shape("features", self.x, "N D", "One row per image.")
    errors.check_shape(
      "group", self.group, str(len(x)), "One person per image."
    )
    check_finite("features", self.x)
    people = len(np.unique(self.group))
    if people < 2:
      raise errors.InputError(
        f"a linear probe needs two people or more for training, got {people}."
      )
    self._held_out = folds.by_group(self.group, min(5, people)) == 0
    self._made = {}

  def __len__(self) -> int:
    return len(self.x)

  def __getitem__(self, index: np.ndarray) -> np.ndarray:
    """Returns the features of some rows."""
    return self.x[index]

  @property
  def most_bytes(self) -> int:
    """How much memory the rows take once all has been computed."""
    # Rows; moments twice, and reflectors; what is read of rows held out.
    least = min(self.x.shape)
    numbers = 3 * least**2 + np.count_nonzero(self._held_out) * least
    return self.x.nbytes + 8 * numbers

  def once(
    self,
    kind: str,
    labels: np.ndarray,
    fit: Callable[[], probe_file.LinearProbe],
  ) -> probe_file.LinearProbe:
    """Returns what `fit` returned to the first call with such labels.

    Args:
      kind: Of probe.
      labels: [N, ...], what it is fitted to.
      fit: Fits it to these rows.
    """
    content = np.ascontiguousarray(labels)
    key = kind, content.dtype.str, hashlib.sha256(content).digest()
    if key not in self._made:
      self._made[key] = fit()
    return self._made[key]

  @functools.cached_property
  def whole(self) -> Moments:
    """All rows, for the last fit."""
    return Moments(self.x)

  @functools.cached_property
  def choice(self) -> Choice:
    """The rows with a fifth of the people held out."""
    return Choice(self.x, self._held_out)


def shifted_root(matrix: np.ndarray, shift: float) -> np.ndarray:
  """Returns the Cholesky factor, lower, of matrix + shift I."""
  shifted = matrix.copy()
  shifted.flat[:: len(matrix) + 1] += shift
  return np.linalg.cholesky(shifted)


def check_finite(name: str, x: np.ndarray) -> None:
  """Refuses rows [N, D] that are not finite.

  Raises:
    InputError: One is; `name` says of what.
  """
  if not np.isfinite(x).all():
    row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
    raise errors.InputError(f"{name}: row {row} is not finite. Drop it.")
