"""How much an albedo, which should be the person's alone, tells of the pose.

A texture in its canonical view looks the same wherever the head turned. One
that took over what belongs to shape and viewpoint has moved with the face.
"""

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics

CELLS = 8  # Along a side.


def layout(albedo01: np.ndarray) -> np.ndarray:
  """Averages colours over cells: where in the picture they lie.

  Args:
    albedo01: [N, S, S, 3] float, [0, 1]; S is a multiple of `CELLS`.

  Returns:
    [N, CELLS * CELLS * 3] float64.

  Raises:
    InputError: The shape does not fit.
  """
  errors.check_shape("albedo", albedo01, "N S S 3", "Use NHWC.")
  count, size = albedo01.shape[:2]
  if size % CELLS:
    raise errors.InputError(
      f"albedo: a side of {size} px, expected a multiple of {CELLS}."
    )
  side = size // CELLS
  cells = np.asarray(albedo01, np.float64).reshape(
    count, CELLS, side, CELLS, side, 3
  )
  return cells.mean(axis=(2, 4)).reshape(count, -1)


def fit(
  albedo01: np.ndarray, yaw_rad: np.ndarray, group: np.ndarray
) -> linear_probe.LinearProbe:
  """Fits a ridge regression of yaw [N] to the layout; `group` as `ridge`."""
  return linear_probe.ridge(
    layout(albedo01), np.asarray(yaw_rad)[:, None], group
  )


def measure(
  albedo01: np.ndarray,
  yaw_rad: np.ndarray,
  found: linear_probe.LinearProbe,
  group: np.ndarray,
  seed: int = 0,
) -> base.Measured:
  """Measures how well yaw is read from the albedo of people not trained on.

  Args:
    albedo01: [M, S, S, 3] float, [0, 1].
    yaw_rad: [M] float.
    found: What `fit` returned.
    group: [M], the person of each row.
    seed: Of the bootstrap.

  Returns:
    Score: `yaw_r2`, the share of the variance of yaw that is read; 0 or less:
    none is. Lower is better. Quality: the error in degrees. No details.

  Raises:
    InputError: Shapes do not fit.
  """
  true = np.asarray(yaw_rad, np.float64)[:, None]
  predicted = found.outputs(layout(albedo01))
  errors.check_shape("yaw", true, f"{len(predicted)} 1", "One per image.")
  r2 = statistics.r2(predicted, true)
  scores = {"yaw_r2": bootstrap.score(r2, group, "", False, seed)}
  return base.Measured(scores, np.degrees(np.abs(predicted - true))[:, 0], {})
