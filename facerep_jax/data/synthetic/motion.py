"""Smooth paths over a track: pose, expression, speech, blinks, gaze, crop."""

import dataclasses

import numpy as np

from facerep_jax.data.synthetic import actions

MAX_YAW_RAD = np.deg2rad(60.0)
MAX_PITCH_RAD = np.deg2rad(30.0)
MAX_ROLL_RAD = np.deg2rad(25.0)
EXPRESSION_FLOOR = 0.15  # Weaker than this a frame counts as neutral.


@dataclasses.dataclass(frozen=True)
class Motion:
  """What changes over the T frames of a track.

  Attributes:
    yaw_rad: [T] float64.
    pitch_rad: [T] float64.
    roll_rad: [T] float64.
    trunk_yaw_rad: The trunk's own yaw, fixed.
    left: [T, 20] float64, action units of the face's left half, [0, 1].
    right: [T, 20] float64, of its right half.
    expression: [T] int64, 0 to 7 in `actions.EXPRESSIONS`' order.
    intensity: [T] float64, of the expression, [0, 1].
    gaze: [T, 2] float64, yaw and pitch of the eyes in the head, rad.
    aim: [T, 2] float64, where the crop puts the face, shares of the frame.
    zoom: [T] float64, size of the face in the crop, about 1.
    drift: [T, 2] float64, travel of the background, shares of the frame,
      within [-0.2, 0.2].
  """

  yaw_rad: np.ndarray
  pitch_rad: np.ndarray
  roll_rad: np.ndarray
  trunk_yaw_rad: float
  left: np.ndarray
  right: np.ndarray
  expression: np.ndarray
  intensity: np.ndarray
  gaze: np.ndarray
  aim: np.ndarray
  zoom: np.ndarray
  drift: np.ndarray


def bounded_normal(rng: np.random.Generator, shape=()) -> np.ndarray:
  """Draws numbers of mean 0 and deviation 1 that never leave [-3, 3]."""
  return 2.0 * (rng.random((3, *np.atleast_1d(shape).astype(int))).sum(0) - 1.5)


def path(knots: np.ndarray, num_frames: int) -> np.ndarray:
  """Passes through values at equal times, at rest at each of them.

  Args:
    knots: [K, ...] float, two or more values.
    num_frames: Length of the path.

  Returns:
    [num_frames, ...] float64 by minimum-jerk steps from knot to knot.
  """
  knots = np.asarray(knots, np.float64)
  at = np.linspace(0, len(knots) - 1, num_frames)
  first = np.minimum(at.astype(int), len(knots) - 2)
  u = at - first
  u = (u**3 * (10 - 15 * u + 6 * u * u)).reshape(-1, *[1] * (knots.ndim - 1))
  return knots[first] * (1 - u) + knots[first + 1] * u


def draw(rng: np.random.Generator, num_frames: int) -> Motion:
  """Draws the motion of a track.

  Args:
    rng: Where the numbers come from.
    num_frames: T.

  Returns:
    The paths.
  """
  yaw, pitch, roll = _pose(rng, num_frames)
  left, right, expression, intensity = _face(rng, num_frames)
  # The eyes make up for some of the head's turn.
  gaze = path(0.10 * bounded_normal(rng, (4, 2)), num_frames)
  gaze[:, 0] -= 0.25 * rng.random() * yaw
  gaze[:, 1] -= 0.25 * pitch
  aim = np.array([0.5, 0.54]) + 0.016 * bounded_normal(rng, 2)
  aim = aim + path(0.012 * bounded_normal(rng, (5, 2)), num_frames)
  zoom = np.exp(
    0.045 * bounded_normal(rng)
    + path(0.015 * bounded_normal(rng, 4), num_frames)
  )
  return Motion(
    yaw_rad=yaw,
    pitch_rad=pitch,
    roll_rad=roll,
    trunk_yaw_rad=float(0.35 * yaw.mean() + 0.1 * bounded_normal(rng)),
    left=left,
    right=right,
    expression=expression,
    intensity=intensity,
    gaze=gaze,
    aim=aim,
    zoom=zoom,
    drift=path(0.2 / 3 * bounded_normal(rng, (3, 2)), num_frames),
  )


def _pose(rng, num_frames):
  """Half of the tracks sweep from side to side, the rest look about."""
  kind = rng.choice(3, p=[0.5, 0.35, 0.15])
  if kind == 0:  # A turn of 50 to 120 degrees, at times and back.
    half = rng.uniform(0.42, 1.0) * MAX_YAW_RAD
    middle = rng.uniform(-1, 1) * (MAX_YAW_RAD - half)
    side = rng.choice([-1.0, 1.0])
    knots = middle + half * side * np.array([-1, 1, -rng.uniform(0, 1)])
    yaw = path(knots[: rng.integers(2, 4)], num_frames)
  elif kind == 1:
    yaw = path(MAX_YAW_RAD / 3 * bounded_normal(rng, 4), num_frames)
  else:
    middle = 0.75 * MAX_YAW_RAD / 3 * bounded_normal(rng)
    yaw = path(
      middle + 0.25 * MAX_YAW_RAD / 3 * bounded_normal(rng, 4), num_frames
    )
  pitch = 0.6 * bounded_normal(rng) + 0.4 * bounded_normal(rng, 4)
  roll = 0.5 * bounded_normal(rng) + 0.5 * bounded_normal(rng, 4)
  return (
    yaw,
    path(MAX_PITCH_RAD / 3 * pitch, num_frames),
    path(MAX_ROLL_RAD / 3 * roll, num_frames),
  )


def _face(rng, num_frames):
  """Expression, speech and blinks as action units of both halves."""
  names = list(actions.EXPRESSIONS)
  kind = int(rng.integers(len(names)))
  recipe = np.zeros(len(actions.UNITS))
  for number, value in actions.EXPRESSIONS[names[kind]].items():
    recipe[actions.INDEX[number]] = value
  recipe *= 1 + 0.12 * bounded_normal(rng, recipe.shape)
  intensity = rng.uniform(0.4, 1.0) * _envelope(rng, num_frames) * (kind > 0)
  skew = 0.08 * bounded_normal(rng, recipe.shape)
  if names[kind] == "contempt":
    skew += rng.choice([-0.7, 0.7])
  speech = _speech(rng, num_frames) * (1 - 0.5 * intensity[:, None])
  blink = _blinks(rng, num_frames)
  halves = []
  for sign in (1, -1):
    units = intensity[:, None] * recipe * (1 + sign * skew) + speech
    units[:, actions.INDEX[45]] = blink
    units = np.maximum(units, 0)
    halves.append(1 - np.exp(-units - 1.2 * units**2))  # Never above one.
  expression = np.where(intensity >= EXPRESSION_FLOOR, kind, 0)
  return *halves, expression, intensity


def _envelope(rng, num_frames):
  """Eases in from neutral, holds, and at times eases out again."""
  start = rng.uniform(-0.3, 0.35)
  rise = rng.uniform(0.15, 0.35)
  end = rng.uniform(0.6, 1.5)
  at = np.linspace(0, 1, num_frames)
  up = np.clip((at - start) / rise, 0, 1)
  down = np.clip((end - at) / rise, 0, 1)
  both = np.minimum(up, down)
  return both**3 * (10 - 15 * both + 6 * both**2)


def _speech(rng, num_frames):
  """Jaw and lips as in speech: slow enough for the frames to show it."""
  units = np.zeros((num_frames, len(actions.UNITS)))
  if rng.random() < 0.4:
    return units
  at = np.arange(num_frames)
  loudness = rng.uniform(0.2, 0.7) * path(rng.random(4), num_frames)
  for number, share in ((26, 0.8), (25, 0.6), (18, 0.6), (20, 0.4), (16, 0.4)):
    rate, phase = rng.uniform(0.08, 0.22), rng.uniform(0, 2 * np.pi)
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * rate * at + phase)
    units[:, actions.INDEX[number]] = share * loudness * beat
  return units


def _blinks(rng, num_frames):
  """Lids close and open within about three frames."""
  blink = np.zeros(num_frames)
  at = np.arange(num_frames)
  for _ in range(rng.poisson(num_frames / 16)):
    middle, width = rng.uniform(0, num_frames), rng.uniform(0.6, 1.3)
    blink = np.maximum(blink, np.exp(-(((at - middle) / width) ** 4)))
  return 3.0 * blink
