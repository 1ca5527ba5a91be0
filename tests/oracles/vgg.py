"""VGG16's first three blocks, pixel by pixel in float64."""

import numpy as np


def features(images11, params, blocks=(2, 2, 3)):
  """Features [N, S / 4, S / 4, D] after the last rectifier."""
  mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
  x = ((images11.astype(np.float64) + 1) / 2 - mean) / std
  layer = 0
  for i, length in enumerate(blocks):
    x = _pool(x) if i else x
    for _ in range(length):
      x, layer = _conv(x, **params[f"conv{layer}"]), layer + 1
  return x


def _conv(x, kernel, bias):
  """3x3 convolution with padding 1, and the rectifier."""
  kernel, bias = (np.asarray(v, np.float64) for v in (kernel, bias))
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  out = np.zeros((*x.shape[:3], kernel.shape[-1]))
  for n, i, j in np.ndindex(x.shape[:3]):
    patch = padded[n, i : i + 3, j : j + 3]
    out[n, i, j] = np.maximum(np.tensordot(patch, kernel, 3) + bias, 0)
  return out


def _pool(x):
  """Largest value of each 2x2 pixels."""
  num, height, width, channels = x.shape
  out = np.zeros((num, height // 2, width // 2, channels))
  for n, i, j in np.ndindex(out.shape[:3]):
    out[n, i, j] = x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((0, 1))
  return out
