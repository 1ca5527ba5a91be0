"""Smooth paths over a track: pose, expression, speech, blinks, gaze, crop."""

import dataclasses
import itertools

import numpy as np

from facerep_jax.synthetic import actions

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


def draw(
  rng: np.random.Generator,
  num_frames: int,
  pose_scale: float,
  expressions: int,
) -> Motion:
  """Draws the motion of a track.

  Args:
    rng: Where the numbers come from.
    num_frames: T.
    pose_scale: Factor of yaw, pitch and roll.
    expressions: How many follow each other; 0: one, in some tracks two.

  Returns:
    The paths.
  """
  yaw, pitch, roll = (pose_scale * x for x in _pose(rng, num_frames))
  left, right, expression, intensity = _face(rng, num_frames, expressions)
  # The eyes make up for some of the head's turn.
  gaze = path(bounded_normal(rng, (6, 2)) * [0.14, 0.08], num_frames)
  gaze[:, 0] -= 0.35 * rng.random() * yaw
  gaze[:, 1] -= 0.25 * pitch
  aim = np.array([0.5, 0.51]) + 0.02 * bounded_normal(rng, 2)
  aim = aim + path(0.012 * bounded_normal(rng, (5, 2)), num_frames)
  zoom = np.exp(
    0.04
    + 0.075 * bounded_normal(rng)
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
  """A third of the tracks turn far; most others stay near the front."""
  kind = rng.choice(4, p=[0.3, 0.22, 0.22, 0.26])
  deg = np.deg2rad(1.0)
  if kind == 0:  # A turn of 50 to 120 degrees, at times and back.
    half = rng.uniform(0.42, 1.0) * MAX_YAW_RAD
    middle = rng.uniform(-1, 1) * (MAX_YAW_RAD - half)
    side = rng.choice([-1.0, 1.0])
    knots = middle + half * side * np.array([-1, 1, -rng.uniform(0, 1)])
    yaw = path(knots[: rng.integers(2, 4)], num_frames)
  elif kind == 1:  # Looks about.
    yaw = path(20 * deg * bounded_normal(rng, 4), num_frames)
  elif kind == 2:  # Holds a turned head.
    middle = rng.choice([-1.0, 1.0]) * rng.uniform(12, 48)
    yaw = path(deg * (middle + 4 * bounded_normal(rng, 4)), num_frames)
  else:
    knots = 6 * bounded_normal(rng) + 4 * bounded_normal(rng, 5)
    if rng.random() < 0.25:  # Looks round once.
      knots[rng.integers(5)] += rng.choice([-1.0, 1.0]) * rng.uniform(10, 30)
    yaw = path(deg * knots, num_frames)
  far = rng.choice([0.6, 1.1], p=[0.6, 0.4])
  pitch = 0.6 * bounded_normal(rng) + 0.4 * bounded_normal(rng, 4)
  tilt = rng.choice([0.5, 1.1], p=[0.6, 0.4])
  roll = 0.5 * bounded_normal(rng) + 0.5 * bounded_normal(rng, 4)
  return (
    yaw,
    path(far * 9 * deg * pitch, num_frames),
    path(tilt * 7.5 * deg * roll, num_frames),
  )


def _cuts(rng, expressions):
  """Draws the times between which there is one expression."""
  # In some tracks one expression gives way to another.
  cuts = [0.0, rng.uniform(0.42, 0.58), 1.0]
  if rng.random() < 0.6:
    cuts = [0.0, 1.0]
  if expressions:
    cuts = np.arange(expressions + 1) / expressions
    cuts[1:-1] += rng.uniform(-0.2, 0.2, expressions - 1) / expressions
  return cuts


def _face(rng, num_frames, expressions):
  """Expressions, speech and blinks as action units of both halves."""
  cuts = _cuts(rng, expressions)
  at = np.linspace(0, 1, num_frames)
  left, right = np.zeros((2, num_frames, len(actions.UNITS)))
  expression, intensity = np.zeros(num_frames, np.int64), np.zeros(num_frames)
  for start, end in itertools.pairwise(cuts):
    kind, units, skew = _recipe(rng)
    is_whole = end - start == 1
    shape = _envelope(rng, (at - start) / (end - start), is_whole)
    here = rng.uniform(0.4, 1.0) ** 0.7 * shape * (kind > 0)
    left += here[:, None] * units * (1 + skew)
    right += here[:, None] * units * (1 - skew)
    expression[here >= EXPRESSION_FLOOR] = kind
    intensity += here
  others = _speech(rng, num_frames) * (1 - 0.6 * intensity[:, None])
  others += _idle(rng, num_frames) * (1 - 0.6 * intensity[:, None])
  blink = _blinks(rng, num_frames)
  halves = []
  for units in (left + others, right + others):
    units[:, actions.INDEX[45]] = blink
    units = np.maximum(units, 0)
    halves.append(1 - np.exp(-units - 1.2 * units**2))  # Never above one.
  return *halves, expression, intensity


# People smile more often than they sneer.
_HOW_OFTEN = (0.14, 0.20, 0.12, 0.13, 0.11, 0.11, 0.13, 0.06)


def _recipe(rng):
  """Draws how one person shows an expression now: kind, units, skew."""
  names = list(actions.EXPRESSIONS)
  kind = int(rng.choice(len(names), p=_HOW_OFTEN))
  recipe, extra = np.zeros((2, len(actions.UNITS)))
  for number, value in actions.EXPRESSIONS[names[kind]].items():
    recipe[actions.INDEX[number]] = value
  for number, value in actions.EXTRAS[names[kind]].items():
    extra[actions.INDEX[number]] = value
  more = max(rng.uniform(-0.7, 1.0), 0.0)
  recipe[[actions.INDEX[n] for n in actions.PRESSING]] *= 1 - more
  recipe = (recipe + more * extra) * (
    1 + 0.14 * bounded_normal(rng, recipe.shape)
  )
  skew = 0.09 * bounded_normal(rng, recipe.shape)
  if names[kind] == "contempt":
    skew += rng.choice([-0.7, 0.7])
  return kind, recipe, skew


def _envelope(rng, at, is_whole):
  """Eases in from neutral, holds, and eases out again; [T] over times `at`.

  A track of one expression may begin or end within it; of two, each begins
  and ends at neutral.
  """
  start, rise = rng.uniform(-0.3, 0.3), rng.uniform(0.13, 0.3)
  end = rng.uniform(0.7, 1.5)
  if not is_whole:
    start, end = max(start, 0.0) / 2, min(end, 1.0)
    rise = min(2 * rise, 0.4)
  up = np.clip((at - start) / rise, 0, 1)
  down = np.clip((end - at) / rise, 0, 1)
  both = np.minimum(up, down)
  return both**3 * (10 - 15 * both + 6 * both**2)


# Mouth shapes of speech, as units.
_VISEMES = (
  {26: 0.75, 25: 0.5},  # As in father.
  {20: 0.5, 25: 0.5, 26: 0.3},  # As in yes.
  {20: 0.5, 25: 0.4, 12: 0.2},  # As in see.
  {18: 0.6, 26: 0.5, 25: 0.3},  # As in or.
  {18: 1.0, 25: 0.2, 26: 0.1},  # As in too.
  {24: 0.6, 23: 0.3},  # As in me.
  {10: 0.2, 17: 0.4, 25: 0.2},  # As in fee.
  {25: 0.4, 16: 0.4, 26: 0.15},  # As in die.
  {},
)


def _speech(rng, num_frames):
  """Mouth shapes after each other, each about two frames long."""
  units = np.zeros((num_frames, len(actions.UNITS)))
  if rng.random() < 0.45:
    return units
  knots = np.zeros((max(num_frames // 2, 2), len(actions.UNITS)))
  for knot in knots:
    for number, value in _VISEMES[rng.integers(len(_VISEMES))].items():
      knot[actions.INDEX[number]] = value * rng.uniform(0.5, 1.3)
  loudness = rng.uniform(0.3, 1.0) * path(rng.random(4) ** 0.5, num_frames)
  return path(knots, num_frames) * loudness[:, None]


def _idle(rng, num_frames):
  """Small movements of brows, lids and lips that mean nothing."""
  units = np.zeros((num_frames, len(actions.UNITS)))
  brows, lids, lips = 0.16 * path(bounded_normal(rng, (5, 3)), num_frames).T
  units[:, actions.INDEX[1]] = units[:, actions.INDEX[2]] = np.maximum(brows, 0)
  units[:, actions.INDEX[4]] = np.maximum(-brows, 0)
  units[:, actions.INDEX[7]] = np.maximum(lids, 0)
  units[:, actions.INDEX[24]] = np.maximum(lips, 0)
  units[:, actions.INDEX[12]] = np.maximum(-lips, 0)
  return units


def _blinks(rng, num_frames):
  """Lids close and open within about three frames."""
  blink = np.zeros(num_frames)
  at = np.arange(num_frames)
  for _ in range(rng.poisson(num_frames / 16)):
    middle, width = rng.uniform(0, num_frames), rng.uniform(0.6, 1.3)
    blink = np.maximum(blink, np.exp(-(((at - middle) / width) ** 4)))
  return 3.0 * blink
