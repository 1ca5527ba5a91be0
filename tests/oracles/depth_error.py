"""Slow float64 loops for errors of depth maps, pixel by pixel."""

import math

import numpy as np


def erode(mask):
  """Takes a pixel off a mask [S, S] of truth values; nothing lies beyond."""
  size = len(mask)
  out = np.zeros((size, size), bool)
  for i in range(1, size - 1):
    for j in range(1, size - 1):
      out[i, j] = all(
        mask[i + a][j + b] for a in (-1, 0, 1) for b in (-1, 0, 1)
      )
  return out


def scale_invariant(predicted, true, used):
  """Equation 1 of Eigen et al. as it stands: pairs of pixels of one image."""
  pixels = [(i, j) for i, j in np.ndindex(used.shape) if used[i, j]]
  delta = [math.log(predicted[p]) - math.log(true[p]) for p in pixels]
  total = sum((a - b) ** 2 for a in delta for b in delta)
  return math.sqrt(total / (2 * len(delta) ** 2))


def angle_deg(a, b):
  """Angle between two vectors."""
  cosine = a @ b / math.sqrt((a @ a) * (b @ b))
  return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def block_means(image, cells):
  """Mean colours of cells x cells blocks, row by row, [cells^2 * 3]."""
  side, out = len(image) // cells, []
  for row in range(cells):
    for column in range(cells):
      for c in range(3):
        total = 0.0
        for i in range(side):
          for j in range(side):
            total += image[row * side + i, column * side + j, c]
        out.append(total / side**2)
  return np.array(out)
