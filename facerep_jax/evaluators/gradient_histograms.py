"""Histograms of oriented gradients, of many pictures at once.

Differences of 8-bit levels are whole numbers, so that the length and the
direction of each gradient are looked up. The numbers are those of
skimage.feature.hog, which sums in float32, but for that rounding.

Source: Dalal and Triggs, CVPR 2005.
"""

import functools

import numpy as np

VERSION = 1  # Changes where numbers change by more than rounding.
_CELLS = 8  # Along a side.
_ORIENTATIONS = 9
_HIGHEST = 255
_EPSILON = 1e-5
_CLIP = 0.2
_BLOCK = 16  # Pictures at once: their numbers stay in the cache.


def hog(pixels: np.ndarray) -> np.ndarray:
  """Computes histograms of oriented gradients.

  Args:
    pixels: [N, S, S, 3] uint8, S a multiple of 8.

  Returns:
    [N, 1764] float32: 9 orientations, 8 x 8 cells, blocks of 2 x 2 cells,
    L2-Hys, of the channel with the strongest gradient.
  """
  parts = [
    _normalised(_histograms(pixels[i : i + _BLOCK]))
    for i in range(0, len(pixels), _BLOCK)
  ]
  return np.concatenate(parts)


@functools.cache
def _tables():
  """Returns length and orientation of gradients, by number of the pair."""
  steps = np.arange(-_HIGHEST, _HIGHEST + 1, dtype=np.float64)
  down, right = steps[:, None], steps[None]
  length = np.hypot(down, right)
  angle = np.rad2deg(np.arctan2(down, right)) % 180
  orientation = np.floor_divide(angle, 180 / _ORIENTATIONS)
  return length.ravel(), orientation.ravel().astype(np.int64)


def _histograms(pixels):
  """Returns the mean length by cell and orientation, [N, 8, 8, 9] float64."""
  length_of, orientation_of = _tables()
  count, side = pixels.shape[:2]
  pair, length = None, None
  for channel in range(pixels.shape[3]):
    other = _gradients(pixels[..., channel])
    longer = length_of[other]
    if pair is None:
      pair, length = other, longer
    else:
      pair = np.where(longer > length, other, pair)
      length = np.maximum(longer, length)
  place = np.arange(side) // (side // _CELLS)
  cell = place[:, None] * _CELLS + place
  cell = np.arange(count)[:, None, None] * _CELLS**2 + cell
  bins = cell * _ORIENTATIONS + orientation_of[pair]
  shape = count, _CELLS, _CELLS, _ORIENTATIONS
  sums = np.bincount(bins.ravel(), length.ravel(), np.prod(shape))
  return sums.reshape(shape) / (side // _CELLS) ** 2


def _gradients(levels):
  """Returns the number of each pixel's pair of differences, [N, S, S] int."""
  levels = levels.astype(np.int32)
  # Pixels of the edge have no gradient across it.
  pair = np.full(levels.shape, _HIGHEST * (2 * _HIGHEST + 1) + _HIGHEST)
  pair[:, 1:-1] += (levels[:, 2:] - levels[:, :-2]) * (2 * _HIGHEST + 1)
  pair[:, :, 1:-1] += levels[:, :, 2:] - levels[:, :, :-2]
  return pair


def _normalised(cells):
  """Returns blocks of 2 x 2 cells, each of length 1 and clipped."""
  blocks = np.stack(
    [
      cells[:, a : _CELLS - 1 + a, b : _CELLS - 1 + b]
      for a in (0, 1)
      for b in (0, 1)
    ],
    axis=3,
  )
  blocks = blocks.reshape(*blocks.shape[:3], -1)
  blocks = np.minimum(blocks / _length(blocks), _CLIP)
  blocks = blocks / _length(blocks)
  return blocks.reshape(len(cells), -1).astype(np.float32)


def _length(blocks):
  return np.sqrt(np.sum(blocks**2, axis=-1, keepdims=True) + _EPSILON**2)
