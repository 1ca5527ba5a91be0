"""Slow float64 loops for the bilinear sampler and its gradients."""

import math

import numpy as np


def _cell(value, size, align_corners):
  """Left pixel, fraction, and pixels per unit of one coordinate."""
  if align_corners:
    scale = (size - 1) / 2
    px = (value + 1) / 2 * (size - 1)
  else:
    scale = size / 2
    px = ((value + 1) * size - 1) / 2
  left = math.floor(px)
  return left, px - left, scale


def _pixel(image, n, y, x):
  """The pixel, or zeros outside the image."""
  _, height, width, channels = image.shape
  inside = 0 <= y < height and 0 <= x < width
  return image[n, y, x] if inside else np.zeros(channels)


def sample_loop(image, grid, align_corners=True):
  """Samples [N, H, W, C] at [N, h, w, 2], point by point."""
  image, grid = np.float64(image), np.float64(grid)
  out = np.zeros((*grid.shape[:3], image.shape[3]))
  for n, i, j in np.ndindex(*grid.shape[:3]):
    x, fx, _ = _cell(grid[n, i, j, 0], image.shape[2], align_corners)
    y, fy, _ = _cell(grid[n, i, j, 1], image.shape[1], align_corners)
    top = (1 - fx) * _pixel(image, n, y, x) + fx * _pixel(image, n, y, x + 1)
    low = (1 - fx) * _pixel(image, n, y + 1, x) + fx * _pixel(
      image, n, y + 1, x + 1
    )
    out[n, i, j] = (1 - fy) * top + fy * low
  return out


def sample_grad_loop(image, grid, cotangent, align_corners=True):
  """Gradients of sum(cotangent * sample) to the image and to the grid."""
  image, grid = np.float64(image), np.float64(grid)
  d_image, d_grid = np.zeros_like(image), np.zeros_like(grid)
  _, height, width, _ = image.shape
  for n, i, j in np.ndindex(*grid.shape[:3]):
    x, fx, sx = _cell(grid[n, i, j, 0], width, align_corners)
    y, fy, sy = _cell(grid[n, i, j, 1], height, align_corners)
    g = np.float64(cotangent[n, i, j])
    for dy, wy, dwy in ((0, 1 - fy, -1), (1, fy, 1)):
      for dx, wx, dwx in ((0, 1 - fx, -1), (1, fx, 1)):
        value = g @ _pixel(image, n, y + dy, x + dx)
        d_grid[n, i, j] += value * np.array([dwx * wy * sx, wx * dwy * sy])
        if 0 <= y + dy < height and 0 <= x + dx < width:
          d_image[n, y + dy, x + dx] += g * wx * wy
  return d_image, d_grid
