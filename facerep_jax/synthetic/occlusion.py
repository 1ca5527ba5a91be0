"""Hands, microphones and other things between the camera and the face."""

import dataclasses

import numpy as np

from facerep_jax.synthetic import motion

SHARE = 0.08  # Of the recordings.


@dataclasses.dataclass(frozen=True)
class Occluder:
  """Capsules in the plane of the picture, in front of everything.

  Attributes:
    capsules: [N, 5] float64, both ends' x and y and the radius, in widths of
      the face about its middle.
    colours: [N, 3] float64, linear RGB.
    path: [T, 2] float64, where their origin is, in the same units.
  """

  capsules: np.ndarray
  colours: np.ndarray
  path: np.ndarray


def draw(
  rng: np.random.Generator, skin: np.ndarray, num_frames: int
) -> Occluder | None:
  """Draws what hides a part of the face in some recordings.

  Args:
    rng: Where the numbers come from; as many for any skin.
    skin: [3] float, linear RGB of the person's hands.
    num_frames: T.

  Returns:
    The occluder, or None.
  """
  chance, side = rng.random(), rng.choice([-1.0, 1.0])
  colour = rng.random(3) ** 2.2
  colour = colour.mean() + 0.5 * (colour - colour.mean())
  spot = rng.uniform([0.12, -0.5], [0.62, 0.75]) * [side, 1]
  sway = motion.path(0.04 * motion.bounded_normal(rng, (4, 2)), num_frames)
  spread = rng.uniform(0.02, 0.3, 4)
  length = rng.uniform(0.25, 0.5, 4)
  angle = -side * rng.uniform(-0.4, 1.2)
  if chance > SHARE:
    return None
  if chance < 0.55 * SHARE:
    capsules = _hand(spread, length, angle)
    colours = np.broadcast_to(0.85 * skin, (len(capsules), 3))
  else:
    # A microphone, a cup, a phone: a body and a stick from below.
    radius = 0.06 + 0.3 * spread[0]
    body = [0, 0, 0.2 * np.sin(angle), 0.5 * spread[1], radius]
    stick = [0, 0, 0.6 * np.sin(angle), 1.5, 0.5 * radius]
    capsules = np.array([stick, body])
    colours = np.stack([0.5 * colour, colour])
  return Occluder(capsules, colours, spot + sway)


def _hand(spread, length, angle):
  """Returns an arm, a palm and four fingers as capsules, [N, 5]."""
  ahead = np.array([np.sin(angle), -np.cos(angle)])
  across = np.array([ahead[1], -ahead[0]])
  out = [
    [*(-0.12 * ahead), *(-1.6 * ahead), 0.15],
    [*(0.1 * across), *(-0.1 * across), 0.15],
  ]
  for i in range(4):
    root = 0.085 * (i - 1.5) * across
    tip = root + length[i] * ahead + spread[i] * 0.3 * (i - 1.5) * across
    out.append([*root, *tip, 0.05])
  return np.array(out)


def paint(
  image: np.ndarray,
  nearest: np.ndarray,
  occluder: Occluder,
  frame: int,
  box_px: np.ndarray,
  light: np.ndarray,
) -> None:
  """Paints an occluder, in place.

  Args:
    image: [side * side, 3] float32, linear light.
    nearest: [side * side] float, depths; what is painted becomes nearest.
    occluder: The occluder.
    frame: [0, T).
    box_px: [3] float, x and y of the face's middle and its width.
    light: [3] float, linear RGB that falls on it.
  """
  side = round(len(nearest) ** 0.5)
  unit = box_px[2]
  origin = box_px[:2] + unit * occluder.path[frame]
  for capsule, colour in zip(occluder.capsules, occluder.colours):
    x0, y0, x1, y1 = capsule[:4] * unit + np.tile(origin, 2)
    radius = capsule[4] * unit
    left, right = _span(x0, x1, radius, side)
    top, bottom = _span(y0, y1, radius, side)
    if left >= right or top >= bottom:
      continue
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    dx, dy = x1 - x0, y1 - y0
    along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-9)
    along = np.clip(along, 0, 1)
    away = np.hypot(x - x0 - along * dx, y - y0 - along * dy) / radius
    inside = away < 1
    pixel = (y.astype(int) * side + x.astype(int))[inside]
    round_ = 0.45 + 0.55 * np.sqrt(1 - away[inside] ** 2)
    image[pixel] = (round_[:, None] * (colour * light)).astype(np.float32)
    nearest[pixel] = 0.0


def _span(first, second, radius, side):
  """Returns the pixels along one axis that a capsule may touch."""
  low, high = min(first, second) - radius, max(first, second) + radius
  return max(int(np.floor(low)), 0), min(int(np.ceil(high)) + 1, side)
