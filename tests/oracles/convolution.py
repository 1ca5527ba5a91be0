"""Slow float64 transposed convolution and group normalisation."""

import numpy as np


def transposed_conv_loop(x, kernel):
  """4x4, stride 2, padding 1: each input pixel paints a 4x4 patch."""
  num, height, width, _ = x.shape
  out = np.zeros((num, 2 * height + 2, 2 * width + 2, kernel.shape[3]))
  for i in range(height):
    for j in range(width):
      patch = np.einsum("nc,klcd->nkld", np.float64(x[:, i, j]), kernel)
      out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += patch
  return out[:, 1:-1, 1:-1]


def group_norm_loop(x, scale, bias, num_groups, epsilon=1e-5):
  """One image and one group at a time."""
  out = np.empty(x.shape)
  size = x.shape[-1] // num_groups
  for n in range(x.shape[0]):
    for g in range(num_groups):
      channels = slice(g * size, (g + 1) * size)
      part = np.float64(x[n, :, :, channels])
      part = (part - part.mean()) / np.sqrt(part.var() + epsilon)
      out[n, :, :, channels] = part * scale[channels] + bias[channels]
  return out
