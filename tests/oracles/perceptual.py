"""Perceptual features of planes, weight by weight in float64."""

import math

import numpy as np

NOISE = 0.02


def pyramid(image01):
  """[S / 4, S / 4, 18] bands and sizes of one picture [S, S, 3]."""

  def describe(level):
    band = level - blur(level, 2.0)
    return np.concatenate([band, np.sqrt(band**2 + NOISE**2)], -1)

  return 5.5 * _by_level(image01, describe)


def gradients(image01):
  """[S / 4, S / 4, 24] directions of one picture [S, S, 3]."""

  def describe(level):
    x, y = (slope(level[..., 0], axis) for axis in (1, 0))
    counts = np.zeros((*x.shape, 8))
    for i, j, k in np.ndindex(counts.shape):
      angle = 2 * math.pi * k / 8
      along = x[i, j] * math.cos(angle) + y[i, j] * math.sin(angle)
      length = math.sqrt(x[i, j] ** 2 + y[i, j] ** 2 + NOISE**2)
      counts[i, j, k] = max(along, 0) ** 2 / length
    return counts

  return 4.5 * _by_level(image01 @ [[0.299], [0.587], [0.114]], describe)


def blur(image, sigma, cell=1):
  """Gaussian averages of [S, S, C] around the centres of square cells."""
  out = np.zeros((len(image) // cell, len(image) // cell, image.shape[-1]))
  for i, j in np.ndindex(out.shape[:2]):
    centre = ((k + 0.5) * cell - 0.5 for k in (i, j))
    window = _window(len(image), *centre, sigma)
    out[i, j] = np.tensordot(window, image, 2)
  return out


def slope(plane, axis):
  """Slope of the plane that fits [S, S] best under a Gaussian of 1 px."""
  out = np.zeros(plane.shape)
  y, x = np.mgrid[: len(plane), : len(plane)]
  design = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], -1)
  for i, j in np.ndindex(plane.shape):
    root = np.sqrt(_window(len(plane), i, j, 1.0)).ravel()
    left, right = design * root[:, None], plane.ravel() * root
    out[i, j] = np.linalg.lstsq(left, right, rcond=None)[0][1 - axis]
  return out


def _by_level(level, describe):
  """Pools and normalises what describes each of three levels."""
  maps = []
  for cell in (4, 2, 1):
    pooled = blur(describe(level), cell / 2, cell)
    power = blur((pooled**2).sum(-1, keepdims=True), 1.0)
    maps.append(pooled / np.sqrt(power + NOISE**2))
    level = blur(level, 1.0, 2)
  return np.concatenate(maps, -1)


def _window(size, row, column, sigma):
  """[size, size] Gaussian weights around a place, of sum 1."""
  y, x = np.mgrid[:size, :size]
  weights = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
  return weights / weights.sum()
