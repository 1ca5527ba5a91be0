"""Test images by formula, and weights drawn from their own names."""

import zlib

import numpy as np


def images(num, size, phase):
  """[num, size, size, 3] float32 images of smooth waves, about [0, 1]."""
  y, x = np.mgrid[:size, :size][..., None] / size
  n, c = np.arange(1, num + 1)[:, None, None, None], np.arange(1, 4)
  first = np.sin(2 * np.pi * (n * x + c * y) + phase)
  second = np.cos(2 * np.pi * (3 * (c + 1) * x * y - n * y) + 0.7 * phase)
  return (0.5 + 0.25 * first + 0.25 * second).astype(np.float32)


def torch_state(shapes):
  """Weights for torch names and shapes, positive where that matters."""
  return {name: _weight(name, shape) for name, shape in shapes.items()}


def _weight(name, shape):
  uniform = np.random.default_rng(zlib.crc32(name.encode())).random(shape)
  if name.endswith("running_var") or (len(shape) == 1 and "weight" in name):
    return (0.5 + uniform).astype(np.float32)
  bound = 0.2 if len(shape) == 1 else (3 / np.prod(shape[1:])) ** 0.5
  return (bound * (2 * uniform - 1)).astype(np.float32)
