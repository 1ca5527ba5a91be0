"""Landmarks from a linear probe.

Source: the protocol of FAb-Net (arXiv:1808.06882) on MAFL and 300-W: regress
  points in [-1, 1] of the crop, report the mean error over the inter-ocular
  distance.
Differs: see `linear_probe`. Seen from the side the eyes almost coincide and
  that error grows without bound, so the error over the size of the face's box
  and the median are given beside it.
"""

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics

# Outer corners of 68 points, centres of the eyes of 5.
_EYES = {68: (36, 45), 5: (0, 1)}
_FAILURE_PERCENT = 10.0


def fit(train: base.Part) -> linear_probe.LinearProbe:
  """Fits a ridge regression to the points.

  Args:
    train: With the label `landmarks_ndc` [N, 68 or 5, 2] float, x and y of the
      crop in [-1, 1].

  Returns:
    The linear probe; its outputs are [N, 2 P], x and y of each point in turn.

  Raises:
    InputError: The label is missing or does not fit.
  """
  points = _points(train.labels, train.features)
  return linear_probe.ridge(
    train.features, points.reshape(len(points), -1), train.group
  )


def _points(labels, rows):
  points = base.label(labels, "landmarks_ndc", "N P 2", rows)
  if points.shape[1] not in _EYES:
    raise errors.InputError(
      f"landmarks_ndc: expected 68 or 5 points, got {points.shape[1]}."
    )
  return points.astype(np.float64)


def measure(
  outputs: np.ndarray,
  labels: dict[str, np.ndarray],
  group: np.ndarray,
  seed: int = 0,
) -> base.Measured:
  """Measures predicted points.

  Args:
    outputs: [M, 2 P] float, of `fit`.
    labels: With `landmarks_ndc` [M, P, 2].
    group: [M], the person of each row.
    seed: Of the bootstrap.

  Returns:
    Scores, in %: `error_interocular`, the mean point error over the distance of
    the outer eye corners (68 points) or eye centres (5); `error_box`, over the
    root of the area of the true points' box; `median_interocular`;
    `failures_over_10`, the share of images whose first error is over 10 %.
    Quality: the first error, negative. Details: `per_point`, the mean of the
    first error for each point, [P].

  Raises:
    InputError: Labels do not fit, or two eyes or all points coincide.
  """
  true = _points(labels, outputs)
  predicted = np.asarray(outputs, np.float64)
  errors.check_shape("outputs", predicted, f"N {2 * true.shape[1]}")
  predicted = predicted.reshape(true.shape)
  left, right = _EYES[true.shape[1]]
  eyes = np.linalg.norm(true[:, left] - true[:, right], axis=1)
  box = np.sqrt(np.prod(np.ptp(true, axis=1), axis=1))
  for name, size in (("eyes", eyes), ("points", box)):
    if not np.all(size > 0):
      raise errors.InputError(
        f"landmarks_ndc: row {int(np.argmin(size > 0))}: the {name} coincide. "
        "Drop the image."
      )
  distance = np.linalg.norm(predicted - true, axis=2)
  by_eyes = 100 * distance.mean(axis=1) / eyes
  measured = {
    "error_interocular": by_eyes,
    "error_box": 100 * distance.mean(axis=1) / box,
    "median_interocular": statistics.median(by_eyes),
    "failures_over_10": 100.0 * (by_eyes > _FAILURE_PERCENT),
  }
  scores = {
    name: bootstrap.score(statistic, group, "%", False, seed)
    for name, statistic in measured.items()
  }
  by_point = (100 * distance / eyes[:, None]).mean(axis=0)
  details = {"per_point": by_point.tolist()}
  return base.Measured(scores, -by_eyes, details, measured)
