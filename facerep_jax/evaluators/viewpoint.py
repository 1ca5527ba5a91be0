"""How well a viewpoint, found without labels, follows the pose of the head.

The frame in which a model turns its faces is its own: its angles need not
start at the labels' zero, nor have their scale or sign. So what counts first is
how well a line through them fits; the slope of the predicted angle over the
true one then says whether the faces turn as far as the heads do.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, pose, statistics


class Lines(NamedTuple):
  """A line for each angle: true is about slope times predicted plus offset.

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
    the prediction does not vary; `yaw_slope`, the absolute slope of the
    predicted angle over the true one on the rows measured, 1 where the model
    turns as far as the head and 0 where it does not turn; and `yaw_deg`, the
    mean absolute error of its line in degrees. Quality: the error of yaw,
    negative. Details: `slope` and `offset_deg` by angle, those of the lines
    (true over predicted), and `mae_of_mean`, the errors of a constant.

  Raises:
    InputError: Shapes do not fit.
  """
  x, y = _checked(predicted_rad, true_rad)
  error = np.degrees(np.abs(lines.slope * x + lines.offset - y))
  scores = {}
  for key, prepare in (("r", statistics.pearson), ("slope", statistics.slope)):
    for k, name in enumerate(pose.ANGLES):
      statistic = absolute(prepare, x[:, k], y[:, k])
      scores[f"{name}_{key}"] = bootstrap.score(
        statistic, group, "", True, seed
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


def absolute(
  prepare: Callable[..., Callable[[np.ndarray], np.ndarray]],
  predicted: np.ndarray,
  true: np.ndarray,
) -> statistics.Statistic:
  """Prepares the absolute value of a statistic of one angle.

  Args:
    prepare: `statistics.pearson` or `statistics.slope`.
    predicted: [N] float.
    true: [N] float.

  Returns:
    A function of weights [N].
  """
  of_column = prepare(predicted[:, None], true[:, None])
  return lambda weights: abs(float(of_column(weights)[0]))


def _checked(predicted_rad, true_rad):
  x = np.asarray(predicted_rad, np.float64)
  y = np.asarray(true_rad, np.float64)
  errors.check_shape("predicted angles", x, "N 3", "Give yaw, pitch, roll.")
  errors.check_shape("true angles", y, f"{len(x)} 3", "One row per image.")
  return x, y
