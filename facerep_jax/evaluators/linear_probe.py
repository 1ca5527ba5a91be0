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
from facerep_jax.evaluators import logistic_fit, probe_rows
from facerep_jax.inference import probe_file

# Per row: the penalty is strength / 2 * |weights|^2 beside the mean loss.
_RIDGE_STRENGTHS = tuple(10.0**k for k in range(-5, 5))
_LOGISTIC_STRENGTHS = tuple(10.0**k for k in range(1, -6, -1))


LinearProbe = probe_file.LinearProbe
Rows = probe_rows.Rows


def ridge(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> LinearProbe:
  """Fits a linear regression with an L2 penalty.

  The strength, one for all columns, has the least squared error on a fifth of
  the people, held out; the linear probe is then fitted to all of them.

  Args:
    x: [N, D] float, features; or `Rows` of them, which later fits share.
    y: [N, K] float, what is read out.
    group: [N], the person of each row.

  Returns:
    The linear probe; its outputs are predictions of `y`.

  Raises:
    InputError: Shapes do not fit, a value is not finite, or there are fewer
      than two people.
  """
  rows = _rows(x, group)
  y = np.asarray(y, np.float64)
  errors.check_shape("targets", y, f"{len(rows)} K", "One row per image.")
  probe_rows.check_finite("targets", y)
  return rows.once(
    "ridge", y, lambda: _ridge(rows.whole, y, _strength(rows.choice, y))
  )


def ridge_strength(x: np.ndarray, y: np.ndarray, held_out: np.ndarray) -> float:
  """Chooses a strength by the squared error on the rows [N] bool held out."""
  return _strength(
    probe_rows.Choice(np.asarray(x), held_out), np.asarray(y, np.float64)
  )


def ridge_at(x: np.ndarray, y: np.ndarray, strength: float) -> LinearProbe:
  """Fits `ridge` with a strength that was chosen elsewhere."""
  moments = probe_rows.Moments(np.asarray(x))
  return _ridge(moments, np.asarray(y, np.float64), strength)


def _strength(choice, y):
  losses = choice.ridge_losses(y, _RIDGE_STRENGTHS)
  return _RIDGE_STRENGTHS[int(np.argmin(losses))]


def _ridge(moments, y, strength):
  weights = moments.ridge(y, strength)
  return LinearProbe(
    moments.mean, moments.scale, weights, y.mean(axis=0), strength
  )


def logistic(
  x: np.ndarray, labels: np.ndarray, group: np.ndarray, num_classes: int
) -> LinearProbe:
  """Fits a multinomial logistic regression with an L2 penalty.

  Strengths are tried from strong to weak on four fifths of the people, until
  the log loss on the other fifth rises; the best is then fitted to all.

  Args:
    x: [N, D] float, features; or `Rows` of them, which later fits share.
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
  rows = _rows(x, group)
  labels = np.asarray(labels)
  errors.check_shape("classes", labels, str(len(rows)), "One per image.")
  if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
    raise errors.InputError(
      f"classes: expected 0 to {num_classes - 1}, got {labels.min()} to "
      f"{labels.max()}. Drop rows without a class."
    )
  found = rows.once("logistic", labels, lambda: _logistic(rows, labels))
  return _spread(found, np.unique(labels), np.full(num_classes, -np.inf))


def _logistic(rows, labels):
  """Fits `logistic`; its columns are the classes that occur."""
  choice = rows.choice
  held_out, own = labels[choice.held_out], labels[~choice.held_out]
  path = _one_class_path(choice.fitted, own)
  # What the fitted part never saw, no strength predicts.
  seen = np.unique(own)
  is_known = np.isin(held_out, seen)
  column, known = np.searchsorted(seen, held_out[is_known]), choice.x[is_known]

  def loss(strength):
    fitted = path.fit(strength, logistic_fit.ROUGH)
    logits = _one_per_class(fitted).outputs(known)
    logits = logits - logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(logits)), column]
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - chosen)

  strength = _descend(loss)
  return _one_per_class(_one_class_path(rows.whole, labels).fit(strength))


def multilabel(
  x: np.ndarray, y01: np.ndarray, group: np.ndarray
) -> LinearProbe:
  """Fits a logistic regression to each column, with one strength for all.

  The strength is chosen as in `logistic`, by the log loss over all columns.

  Args:
    x: [N, D] float, features; or `Rows` of them, which later fits share.
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
  rows = _rows(x, group)
  y = np.asarray(y01)
  errors.check_shape("labels", y, f"{len(rows)} K", "One row per image.")
  if not np.isin(y, (0, 1)).all():
    raise errors.InputError("labels: expected 0 and 1 alone. Threshold them.")
  y = y.astype(np.int64)
  choice = rows.choice
  own = y[~choice.held_out]
  seen = np.flatnonzero(np.ptp(own, axis=0))
  path = _LogisticPath(choice.fitted, own[:, seen], False)
  sign = 1 - 2 * y[choice.held_out][:, seen]
  held_out = choice.x

  def loss(strength):
    logits = path.fit(strength, logistic_fit.ROUGH).outputs(held_out)
    return np.mean(np.logaddexp(0, sign * logits))

  strength = _descend(loss)
  varying = np.flatnonzero(np.ptp(y, axis=0))
  found = _LogisticPath(rows.whole, y[:, varying], False).fit(strength)
  return _spread(found, varying, np.where(y[0] > 0, np.inf, -np.inf))


class _LogisticPath:
  """Logistic regressions of falling strengths, each started at the last."""

  def __init__(self, moments, target, is_one_class):
    if not target.shape[1] or (target == target[0]).all(axis=0).any():
      raise errors.InputError(
        "a classifier needs two classes or more in the people it is fitted "
        "to (and in four fifths of them). Give more images."
      )
    self.moments = moments
    self.fits = logistic_fit.Fit(moments.space(), target, is_one_class)

  def fit(self, strength, accuracy=logistic_fit.FINE):
    """Returns the linear probe of one strength."""
    weights, offset = self.fits.at(strength, accuracy)
    mean, scale = self.moments.mean, self.moments.scale
    return LinearProbe(mean, scale, weights, offset, strength)


def _one_class_path(moments, labels):
  """Returns a path whose columns are the classes seen; one for two of them."""
  columns = labels[:, None] == np.unique(labels)
  is_pair = columns.shape[1] == 2
  return _LogisticPath(
    moments, columns[:, 1:] if is_pair else columns, not is_pair
  )


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


def _rows(x, group):
  return x if isinstance(x, Rows) else Rows(x, group)
