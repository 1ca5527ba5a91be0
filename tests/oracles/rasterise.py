"""Slow float64 reference of the z-buffer: every pixel tries every triangle."""

import numpy as np


def rasterise_loop(xy_px, depth, faces, height, width):
  """Draws triangles one pixel at a time.

  Args:
    xy_px: [V, 2] float.
    depth: [V] float.
    faces: [F, 3] int; clockwise on the screen is the front.
    height: Rows.
    width: Columns.

  Returns:
    face [height, width] int (-1: none), depth [height, width] (inf: none) and
    barycentric [height, width, 3], perspective-correct.
  """
  xy = np.asarray(xy_px, np.float64)
  z = np.asarray(depth, np.float64)
  face = np.full((height, width), -1)
  nearest = np.full((height, width), np.inf)
  weights = np.zeros((height, width, 3))
  for row in range(height):
    for column in range(width):
      for number, corners in enumerate(faces):
        if z[corners].min() <= 0:
          continue
        matrix = np.concatenate([xy[corners].T, np.ones((1, 3))])
        # Positive in an image with y down: clockwise.
        if np.linalg.det(matrix) <= 0:
          continue
        flat = np.linalg.solve(matrix, [column, row, 1.0])
        if flat.min() < 0:
          continue
        share = flat / z[corners]
        here = 1 / share.sum()
        if here < nearest[row, column]:
          face[row, column], nearest[row, column] = number, here
          weights[row, column] = share * here
  return face, nearest, weights
