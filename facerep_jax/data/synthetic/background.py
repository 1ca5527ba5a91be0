"""Procedural backgrounds."""

import numpy as np

NUM_KINDS = 6


def noise(
  rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]
) -> np.ndarray:
  """Returns smooth noise, [height, width] float32 in [0, 1].

  Args:
    rng: Where the numbers come from; as many for any size.
    height: Rows.
    width: Columns.
    cells: Random values down and across, linearly interpolated between.
  """
  values = rng.random((cells[0] + 1, cells[1] + 1)).astype(np.float32)

  def lerp(table, count):
    cells = len(table) - 1
    at = np.linspace(0, cells, count, dtype=np.float32)
    first = np.minimum(at.astype(np.int64), cells - 1)
    u = (at - first)[:, None]
    return table[first] * (1 - u) + table[first + 1] * u

  return lerp(lerp(values, height).T, width).T


def draw(rng: np.random.Generator, size: int) -> np.ndarray:
  """Draws a background.

  Args:
    rng: Where the numbers come from; as many for any size.
    size: Side in pixels.

  Returns:
    [size, size, 3] float32, linear light, [0, 1].
  """
  colours = (rng.random((4, 3)) ** rng.uniform(0.6, 2.2)).astype(np.float32)
  grey = colours.mean(axis=1, keepdims=True)
  colours = grey + rng.uniform(0.05, 0.75) * (colours - grey)
  x, y = np.meshgrid(*[np.linspace(0, 1, size, dtype=np.float32)] * 2)
  kind = int(rng.integers(NUM_KINDS))
  if kind == 0:  # A wall with falling light.
    mix = 0.5 + 0.5 * np.sin(rng.uniform(0, 6) + rng.uniform(1, 3) * x + y)
  elif kind == 1:  # Out-of-focus shapes.
    mix = (
      noise(rng, size, size, (4, 4)) * 0.7
      + noise(rng, size, size, (11, 11)) * 0.3
    )
  elif kind == 2:  # Panels or curtains.
    angle, count = rng.choice([0.0, np.pi / 2, 0.6]), rng.uniform(3, 9)
    along = x * np.cos(angle) + y * np.sin(angle)
    mix = 0.5 + 0.5 * np.tanh(3 * np.sin(2 * np.pi * count * along))
  elif kind == 3:
    mix = _discs(rng, x, y)
  elif kind == 4:
    mix = _room(rng, x, y)
  else:  # Outdoors: sky above, something darker below.
    edge = rng.uniform(0.3, 0.7) + 0.15 * noise(rng, 1, size, (9, 9))
    mix = (y > edge) * (0.6 + 0.4 * noise(rng, size, size, (23, 23)))
  mix = np.clip(mix, 0, 1)[..., None]
  out = colours[0] * (1 - mix) + colours[1] * mix
  light = 0.75 + 0.5 * noise(rng, size, size, (2, 2))[..., None]
  return np.clip(out * light, 0, 1).astype(np.float32)


def _discs(rng, x, y):
  """Blurred lamps."""
  mix = np.zeros_like(x)
  for _ in range(14):
    cx, cy, radius, level = rng.random(4)
    radius = 0.03 + 0.09 * radius
    away = np.hypot(x - np.float32(cx), y - np.float32(cy))
    mix += np.float32(level) * np.clip((radius - away) / 0.01, 0, 1)
  return mix


def _room(rng, x, y):
  """A wall with frames or shelves of other colours."""
  mix = 0.15 * x
  for _ in range(7):
    cx, cy, w, h, level = rng.random(5)
    inside = (np.abs(x - cx) < 0.04 + 0.14 * w) & (
      np.abs(y - cy) < 0.04 + 0.16 * h
    )
    mix = np.where(inside, np.float32(level), mix)
  return mix
