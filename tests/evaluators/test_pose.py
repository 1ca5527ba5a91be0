import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import base, pose
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
GROUP = np.arange(90) // 3
ANGLES = RNG.uniform(-0.5, 0.5, (90, 3))
LABELS = dict(zip(("yaw_rad", "pitch_rad", "roll_rad"), ANGLES.T))


def test_known_errors_in_degrees():
  found = pose.measure(ANGLES + np.radians([3, -6, 9]), LABELS, GROUP)
  values = {name: score.value for name, score in found.scores.items()}
  assert next(iter(values)) == "mae_mean"
  np.testing.assert_allclose(
    [values[f"mae_{name}"] for name in ("yaw", "pitch", "roll", "mean")],
    [3, 6, 9, 6],
  )
  want = 1 - np.radians(3) ** 2 / np.var(ANGLES[:, 0])
  np.testing.assert_allclose(values["r2_yaw"], want)
  np.testing.assert_allclose(found.quality, -6)


def test_a_representation_of_pose_is_perfect_and_noise_says_the_mean():
  train, test = np.arange(90) < 60, np.arange(90) >= 60
  noise = RNG.normal(size=(90, 5))
  values = {}
  for name, x in {
    "pose": ANGLES @ RNG.normal(size=(3, 8)),
    "noise": noise,
  }.items():
    part = base.Part(
      x[train], {k: v[train] for k, v in LABELS.items()}, GROUP[train]
    )
    values[name] = pose.measure(
      pose.fit(part).outputs(x[test]),
      {k: v[test] for k, v in LABELS.items()},
      GROUP[test],
    )
  # The least strength shrinks angles of 30 degrees by its share, 1e-5.
  assert values["pose"].scores["mae_mean"].value < 0.05
  assert values["pose"].scores["r2_yaw"].value > 0.9999
  noisy = values["noise"].scores
  constant = values["noise"].details["mae_of_mean"]
  for angle in ("yaw", "pitch", "roll"):
    # Of the training mean, and the little that chance correlates.
    np.testing.assert_allclose(
      noisy[f"mae_{angle}"].value, constant[angle], rtol=0.25
    )
  assert -0.4 < noisy["r2_yaw"].value < 0.2


def test_intervals_are_over_people():
  found = pose.measure(ANGLES + 0.1, LABELS, np.zeros(90))
  made_up.assert_no_interval(found)


def test_refuses_missing_angles():
  with pytest.raises(errors.InputError, match="'roll_rad' is missing"):
    pose.measure(
      ANGLES, {k: LABELS[k] for k in ("yaw_rad", "pitch_rad")}, GROUP
    )
  with pytest.raises(errors.InputError, match="outputs: expected"):
    pose.measure(ANGLES[:, :2], LABELS, GROUP)
