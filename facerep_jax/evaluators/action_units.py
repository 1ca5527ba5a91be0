"""Intensities of action units from a linear probe.

Source: none of the papers; the labels are those of the synthetic benchmark.
  Pearson's r is the usual measure of intensities beside ICC, which also
  punishes the shrinking that a ridge regression is built on; the mean absolute
  error and the AUC of activity (intensity over 0.3) tell the rest.
"""

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics

_ACTIVE = 0.3


def fit(train: base.Part) -> linear_probe.LinearProbe:
  """Fits a ridge regression to the intensities.

  Args:
    train: With the label `action_units` [N, U] float, [0, 1].

  Returns:
    The linear probe; its outputs are intensities, and may leave [0, 1].

  Raises:
    InputError: The label is missing or does not fit.
  """
  true = base.label(train.labels, "action_units", "N U", train.features)
  return linear_probe.ridge(train.features, true, train.group)


def measure(
  outputs: np.ndarray,
  labels: dict[str, np.ndarray],
  group: np.ndarray,
  seed: int = 0,
) -> base.Measured:
  """Measures predicted intensities, over the units that vary.

  Args:
    outputs: [M, U] float.
    labels: With `action_units` [M, U] float, [0, 1].
    group: [M], the person of each row.
    seed: Of the bootstrap.

  Returns:
    Scores: `mean_r`, the mean of Pearson's r, where a constant prediction has
    0; `mae`, the mean absolute error; `mean_auc`, in %, of telling intensities
    over 0.3 from the rest, where there are units with both. Quality: the mean
    absolute error, negative. Details: `per_class`, r by number of the unit.

  Raises:
    InputError: Labels or outputs do not fit, or no unit varies.
  """
  true = base.label(labels, "action_units", "N U", outputs).astype(np.float64)
  errors.check_shape("outputs", outputs, f"N {true.shape[1]}")
  used = np.flatnonzero(np.ptp(true, axis=0) > 0)
  if not len(used):
    raise errors.InputError(
      "action_units: none varies among the test images. Use more."
    )
  predicted, chosen = np.asarray(outputs, np.float64)[:, used], true[:, used]
  by_unit = statistics.pearson(predicted, chosen)

  def mean_r(weights):
    found = by_unit(weights)
    return float(np.nanmean(found)) if not np.isnan(found).all() else np.nan

  error = np.abs(predicted - chosen).mean(axis=1)
  scores = {
    "mean_r": bootstrap.score(mean_r, group, "", True, seed),
    "mae": bootstrap.score(error, group, "", False, seed),
  }
  is_on = chosen > _ACTIVE
  has_both = is_on.any(axis=0) & ~is_on.all(axis=0)
  if has_both.any():
    area = statistics.mean_auc(predicted[:, has_both], is_on[:, has_both])
    scores["mean_auc"] = bootstrap.score(
      lambda weights: 100 * area(weights), group, "%", True, seed
    )
  all_r = by_unit(np.ones(len(true))).tolist()
  details = {"per_class": dict(zip(map(str, used), all_r))}
  return base.Measured(scores, -error, details)
