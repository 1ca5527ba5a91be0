"""Glasses: rims, bridge, arms and lenses as small meshes that turn with it."""

import dataclasses

import numpy as np

from facerep_jax.synthetic import rasterise

OPAQUE = 0.75  # Lenses that take more light than this hide the eyes.
_STEPS = 28  # Points around a rim.
_SIDES = 4  # Of a tube.


@dataclasses.dataclass(frozen=True)
class Glasses:
  """A pair of glasses, in head coordinates.

  Attributes:
    points: [V, 3] float64.
    faces: [F, 3] int32, the lenses' last.
    num_frame_faces: How many of the faces are rims, bridge and arms.
    colour: [3] float64, of the frame, linear RGB.
    tint: [3] float64, share of light that passes the lenses.
    mirror: Light that the lenses throw back, about [0, 0.5].
    gleam: Direction in which their reflection runs, rad.
  """

  points: np.ndarray
  faces: np.ndarray
  num_frame_faces: int
  colour: np.ndarray
  tint: np.ndarray
  mirror: float
  gleam: float

  @property
  def is_opaque(self) -> bool:
    """Whether the lenses hide the eyes."""
    return bool(1 - self.tint.mean() > OPAQUE)


def draw(
  rng: np.random.Generator,
  landmarks: np.ndarray,
  px: float,
  is_dark: bool | None = None,
) -> Glasses:
  """Draws a pair of glasses that fits a face.

  Args:
    rng: Where the numbers come from; as many for any face.
    landmarks: [68, 3] float, the resting face, head coordinates.
    px: What a pixel measures, so that thin rims do not break up.
    is_dark: Whether the lenses are; None: of 13 % of pairs.

  Returns:
    The glasses.
  """
  square, wide, tall, thick, metal, sun, level = rng.random(7)
  rim, bridge, arm = _lines(landmarks, square, wide, tall)
  mirror = rim * [-1, 1, 1]
  radius = max(0.009 + 0.024 * thick**2, 0.55 * px)
  tubes = [
    _tube(rim, radius, True),
    _tube(mirror, radius, True),
    _tube(bridge, radius, False),
    _tube(arm, radius, False),
    _tube(arm * [-1, 1, 1], radius, False),
  ]
  if metal < 0.15:  # No rims.
    tubes = tubes[2:]
  lenses = [_fan(rim), _fan(mirror)]
  points, faces, frame_faces = _join(tubes, lenses)
  dark = sun < 0.13 if is_dark is None else is_dark
  share = 0.05 + 0.25 * level if dark else 0.86 + 0.12 * level
  colour = _frame_colour(rng, metal)
  return Glasses(
    points,
    faces,
    frame_faces,
    colour,
    tint=share * (1 + 0.06 * rng.uniform(-1, 1, 3)),
    mirror=float(rng.uniform(0.0, 0.25) ** (1.0 if dark else 1.5)),
    gleam=float(rng.uniform(0, np.pi)),
  )


def _lines(landmarks, square, wide, tall):
  """Returns the left rim, the bridge and the left arm, [N, 3] each."""
  outer, inner = abs(landmarks[45, 0]), abs(landmarks[42, 0])
  centre_x = (outer + inner) / 2 + 0.02
  centre_y = landmarks[[36, 39, 42, 45], 1].mean() + 0.03
  half_width = min((outer - inner) * (0.78 + 0.22 * wide), centre_x - 0.06)
  half_height = half_width * (0.55 + 0.4 * tall)
  # The rims stand before the brows and the lashes, off the nose's ridge.
  front = min(landmarks[17:27, 2].min(), landmarks[36:48, 2].min()) - 0.06
  angle = np.linspace(0, 2 * np.pi, _STEPS, endpoint=False)
  power = 2 / (2 + 2.5 * square)
  u = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
  v = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
  x = centre_x + half_width * u * (1 + 0.06 * v * (1 - square))
  y = centre_y + half_height * v
  # They bend round the face.
  rim = np.stack([x, y, front + 0.10 * (x / 0.6) ** 2], -1)
  nose, top = x.min(), centre_y - 0.3 * half_height
  t = np.linspace(-1, 1, 7)
  bridge = np.stack(
    [nose * t, top - 0.04 * (1 - t * t), front - 0.015 * (1 - t * t)], -1
  )
  corner = rim[np.argmax(x - 0.3 * y)]
  side = landmarks[[0, 16]]
  ear = [np.abs(side[:, 0]).mean() + 0.05, top, side[:, 2].mean() + 0.28]
  t = np.linspace(0, 1, 9)[:, None]
  arm = corner + (ear - corner) * t
  arm[:, 0] += 0.05 * np.sin(np.pi * t[:, 0])
  return rim, bridge, arm


def _frame_colour(rng, metal):
  """Mostly dark; at times metal, brown or of any colour."""
  any_colour = rng.random(3)
  if metal < 0.45:
    return np.full(3, 0.05 + 0.35 * any_colour[0])
  if metal < 0.85:
    return np.array([0.03, 0.022, 0.02]) * (0.3 + 2 * any_colour[0])
  return any_colour**2.5


def _tube(line, radius, is_closed):
  """Returns points and faces of a tube along a line, [N, 3]."""
  before, after = np.roll(line, 1, 0), np.roll(line, -1, 0)
  if not is_closed:
    before[0], after[-1] = line[0], line[-1]
  along = after - before
  along /= np.sqrt((along * along).sum(1, keepdims=True))
  # Two directions across the line; no line here runs along (1, 1, 1).
  first = np.cross(along, np.array([0.577, 0.577, 0.577]))
  first /= np.sqrt((first * first).sum(1, keepdims=True))
  second = np.cross(along, first)
  angle = 2 * np.pi * np.arange(_SIDES) / _SIDES
  ring = first[:, None] * np.cos(angle)[:, None]
  ring = ring + second[:, None] * np.sin(angle)[:, None]
  points = (line[:, None] + radius * ring).reshape(-1, 3)
  count = len(line) if is_closed else len(line) - 1
  i, j = np.meshgrid(np.arange(count), np.arange(_SIDES), indexing="ij")
  next_i, next_j = (i + 1) % len(line), (j + 1) % _SIDES
  a, b = i * _SIDES + j, i * _SIDES + next_j
  c, d = next_i * _SIDES + next_j, next_i * _SIDES + j
  faces = np.concatenate(
    [np.stack([a, c, b], -1), np.stack([a, d, c], -1)], axis=1
  )
  return points, faces.reshape(-1, 3)


def _fan(rim):
  """Returns points and faces of a lens, seen from both sides."""
  count = len(rim)
  points = np.concatenate([rim, rim.mean(0, keepdims=True)])
  i = np.arange(count)
  front = np.stack([i, (i + 1) % count, np.full(count, count)], -1)
  return points, np.concatenate([front, front[:, ::-1]])


def _join(tubes, lenses):
  """Joins meshes; returns points, faces and how many are of the tubes."""
  parts = [*tubes, *lenses]
  starts = np.cumsum([0] + [len(p) for p, _ in parts])
  faces = [f + n for (_, f), n in zip(parts, starts)]
  return (
    np.concatenate([p for p, _ in parts]),
    np.concatenate(faces).astype(np.int32),
    sum(len(f) for _, f in tubes),
  )


def paint(
  image: np.ndarray,
  nearest: np.ndarray,
  glasses: Glasses,
  xy_px: np.ndarray,
  depth: np.ndarray,
  side: int,
  light: np.ndarray,
) -> None:
  """Paints glasses over what lies behind them, in place.

  Args:
    image: [side * side, 3] float32, linear light.
    nearest: [side * side] float, depth of what was drawn, infinite where
      nothing was; dark lenses are entered, rims and clear lenses are not.
    glasses: The glasses.
    xy_px: [V, 2] float, their projected points.
    depth: [V] float, of these.
    side: Rows and columns of the frame.
    light: [3] float, linear RGB that falls on the face.
  """
  cut = glasses.num_frame_faces
  lens = rasterise.rasterise(xy_px, depth, glasses.faces[cut:], side, side)
  seen = lens.depth < nearest[lens.pixel]
  pixel = lens.pixel[seen]
  image[pixel] *= glasses.tint.astype(np.float32)
  row, column = np.divmod(pixel, side)
  wave = np.sin(glasses.gleam) * row + np.cos(glasses.gleam) * column
  band = 0.5 + 0.5 * np.sin(wave * np.float32(14.0 / side))
  band = (band**4)[:, None].astype(np.float32)
  image[pixel] += np.float32(glasses.mirror) * band * light.astype(np.float32)
  if glasses.is_opaque:
    nearest[pixel] = lens.depth[seen]
  rim = rasterise.rasterise(xy_px, depth, glasses.faces[:cut], side, side)
  seen = rim.depth < nearest[rim.pixel]
  # Brighter above: the side of a tube that a ceiling lights.
  edge = (0.5 + rim.barycentric[seen, 0:1]) * light.astype(np.float32)
  image[rim.pixel[seen]] = glasses.colour.astype(np.float32) * edge
