"""How well a viewpoint, found without labels, follows the pose of the head.

The frame in which a model turns its faces is its own: its angles need not
start at the labels' zero, nor have their scale or sign. So what counts is how
well a line through them fits.
"""

from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, pose, weighted


class Lines(NamedTuple):
  """A line for each angle: slope times predicted plus offset.

  Attributes:
    slope: [3] float64, yaw, pitch, roll.
    offset: [3] float64, radians.
  """

  slope: np.ndarray
  offset: np.ndarray


def fit(predicted_rad: np.ndarray, true_rad: np.ndarray) -> Lines:
  """Fits each angle by least squares, on people who are not measured.

  Args:
    predicted_rad: [N, 3] float, yaw, pitch, roll.
    true_rad: [N, 3] float, likewise.

  Returns:
    The lines; of slope 0 where the prediction does not vary.

  Raises:
    InputError: Shapes do not fit.
  """
  x, y = _checked(predicted_rad, true_rad)
  centred = x - x.mean(axis=0)
  square = np.sum(centred**2, axis=0)
  varies = square > 1e-12 * np.sum(x**2, axis=0)
  slope = np.sum(centred * y, axis=0) / np.where(varies, square, 1.0)
  slope = np.where(varies, slope, 0.0)
  return Lines(slope, y.mean(axis=0) - slope * x.mean(axis=0))


def measure(
  predicted_rad: np.ndarray,
  true_rad: np.ndarray,
  lines: Lines,
  group: np.ndarray,
  seed: int = 0,
) -> base.Measured:
  """Measures predicted angles.

  Args:
    predicted_rad: [M, 3] float, yaw, pitch, roll.
    true_rad: [M, 3] float, likewise.
    lines: Of training people.
    group: [M], the person of each row.
    seed: Of the bootstrap.

  Returns:
    Scores: for each angle `yaw_r`, the absolute value of Pearson's r, 0 where
    the prediction does not vary; and `yaw_deg`, the mean absolute error of its
    line in degrees. Quality: the error of yaw, negative. Details: `slope` and
    `offset_deg` by angle, and `mae_of_mean`, the errors of a constant.

  Raises:
    InputError: Shapes do not fit.
  """
  x, y = _checked(predicted_rad, true_rad)
  error = np.degrees(np.abs(lines.slope * x + lines.offset - y))
  scores = {}
  for k, name in enumerate(pose.ANGLES):
    r = weighted.pearson(x[:, k : k + 1], y[:, k : k + 1])
    scores[f"{name}_r"] = bootstrap.score(
      lambda weights, r=r: abs(float(r(weights)[0])), group, "", True, seed
    )
  for k, name in enumerate(pose.ANGLES):
    scores[f"{name}_deg"] = bootstrap.score(
      error[:, k], group, "deg", False, seed
    )
  spread = np.degrees(np.abs(y - y.mean(axis=0))).mean(axis=0)
  details = {
    "slope": dict(zip(pose.ANGLES, lines.slope.tolist())),
    "offset_deg": dict(zip(pose.ANGLES, np.degrees(lines.offset).tolist())),
    "mae_of_mean": dict(zip(pose.ANGLES, spread.tolist())),
  }
  return base.Measured(scores, -error[:, 0], details)


def _checked(predicted_rad, true_rad):
  x = np.asarray(predicted_rad, np.float64)
  y = np.asarray(true_rad, np.float64)
  errors.check_shape("predicted angles", x, "N 3", "Give yaw, pitch, roll.")
  errors.check_shape("true angles", y, f"{len(x)} 3", "One row per image.")
  return x, y
