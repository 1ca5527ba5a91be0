"""Shadows that a head casts on itself, from a small picture the light sees."""

import numpy as np

from facerep_jax.synthetic import chart, rasterise

SIDE = 56  # Of the light's picture, px.
SPAN = 3.0  # What it spans, units of 100 mm.
_BIAS = 0.05  # A point this far behind the lit surface is still lit.


def cast(
  posed: np.ndarray,
  normal: np.ndarray,
  faces: np.ndarray,
  toward: np.ndarray,
  soft: float,
) -> np.ndarray:
  """Finds how much of the light reaches each vertex past the others.

  Args:
    posed: [V, 3] float, the mesh in camera axes.
    normal: [V, 3] float32, its outward unit normals.
    faces: [F, 3] int, front sides clockwise as the camera sees them.
    toward: [3] float, unit, from the head to the light.
    soft: Width of the shadows' edges, units of 100 mm.

  Returns:
    [V] float32, 1 where nothing is before the light, 0 in full shadow.
  """
  right = np.array([-toward[2], 0.0, toward[0]])
  right /= np.sqrt((right * right).sum()) + 1e-9
  down = -np.array(
    [
      toward[1] * right[2] - toward[2] * right[1],
      toward[2] * right[0] - toward[0] * right[2],
      toward[0] * right[1] - toward[1] * right[0],
    ]
  )
  # A frame as the camera's: x right, y down, z away from the light.
  x, y, z = (
    sum(axis[i] * posed[:, i] for i in range(3))
    for axis in (right, down, -toward)
  )
  scale = SIDE / SPAN
  xy = np.stack([x, y], -1) * scale + SIDE / 2
  depth = z + 20.0
  raster = rasterise.rasterise(xy, depth, faces, SIDE, SIDE)
  nearest = np.full((SIDE + 2) ** 2, 100.0, np.float32)
  row, column = np.divmod(raster.pixel, SIDE)
  nearest[(row + 1) * (SIDE + 2) + column + 1] = raster.depth
  # Taps about each vertex, moved off the surface towards its outside.
  out = np.zeros(len(posed), np.float32)
  reach = max(soft * scale, 0.5)
  slack = np.float32(_BIAS + 0.5 * soft)
  outward = [
    sum(axis[i] * normal[:, i] for i in range(3)) for axis in (right, down)
  ]
  z = depth.astype(np.float32)
  taps = ((0, 0), (1, 0.4), (-1, -0.4), (0.4, -1), (-0.4, 1))
  for u, v in taps:
    i = xy[:, 0] + reach * u + 0.8 * outward[0]
    j = xy[:, 1] + reach * v + 0.8 * outward[1]
    i = np.clip(np.rint(i), -1, SIDE).astype(np.int64) + 1
    j = np.clip(np.rint(j), -1, SIDE).astype(np.int64) + 1
    behind = z - nearest[j * (SIDE + 2) + i] - slack
    out += np.clip(1 - behind / np.float32(0.06), 0, 1)
  return out / np.float32(len(taps))


def of_parts(s: np.ndarray, t: np.ndarray, sunlit: np.ndarray) -> np.ndarray:
  """Returns the light that reaches `inner.parts`, [4] float32.

  Args:
    s: [V] float, azimuths of the vertices.
    t: [V] float, heights.
    sunlit: [V] float32, from `cast`.
  """
  eye = np.abs(np.abs(s) - chart.EYE_S) < chart.EYE_HALF_S
  eye &= np.abs(t - chart.EYE_T) < 0.06
  mouth = np.abs(t - chart.MOUTH_T) < 0.08
  mouth &= np.abs(s) < 0.7 * chart.MOUTH_S
  right, left, lips = (
    sunlit[near].mean() for near in (eye & (s < 0), eye & (s > 0), mouth)
  )
  return np.array([right, left, lips, lips], np.float32)
