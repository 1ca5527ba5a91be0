"""Diffusion in NumPy float64, one sample at a time."""

import math

import numpy as np


def schedule(num_steps, beta_first, beta_last):
  """Alpha-bar as a running product."""
  out, product = [], 1.0
  for i in range(num_steps):
    share = i / max(num_steps - 1, 1)
    product *= 1 - (beta_first + share * (beta_last - beta_first))
    out.append(product)
  return np.array(out)


def predict(clean, noise, a, kind):
  """What a perfect denoiser says of one sample."""
  v = math.sqrt(a) * noise - math.sqrt(1 - a) * clean
  return {"clean": clean, "epsilon": noise, "v": v}[kind]


def explain(prediction, noisy, a, kind):
  """Clean sample and noise of one prediction, by two linear equations."""
  rows = {
    "clean": [1, 0],
    "epsilon": [0, 1],
    "v": [-math.sqrt(1 - a), math.sqrt(a)],
  }
  matrix = np.array([[math.sqrt(a), math.sqrt(1 - a)], rows[kind]])
  return np.linalg.solve(matrix, np.stack([noisy, prediction]))


def sample(denoise, noise, alpha_bars, steps, *, prediction, direction, clip):
  """States [step, N, D] of the sampler; `denoise` takes one sample."""
  out = np.zeros((len(steps), *noise.shape))
  for n, noisy in enumerate(np.float64(noise)):
    for i, t in enumerate(steps):
      a = float(alpha_bars[t])
      after = float(alpha_bars[steps[i + 1]]) if i + 1 < len(steps) else 1.0
      said = denoise(noisy, t)
      clean, implied_noise = explain(said, noisy, a, prediction)
      used = np.clip(clean, -clip, clip) if clip else clean
      if direction == "textbook":
        towards = (noisy - math.sqrt(a) * used) / math.sqrt(1 - a)
      elif prediction == "clean":
        towards = said
      else:
        towards = implied_noise
      noisy = math.sqrt(after) * used + math.sqrt(1 - after) * towards
      out[i, n] = noisy
  return out
