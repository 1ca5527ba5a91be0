"""A hard z-buffer for triangle meshes, in vectorised NumPy.

Convention: the centre of the pixel in row i, column j is (x, y) = (j, i); x
points right, y down. Depth is positive and grows away from the camera; what is
linear on the image plane is 1 / depth. A triangle covers a pixel whose centre
it contains, edges included; its front side is the one whose corners run
clockwise on the screen, and back sides are not drawn. Of two triangles at the
same depth the one listed first wins.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Raster:
  """What is seen at the covered pixels.

  Attributes:
    pixel: [P] int64, row * width + column, rising.
    face: [P] int64, the visible triangle.
    barycentric: [P, 3] float32, perspective-correct weights of its corners.
    depth: [P] float64.
  """

  pixel: np.ndarray
  face: np.ndarray
  barycentric: np.ndarray
  depth: np.ndarray

  def interpolate(self, faces: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolates vertex values over the covered pixels.

    Args:
      faces: [F, 3] int, the mesh that was drawn.
      values: [V, K] float32.

    Returns:
      [P, K] float32.
    """
    # `take` copies whole rows, several times faster than indexing does.
    corners = faces.take(self.face, axis=0)
    out = values.take(corners[:, 0], axis=0) * self.barycentric[:, :1]
    out += values.take(corners[:, 1], axis=0) * self.barycentric[:, 1:2]
    out += values.take(corners[:, 2], axis=0) * self.barycentric[:, 2:]
    return out


def rasterise(
  xy_px: np.ndarray,
  depth: np.ndarray,
  faces: np.ndarray,
  height: int,
  width: int,
) -> Raster:
  """Draws a mesh.

  Args:
    xy_px: [V, 2] float, projected vertices.
    depth: [V] float; triangles with a corner at depth <= 0 are not drawn.
    faces: [F, 3] int.
    height: Rows of the image.
    width: Columns of the image.

  Returns:
    The visible triangle at each covered pixel.
  """
  planes, box, kept = _set_up(xy_px, depth, faces, height, width)
  face, x, y = _candidates(box)
  # Corner weights and 1 / depth are planes over the image.
  xf, yf = x.astype(np.float64), y.astype(np.float64)
  inside = np.ones(face.size, bool)
  weights = []
  for k in range(3):
    a, b, c = planes[k]
    weights.append(a[face] * xf + b[face] * yf + c[face])
    inside &= weights[-1] >= 0
  inside = np.flatnonzero(inside)
  face, pixel = face[inside], y[inside] * width + x[inside]
  weights = [w[inside] * i[face] for w, i in zip(weights, planes[3])]
  inverse = weights[0] + weights[1] + weights[2]

  nearest = np.zeros(height * width)
  np.maximum.at(nearest, pixel, inverse)
  # Written last to first: of equals the first face stays.
  hit = np.flatnonzero(inverse == nearest[pixel])[::-1]
  winner = np.full(height * width, -1, np.int64)
  winner[pixel[hit]] = hit
  covered = np.flatnonzero(winner >= 0)
  winner = winner[covered]
  inverse = inverse[winner]
  barycentric = np.stack([w[winner] / inverse for w in weights], axis=-1)
  return Raster(
    covered,
    kept[face[winner]],
    barycentric.astype(np.float32),
    1.0 / inverse,
  )


def _set_up(xy_px, depth, faces, height, width):
  """Returns edge planes, pixel boxes and numbers of the triangles to draw."""
  xy_px, depth = np.asarray(xy_px, np.float64), np.asarray(depth, np.float64)
  corners = np.ascontiguousarray(faces.T)
  x, y = xy_px[:, 0][corners], xy_px[:, 1][corners]
  area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
  x0, x1 = np.maximum(np.ceil(x.min(axis=0)), 0), np.floor(x.max(axis=0))
  y0, y1 = np.maximum(np.ceil(y.min(axis=0)), 0), np.floor(y.max(axis=0))
  x1, y1 = np.minimum(x1, width - 1), np.minimum(y1, height - 1)
  # In front, its front side, and over the centre of some pixel at least.
  kept = np.flatnonzero(
    (area > 0) & (x1 >= x0) & (y1 >= y0) & (depth[corners].min(axis=0) > 0)
  )
  # `take` keeps rows in memory, where fancy indexing would turn them.
  x, y, area = x.take(kept, axis=1), y.take(kept, axis=1), area[kept]
  z = depth[corners.take(kept, axis=1)]
  planes = []
  for k in range(3):
    i, j = (k + 1) % 3, (k + 2) % 3
    a = (y[i] - y[j]) / area
    b = (x[j] - x[i]) / area
    planes.append((a, b, -(a * x[i] + b * y[i])))
  planes.append(1.0 / z)
  box = [side[kept].astype(np.int64) for side in (x0, x1, y0, y1)]
  return planes, box, kept


def _candidates(box):
  """Lists every pixel of every box as (number of box, x, y)."""
  x0, x1, y0, y1 = box
  rows = y1 - y0 + 1
  row_face = np.repeat(np.arange(rows.size), rows)
  row_y = np.arange(row_face.size) - np.repeat(
    np.cumsum(rows) - rows - y0, rows
  )
  columns = (x1 - x0 + 1)[row_face]
  start = np.cumsum(columns) - columns - x0[row_face]
  x = np.arange(columns.sum()) - np.repeat(start, columns)
  return np.repeat(row_face, columns), x, np.repeat(row_y, columns)
