"""Losses with a confidence, pixel by pixel in float64."""

import math

import numpy as np


def photometric(predicted, target, sigma, mask):
  """Weighted mean of Laplace energies."""

  def energy(difference, s):
    if s is None:
      return abs(difference)
    s = s + 1e-7
    return math.sqrt(2) * abs(difference) / s + math.log(s)

  return _mean(predicted, target, sigma, mask, energy)


def perceptual(predicted, target, sigma, mask):
  """Weighted mean of Gaussian energies; the mask is of the features' size."""

  def energy(difference, s):
    if s is None:
      return difference**2
    return difference**2 / (2 * s**2 + 1e-7) + math.log(s + 1e-7)

  return _mean(predicted, target, sigma, mask, energy)


def pool(mask, cell):
  """Averages [N, H, W] over squares of `cell` pixels."""
  num, height, width = mask.shape
  out = np.zeros((num, height // cell, width // cell))
  for n, i, j in np.ndindex(out.shape):
    rows = slice(i * cell, (i + 1) * cell)
    out[n, i, j] = mask[n, rows, j * cell : (j + 1) * cell].mean()
  return out


def _mean(predicted, target, sigma, mask, energy):
  """Weighted mean over pixels and channels."""
  total, weight = 0.0, 0.0
  for n, i, j, c in np.ndindex(predicted.shape):
    difference = float(predicted[n, i, j, c]) - float(target[n, i, j, c])
    s = None if sigma is None else float(sigma[n, i, j])
    total += float(mask[n, i, j]) * energy(difference, s)
    weight += float(mask[n, i, j])
  return total / weight
