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
  """Draws a background: a scene, things in it, its light.

  Args:
    rng: Where the numbers come from; as many for any size.
    size: Side in pixels.

  Returns:
    [size, size, 3] float32, linear light, [0, 1].
  """
  x, y = np.meshgrid(*[np.linspace(0, 1, size, dtype=np.float32)] * 2)
  first, second = _colours(rng, 2)
  mix = np.clip(_scene(rng, x, y), 0, 1)[..., None]
  out = first * (1 - mix) + second * mix
  clutter = rng.random()
  if clutter > 0.2:
    _things(rng, out, x, y, int(2 + 24 * (clutter - 0.2)))
  if rng.random() < 0.4:
    _people(rng, out, x, y)
  rough = rng.random() ** 1.5
  cells = [(int(c * rng.uniform(0.6, 1.6)),) * 2 for c in (5, 14, 40)]
  for share, cell in zip((0.9, 0.7, 0.5), cells):
    texture = noise(rng, size, size, cell)[..., None] - np.float32(0.5)
    out *= np.maximum(1 + np.float32(share * rough) * 1.6 * texture, 0.05)
  light = 0.7 + 0.6 * noise(rng, size, size, (2, 2))[..., None]
  level = np.float32(np.exp(rng.uniform(-1.2, 1.0)))
  return np.clip(out * light * level, 0, 1).astype(np.float32)


def _colours(rng, count):
  """Draws linear colours, most of them dull; [count, 3] float32."""
  colours = rng.random((count, 3)) ** rng.uniform(0.8, 2.4)
  # Some things are dark, some bright, whatever their colour.
  colours *= np.exp(rng.uniform(-2.6, 1.0, (count, 1)))
  grey = colours.mean(axis=1, keepdims=True)
  vivid = 0.05 + 0.75 * rng.random((count, 1)) ** 2.5
  return (grey + vivid * (colours - grey)).astype(np.float32)


def _scene(rng, x, y):
  """Returns the share of the second colour, about [0, 1]."""
  size = len(x)
  kind = int(rng.choice(NUM_KINDS, p=[0.25, 0.3, 0.07, 0.08, 0.15, 0.15]))
  if kind == 0:  # A wall with falling light.
    return 0.5 + 0.5 * np.sin(rng.uniform(0, 6) + rng.uniform(1, 3) * x + y)
  if kind == 1:  # Out-of-focus shapes.
    return (
      noise(rng, size, size, (4, 4)) * 0.9
      + noise(rng, size, size, (11, 11)) * 0.5
      - 0.2
    )
  if kind == 2:  # Panels or curtains.
    angle, count = rng.choice([0.0, np.pi / 2, 0.6]), rng.uniform(3, 9)
    along = x * np.cos(angle) + y * np.sin(angle)
    return 0.5 + 0.5 * np.tanh(3 * np.sin(2 * np.pi * count * along))
  if kind == 3:
    return _discs(rng, x, y)
  if kind == 4:
    return _room(rng, x, y)
  # Outdoors: sky above, something darker below.
  edge = rng.uniform(0.3, 0.7) + 0.15 * noise(rng, 1, size, (9, 9))
  return (y > edge) * (0.6 + 0.4 * noise(rng, size, size, (23, 23)))


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


def _cover(out, colour, away, soft):
  """Paints where `away` is below zero, with an edge that wide, in place."""
  weight = np.clip(np.float32(0.5) - away / np.float32(soft), 0, 1)
  touched = weight.max(axis=1) > 0
  out[touched] += weight[touched][..., None] * (colour - out[touched])


def _things(rng, out, x, y, count):
  """Boxes, bars and blobs of their own colours, sharp or out of focus."""
  soft = np.exp(rng.uniform(np.log(0.004), np.log(0.15)))
  for colour in _colours(rng, count):
    cx, cy, w, h, turn, kind = rng.random(6).astype(np.float32)
    w, h = 0.02 + 0.25 * w * w, 0.02 + 0.3 * h * h
    cos, sin = np.cos(turn - 0.5), np.sin(turn - 0.5)
    u = np.abs((x - cx) * cos + (y - cy) * sin)
    v = np.abs((y - cy) * cos - (x - cx) * sin)
    if kind < 0.3:
      _cover(out, colour, np.hypot(u / w, v / h) * w - w, soft)
    else:
      long = np.float32(1.0) if kind < 0.5 else h  # A post or a box.
      _cover(out, colour, np.maximum(u - w, v - long), soft)


def _people(rng, out, x, y):
  """Heads and shoulders of bystanders, out of focus."""
  for _ in range(int(rng.integers(1, 4))):
    cx, cy = rng.uniform(0, 1), rng.uniform(0.2, 0.75)
    size, soft = rng.uniform(0.06, 0.2), rng.uniform(0.01, 0.08)
    tone = rng.uniform(0.06, 0.6)
    skin = np.array([tone, 0.6 * tone, 0.45 * tone], np.float32)
    hair, shirt = _colours(rng, 2)
    u, v = (x - np.float32(cx)) / size, (y - np.float32(cy)) / size
    body = np.maximum(np.abs(u) - 2.2, 1.5 + 0.25 * u * u - v) * size
    _cover(out, shirt, body, soft)
    _cover(out, 0.4 * hair, (np.hypot(u, v / 1.25 + 0.1) - 1.08) * size, soft)
    face = np.hypot(u / 0.85, (v - 0.25) / 1.1) - 0.9
    _cover(out, skin, face * size, soft)
