"""Linear probes of a frozen representation: fit and apply.

Differs: the papers train BatchNorm and a linear layer by Adam. Here the same
family, features standardised on the training part and then a linear map, is
fitted to its optimum; the L2 strength is chosen on people of the training part
that the choice holds out, and there is an intercept. Test data takes part in
nothing.
"""

import dataclasses

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import folds, logistic_fit
from facerep_jax.inference import probe_file

# Per row: the penalty is strength / 2 * |weights|^2 beside the mean loss.
_RIDGE_STRENGTHS = tuple(10.0**k for k in range(-5, 5))
_LOGISTIC_STRENGTHS = tuple(10.0**k for k in range(1, -6, -1))


LinearProbe = probe_file.LinearProbe


def ridge(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> LinearProbe:
  """Fits a linear regression with an L2 penalty.

  The strength, one for all columns, has the least squared error on a fifth of
  the people, held out; the linear probe is then fitted to all of them.

  Args:
    x: [N, D] float, features.
    y: [N, K] float, what is read out.
    group: [N], the person of each row.

  Returns:
    The linear probe; its outputs are predictions of `y`.

  Raises:
    InputError: Shapes do not fit, a value is not finite, or there are fewer
      than two people.
  """
  x, group, held_out = _prepare(x, group)
  y = np.asarray(y, np.float64)
  errors.check_shape("targets", y, f"{len(x)} K", "One row per image.")
  _check_finite("targets", y)
  return ridge_at(x, y, ridge_strength(x, y, held_out))


def ridge_strength(x: np.ndarray, y: np.ndarray, held_out: np.ndarray) -> float:
  """Chooses a strength by the squared error on the rows [N] bool held out."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  path = _RidgePath(x[~held_out], y[~held_out])
  losses = path.losses(x[held_out], y[held_out], _RIDGE_STRENGTHS)
  return _RIDGE_STRENGTHS[int(np.argmin(losses))]


def ridge_at(x: np.ndarray, y: np.ndarray, strength: float) -> LinearProbe:
  """Fits `ridge` with a strength that was chosen elsewhere."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  return _RidgePath(x, y).probe(strength)


class _RidgePath:
  """Ridge regressions of all strengths, from one eigendecomposition.

  With fewer rows than features the matrix is that of the rows (dual form):
  weights = z' (z z' / N + s)^-1 y / N, else (z' z / N + s)^-1 z' y / N.
  """

  def __init__(self, x, y):
    self.mean, self.scale = _standard(x)
    self.z = (x - self.mean) / self.scale
    self.offset = y.mean(axis=0)
    rows, width = self.z.shape
    self.is_dual = rows < width
    target = (y - self.offset) / rows
    gram = self.z @ self.z.T if self.is_dual else self.z.T @ self.z
    self.values, self.vectors = np.linalg.eigh(gram / rows)
    right = target if self.is_dual else self.z.T @ target
    self.right = self.vectors.T @ right

  def losses(self, x, y, strengths):
    """Returns the mean squared error on other rows, for each strength."""
    z = (x - self.mean) / self.scale
    left = (z @ self.z.T if self.is_dual else z) @ self.vectors
    found = []
    for strength in strengths:
      predicted = left @ self._solve(strength) + self.offset
      found.append(np.mean((predicted - y) ** 2))
    return found

  def probe(self, strength):
    """Returns the linear probe of one strength."""
    weights = self.vectors @ self._solve(strength)
    if self.is_dual:
      weights = self.z.T @ weights
    return LinearProbe(self.mean, self.scale, weights, self.offset, strength)

  def _solve(self, strength):
    return self.right / (self.values + strength)[:, None]


def logistic(
  x: np.ndarray, labels: np.ndarray, group: np.ndarray, num_classes: int
) -> LinearProbe:
  """Fits a multinomial logistic regression with an L2 penalty.

  Strengths are tried from strong to weak on four fifths of the people, until
  the log loss on the other fifth rises; the best is then fitted to all.

  Args:
    x: [N, D] float, features.
    labels: [N] int, class numbers.
    group: [N], the person of each row.
    num_classes: K. A class that training lacks has weights 0 and offset -inf:
      it is never predicted.

  Returns:
    The linear probe; its outputs are logits, softmax makes them probabilities.

  Raises:
    InputError: Shapes do not fit, a feature is not finite, a class is out of
      range, or there are fewer than two people or classes.
  """
  x, group, held_out = _prepare(x, group)
  labels = np.asarray(labels)
  errors.check_shape("classes", labels, str(len(x)), "One per image.")
  if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
    raise errors.InputError(
      f"classes: expected 0 to {num_classes - 1}, got {labels.min()} to "
      f"{labels.max()}. Drop rows without a class."
    )
  path = _one_class_path(x[~held_out], labels[~held_out])
  # What the fitted part never saw, no strength predicts.
  seen = np.unique(labels[~held_out])
  known = held_out & np.isin(labels, seen)
  column = np.searchsorted(seen, labels[known])

  def loss(strength):
    fitted = path.fit(strength, logistic_fit.ROUGH)
    logits = _one_per_class(fitted).outputs(x[known])
    logits = logits - logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(logits)), column]
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen)

  strength = _descend(loss)
  found = _one_per_class(_one_class_path(x, labels).fit(strength))
  return _spread(found, np.unique(labels), np.full(num_classes, -np.inf))


def multilabel(
  x: np.ndarray, y01: np.ndarray, group: np.ndarray
) -> LinearProbe:
  """Fits a logistic regression to each column, with one strength for all.

  The strength is chosen as in `logistic`, by the log loss over all columns.

  Args:
    x: [N, D] float, features.
    y01: [N, K] of 0 and 1. A column that is 0 (or 1) throughout has weights 0
      and offset -inf (or inf).
    group: [N], the person of each row.

  Returns:
    The linear probe; its outputs are logits, a sigmoid makes them
    probabilities.

  Raises:
    InputError: Shapes do not fit, a feature is not finite, a label is not 0 or
      1, no column varies, or there are fewer than two people.
  """
  x, group, held_out = _prepare(x, group)
  y = np.asarray(y01)
  errors.check_shape("labels", y, f"{len(x)} K", "One row per image.")
  if not np.isin(y, (0, 1)).all():
    raise errors.InputError("labels: expected 0 and 1 alone. Threshold them.")
  y = y.astype(np.int64)
  seen = np.flatnonzero(np.ptp(y[~held_out], axis=0))
  path = _LogisticPath(x[~held_out], y[~held_out][:, seen], False)
  sign = 1 - 2 * y[held_out][:, seen]

  def loss(strength):
    logits = path.fit(strength, logistic_fit.ROUGH).outputs(x[held_out])
    return np.mean(np.logaddexp(0, sign * logits))

  strength = _descend(loss)
  varying = np.flatnonzero(np.ptp(y, axis=0))
  found = _LogisticPath(x, y[:, varying], False).fit(strength)
  return _spread(found, varying, np.where(y[0] > 0, np.inf, -np.inf))


class _LogisticPath:
  """Logistic regressions of falling strengths, each started at the last."""

  def __init__(self, x, target, is_one_class):
    self.mean, self.scale = _standard(x)
    z = ((x - self.mean) / self.scale).astype(np.float32)
    if not target.shape[1] or (target == target[0]).all(axis=0).any():
      raise errors.InputError(
        "a classifier needs two classes or more in the people it is fitted "
        "to (and in four fifths of them). Give more images."
      )
    self.fits = logistic_fit.Fit(logistic_fit.Axes(z), target, is_one_class)

  def fit(self, strength, accuracy=logistic_fit.FINE):
    """Returns the linear probe of one strength."""
    weights, offset = self.fits.at(strength, accuracy)
    return LinearProbe(self.mean, self.scale, weights, offset, strength)


def _one_class_path(x, labels):
  """Returns a path whose columns are the classes seen; one for two of them."""
  columns = labels[:, None] == np.unique(labels)
  is_pair = columns.shape[1] == 2
  return _LogisticPath(x, columns[:, 1:] if is_pair else columns, not is_pair)


def _one_per_class(found):
  """Makes two logits of the one that two classes need."""
  if found.weights.shape[1] > 1:
    return found
  half = np.array([-0.5, 0.5])
  return dataclasses.replace(
    found, weights=found.weights * half, offset=found.offset * half
  )


def _spread(found, columns, offset):
  """Puts the columns of a linear probe among constant ones."""
  weights = np.zeros((len(found.mean), len(offset)))
  weights[:, columns] = found.weights
  offset[columns] = found.offset
  return dataclasses.replace(found, weights=weights, offset=offset)


def _descend(loss):
  """Weakens the strength until the loss rises; returns the best."""
  best, least = None, np.inf
  for strength in _LOGISTIC_STRENGTHS:
    value = loss(strength)
    if best is not None and value >= least:
      break
    best, least = strength, value
  return best


def _prepare(x, group):
  """Checks features and people; returns them and the rows to hold out."""
  x, group = np.asarray(x, np.float64), np.asarray(group)
  errors.check_shape("features", x, "N D", "One row per image.")
  errors.check_shape("group", group, str(len(x)), "One person per image.")
  _check_finite("features", x)
  people = len(np.unique(group))
  if people < 2:
    raise errors.InputError(
      f"a linear probe needs two people or more for training, got {people}."
    )
  return x, group, folds.by_group(group, min(5, people)) == 0


def _check_finite(name, x):
  if not np.isfinite(x).all():
    row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
    raise errors.InputError(f"{name}: row {row} is not finite. Drop it.")


def _standard(x):
  """Returns mean and standard deviation, 1 where there is none."""
  scale = x.std(axis=0)
  # A constant column has the rounding of its mean for a deviation.
  is_constant = np.ptp(x, axis=0) == 0
  return x.mean(axis=0), np.where(is_constant, 1.0, scale)
