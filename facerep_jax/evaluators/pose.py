"""Head pose from a linear probe.

Source: the protocol of FaceCycle (ICCV 2021): linear regression of the angles,
  mean absolute error in degrees.
Differs: see `linear_probe`.
"""

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics

ANGLES = ("yaw", "pitch", "roll")


def fit(train: base.Part) -> linear_probe.LinearProbe:
  """Fits a ridge regression to the three angles.

  Args:
    train: With the labels `yaw_rad`, `pitch_rad` and `roll_rad` [N] float.

  Returns:
    The linear probe; its outputs are yaw, pitch and roll, in radians.

  Raises:
    InputError: A label is missing or does not fit.
  """
  return linear_probe.ridge(
    train.features, _angles(train.labels, train.features), train.group
  )


def _angles(labels, rows):
  return np.stack(
    [base.label(labels, f"{name}_rad", "N", rows) for name in ANGLES], axis=1
  ).astype(np.float64)


def measure(
  outputs: np.ndarray,
  labels: dict[str, np.ndarray],
  group: np.ndarray,
  seed: int = 0,
) -> base.Measured:
  """Measures predicted angles.

  Args:
    outputs: [M, 3] float, yaw, pitch and roll in radians.
    labels: With `yaw_rad`, `pitch_rad` and `roll_rad` [M].
    group: [M], the person of each row.
    seed: Of the bootstrap.

  Returns:
    Scores: mean absolute errors `mae_mean`, `mae_yaw`, `mae_pitch`, `mae_roll`
    in degrees; `r2_yaw`, the share of the variance of yaw that is explained.
    Quality: the error, mean of the three angles, negative. Details:
    `mae_of_mean`, the errors of a constant, the mean of the measured angles.

  Raises:
    InputError: Labels or outputs do not fit.
  """
  true, predicted = _angles(labels, outputs), np.asarray(outputs, np.float64)
  errors.check_shape("outputs", predicted, "N 3", "Give yaw, pitch, roll.")
  error = np.degrees(np.abs(predicted - true))
  measured = {"mae_mean": error.mean(axis=1)}
  measured |= {f"mae_{name}": error[:, k] for k, name in enumerate(ANGLES)}
  scores = {
    name: bootstrap.score(values, group, "deg", False, seed)
    for name, values in measured.items()
  }
  yaw = statistics.r2(predicted[:, :1], true[:, :1])
  scores["r2_yaw"] = bootstrap.score(yaw, group, "", True, seed)
  spread = np.degrees(np.abs(true - true.mean(axis=0))).mean(axis=0)
  details = {"mae_of_mean": dict(zip(ANGLES, spread.tolist()))}
  return base.Measured(scores, -error.mean(axis=1), details, measured)
