"""Slow float64 loops for upsampling and convolution."""

import numpy as np


def upsample_loop(x, align_corners=False):
  """Doubles [N, H, W, C], pixel by pixel."""
  x = np.float64(x)
  num, height, width, channels = x.shape
  out = np.zeros((num, 2 * height, 2 * width, channels))

  def taps(i, size):
    if align_corners:
      position = i * (size - 1) / (2 * size - 1)
    else:
      position = max((i + 0.5) / 2 - 0.5, 0)
    first = min(int(position), size - 1)
    second = min(first + 1, size - 1)
    return (first, 1 - position + first), (second, position - first)

  for i, j in np.ndindex(2 * height, 2 * width):
    for row, row_weight in taps(i, height):
      for column, column_weight in taps(j, width):
        out[:, i, j] += row_weight * column_weight * x[:, row, column]
  return out


def conv_loop(x, kernel, stride, padding):
  """Convolves [N, H, W, C] with [k, k, C, D], output pixel by pixel."""
  x, kernel = np.float64(x), np.float64(kernel)
  pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  x = np.pad(x, pads)
  size = kernel.shape[0]
  rows = (x.shape[1] - size) // stride + 1
  columns = (x.shape[2] - size) // stride + 1
  out = np.zeros((x.shape[0], rows, columns, kernel.shape[3]))
  for i, j in np.ndindex(rows, columns):
    y0, x0 = i * stride, j * stride
    patch = x[:, y0 : y0 + size, x0 : x0 + size]
    out[:, i, j] = np.einsum("nijc,ijcd->nd", patch, kernel)
  return out
