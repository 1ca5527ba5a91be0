"""Draws one frame: skin first, then what lies behind lids and lips."""

import functools

import numpy as np

from facerep_jax.synthetic import albedo, chart, head, inner, rasterise, shading

_LOOKUP = 4096  # Steps along each axis of the chart.


@functools.cache
def _texel_of(side: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the texture's column of each step in s, row of each in t."""
  grid, tables = chart.grid(), []
  texels = albedo.texels(side)
  for axis, centres in zip((grid.s, grid.t), texels):
    at = np.linspace(axis[0], axis[-1], _LOOKUP)
    middle = (centres[1:] + centres[:-1]) / 2
    tables.append(np.searchsorted(middle, at))
  return tables[0], tables[1]


def _steps(values: np.ndarray, axis: np.ndarray) -> np.ndarray:
  """Returns the step of the look-up that each value falls on."""
  scale = np.float32((_LOOKUP - 1) / (axis[-1] - axis[0]))
  at = ((values - np.float32(axis[0])) * scale + np.float32(0.5)).astype(int)
  return np.clip(at, 0, _LOOKUP - 1)  # Rounding at the chart's very edge.


def draw_skin(
  image: np.ndarray,
  raster: rasterise.Raster,
  lit: np.ndarray,
  texture: np.ndarray,
  gloss: float,
) -> tuple[np.ndarray, np.ndarray]:
  """Paints the skin over the background, in place.

  Args:
    image: [P, 3] float32, linear light, all pixels of the frame.
    raster: Where the head is seen.
    lit: [V, 4] float32, from `shading.irradiance`.
    texture: [side, side, 3] float32.
    gloss: Strength of the skin's highlights.

  Returns:
    s and t of the covered pixels, float32.
  """
  model = head.built_in()
  values = np.concatenate(
    [lit, model.s[:, None], model.t[:, None]], axis=1, dtype=np.float32
  )
  seen = raster.interpolate(model.chart.faces, values)
  s, t = seen[:, 4], seen[:, 5]
  columns, rows = _texel_of(len(texture))
  texel = rows.take(_steps(t, model.chart.t)) * len(texture)
  texel += columns.take(_steps(s, model.chart.s))
  colour = texture.reshape(-1, 3).take(texel, axis=0)
  colour *= seen[:, :3]
  colour += np.float32(gloss) * seen[:, 3:4]
  image[raster.pixel] = colour
  return s, t


def lids(
  s: np.ndarray, t: np.ndarray, edges: np.ndarray, liner: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Finds the eyes' openings and the shade of lashes and creases.

  Args:
    s: [P] float32, azimuths of pixels.
    t: [P] float32, heights.
    edges: [2, 2] float, (right, left) x (upper, lower) lid, middle heights.
    liner: Strength of the lashes.

  Returns:
    Indices [E] of pixels near the eyes; for these: whether they lie in the
    opening [E], the skin's shade [E] float32 and how far below the upper lid
    they are [E] float32.
  """
  near = np.flatnonzero(
    (np.abs(np.abs(s) - chart.EYE_S) < 1.15 * chart.EYE_HALF_S)
    & (np.abs(t + 0.02) < 0.16)
  )
  s, t = s[near], t[near]
  pair = edges.astype(np.float32)[(s > 0).astype(int)]
  top, bottom = chart.lid_lines(s, pair[:, 0], pair[:, 1])
  open_ = (t > top) & (t < bottom)
  e = np.abs(np.abs(s) - chart.EYE_S) / np.float32(chart.EYE_HALF_S)
  within = e < 1.06
  # A wide-open eye pulls its crease up under the brow.
  lash = np.where(t <= top, np.exp(-(((t - top) / 0.014) ** 2)), 0) * within
  crease = np.exp(-(((t - 0.75 * top + 0.062) / 0.012) ** 2)) * within
  below = np.where(t >= bottom, np.exp(-(((t - bottom) / 0.010) ** 2)), 0)
  shade = 1 - liner * lash - 0.28 * crease - 0.3 * liner * below * within
  return near, open_, np.maximum(shade, 0.05), t - top


def mouth_opening(s: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Returns indices of the pixels between the lips."""
  close = np.flatnonzero(np.abs(t - np.float32(chart.MOUTH_T)) < chart.SLIT)
  height = np.abs(t[close] - chart.MOUTH_T)
  return close[height < chart.slit_height(s[close])]


def draw_eyes(
  image: np.ndarray,
  pixels: np.ndarray,
  below_lid: np.ndarray,
  raster: rasterise.Raster,
  values: np.ndarray,
  gaze: np.ndarray,
  glint: np.ndarray,
  iris: np.ndarray,
  white: np.ndarray,
) -> None:
  """Paints whites, irises and pupils into the lids' openings, in place.

  Args:
    image: [P, 3] float32, linear light.
    pixels: [E] int, rising: the openings' pixels.
    below_lid: [E] float32, distance from the upper lid, chart units.
    raster: The inner parts.
    values: [V, 6] float32, irradiance RGB and local position of the parts.
    gaze: [3] float32, where the eyes look, head coordinates.
    glint: [3] float32, direction whose reflection is the light.
    iris: [3] float, linear RGB.
    white: [3] float, linear RGB.
  """
  mesh = inner.parts()
  image[pixels] = 0.25 * white  # Where the ball does not reach.
  common, at, where = np.intersect1d(
    pixels, raster.pixel, assume_unique=True, return_indices=True
  )
  keep = mesh.face_part[raster.face[where]] <= inner.LEFT_EYE
  common, at, where = common[keep], at[keep], where[keep]
  seen = _interpolate(raster, where, mesh.faces, values)
  local = seen[:, 3:]
  local = local / np.sqrt((local * local).sum(1, keepdims=True))
  along = (local * gaze).sum(1)
  colour = np.broadcast_to(white, local.shape).astype(np.float32)
  for limit, paint in ((0.45, iris * 0.3), (0.39, iris), (0.17, iris * 0.03)):
    colour[along > np.cos(limit)] = paint
  shadow = 0.45 + 0.55 * chart.ramp(below_lid[at], 0.0, 0.05)
  colour *= seen[:, :3] * shadow[:, None].astype(np.float32)
  colour[(local * glint).sum(1) > np.cos(0.11)] += 0.7
  image[common] = colour


def draw_mouth(
  image: np.ndarray,
  pixels: np.ndarray,
  height: np.ndarray,
  raster: rasterise.Raster,
  values: np.ndarray,
  opening: float,
  teeth: np.ndarray,
) -> None:
  """Paints teeth, tongue and dark between the lips, in place.

  Args:
    image: [P, 3] float32, linear light.
    pixels: [M] int, rising: the pixels between the lips.
    height: [M] float32, 0 at the upper lip, 1 at the lower.
    raster: The inner parts.
    values: [V, 6] float32, irradiance RGB and local position of the parts.
    opening: How wide the mouth stands open, [0, 1].
    teeth: [3] float, linear RGB.
  """
  mesh = inner.parts()
  tongue = chart.ramp(height, 0.45, 0.75)[:, None] * opening
  dark = np.array([0.020, 0.006, 0.006])
  image[pixels] = dark + tongue * np.array([0.17, 0.045, 0.04])
  common, _, where = np.intersect1d(
    pixels, raster.pixel, assume_unique=True, return_indices=True
  )
  keep = mesh.face_part[raster.face[where]] >= inner.UPPER_TEETH
  common, where = common[keep], where[keep]
  seen = _interpolate(raster, where, mesh.faces, values)
  gap = np.abs(np.sin(seen[:, 3] * np.float32(np.pi / 0.075))) ** 0.3
  edge = 1 - (seen[:, 3] / np.float32(0.30)) ** 2
  shade = (0.25 + 0.45 * min(4 * opening, 1.0)) * (0.6 + 0.4 * gap) * edge
  image[common] = teeth * seen[:, :3] * shade[:, None]


def _interpolate(raster, where, faces, values):
  """Interpolates values at some of a raster's pixels."""
  part = rasterise.Raster(
    raster.pixel[where],
    raster.face[where],
    raster.barycentric[where],
    raster.depth[where],
  )
  return part.interpolate(faces, values)


def inner_values(
  rotation: np.ndarray,
  light: shading.Light,
  frame: int,
  sunlit: np.ndarray,
) -> np.ndarray:
  """Lights eyeballs and teeth.

  Args:
    rotation: [3, 3] float, the head's.
    light: The light.
    frame: [0, T).
    sunlit: [4] float32, from `shadows.of_parts`.

  Returns:
    [V, 6] float32, as `draw_eyes` takes it.
  """
  mesh = inner.parts()
  ball = (mesh.vertex_part <= inner.LEFT_EYE)[:, None]
  outward = np.where(ball, mesh.local, [0.0, 0.0, -1.0])
  # Teeth curve as the arch does.
  outward = outward + np.where(ball, 0, mesh.local * [3.0, 0, 0])
  turned = np.stack([(outward * row).sum(1) for row in rotation], axis=-1)
  turned /= np.linalg.norm(turned, axis=1, keepdims=True)
  cavity = np.full(len(turned), 0.85, np.float32)
  lit = shading.irradiance(
    turned.astype(np.float32), cavity, light, frame, sunlit[mesh.vertex_part]
  )
  return np.concatenate([lit[:, :3], mesh.local], axis=1, dtype=np.float32)
