"""Action units: what each moves, as displacement fields over the chart.

Source: the Facial Action Coding System's units, by their published names; the
fields are this package's own.
"""

import numpy as np

from facerep_jax.synthetic import chart

# FACS number and name, in the order of the labels.
UNITS = {
  1: "inner brow raiser",
  2: "outer brow raiser",
  4: "brow lowerer",
  5: "upper lid raiser",
  6: "cheek raiser",
  7: "lid tightener",
  9: "nose wrinkler",
  10: "upper lip raiser",
  12: "lip corner puller",
  14: "dimpler",
  15: "lip corner depressor",
  16: "lower lip depressor",
  17: "chin raiser",
  18: "lip pucker",
  20: "lip stretcher",
  23: "lip tightener",
  24: "lip pressor",
  25: "lips part",
  26: "jaw drop",
  45: "blink",
}
INDEX = {number: i for i, number in enumerate(UNITS)}

# Emotions in the order of the expression label: activations at full strength.
# Source: the combinations usual in the FACS literature (EMFACS).
EXPRESSIONS = {
  "neutral": {},
  "happiness": {6: 0.9, 12: 1.2, 25: 0.5, 26: 0.1, 7: 0.3},
  "sadness": {1: 1.1, 4: 0.6, 15: 1.0, 17: 0.5, 7: 0.25},
  "surprise": {1: 1.1, 2: 1.1, 5: 0.9, 25: 0.5, 26: 0.9},
  "fear": {1: 1.1, 2: 0.5, 4: 0.6, 5: 1.1, 7: 0.3, 20: 0.9, 25: 0.7, 26: 0.35},
  "disgust": {9: 1.2, 10: 0.9, 15: 0.5, 17: 0.3, 4: 0.5, 7: 0.6, 6: 0.3},
  "anger": {4: 1.3, 5: 0.5, 7: 0.8, 23: 0.9, 24: 0.6, 17: 0.3, 9: 0.25},
  "contempt": {12: 0.8, 14: 0.9},  # Of one side.
}
# What some people add, with another strength each time: they laugh, cry,
# gasp or shout. It takes away from what presses the lips.
EXTRAS = {
  "neutral": {},
  "happiness": {25: 0.7, 26: 0.6, 10: 0.2, 6: 0.3},
  "sadness": {20: 0.7, 25: 0.7, 26: 0.3, 6: 0.5, 7: 0.5},
  "surprise": {25: 0.4, 26: 0.7, 18: 0.2},
  "fear": {25: 0.5, 26: 0.8, 16: 0.3},
  "disgust": {25: 0.8, 16: 0.7, 26: 0.3, 20: 0.2},
  "anger": {25: 1.0, 10: 0.7, 16: 0.7, 26: 0.7, 9: 0.5},
  "contempt": {4: 0.3, 17: 0.4},
}
PRESSING = (17, 23, 24)  # Units that keep the lips together.


def lid_edges(left_or_right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Heights of the lids' edges in the middle of an eye.

  Args:
    left_or_right: [..., 20] float, activations of that side of the face.

  Returns:
    Upper and lower edge, [...] float: chart heights for `chart.lid_lines`.
  """
  value = {n: left_or_right[..., i] for n, i in INDEX.items()}
  lower = (
    chart.EYE_LOW - 0.018 * value[7] - 0.018 * value[6] - 0.012 * value[12]
  )
  openness = (1 - value[45]) * (
    1 + 0.20 * value[5] - 0.25 * value[7] - 0.15 * value[6] - 0.1 * value[9]
  )
  closed = np.minimum(lower, 0.03)
  return closed - (closed + chart.EYE_UP) * openness, lower


def basis(s: np.ndarray, t: np.ndarray, position: np.ndarray) -> np.ndarray:
  """Returns the displacement of each vertex at full activation.

  Args:
    s: [V] float, azimuths.
    t: [V] float, heights.
    position: [V, 3] float, the template.

  Returns:
    [20, V, 3] float64, in `UNITS`' order, units of 100 mm.
  """
  fields = _upper_face(s, t) | _mouth(s, t) | _lips(s, t, position)
  fields |= {26: _jaw(s, t, position)}
  return np.stack([fields[number] for number in UNITS])


def _vector(*xyz):
  return np.stack(np.broadcast_arrays(*xyz), axis=-1)


def _upper_face(s, t):
  """Brows, lids, cheeks and nose."""
  bump, out = chart.bump, np.tanh(s / 0.06)
  zero = np.zeros_like(s)
  # Brows slide over the bone: what is below them hardly follows.
  slide = chart.ramp(t, -0.05, -0.20)
  inner = bump(s, t, 0.17, -0.22, 0.13, 0.14) * (0.1 + 0.9 * slide)
  outer = bump(s, t, 0.58, -0.22, 0.20, 0.14) * (0.1 + 0.9 * slide)
  lower = bump(s, t, 0.22, -0.18, 0.20, 0.11) * (0.4 + 0.6 * slide)
  lid = bump(s, t, chart.EYE_S, -0.07, 0.12, 0.05)
  under = bump(s, t, chart.EYE_S, 0.10, 0.16, 0.05)
  cheek = bump(s, t, 0.48, 0.30, 0.2, 0.13)
  wings = bump(s, t, 0.15, 0.38, 0.09, 0.11)
  bridge = bump(s, t, 0.08, 0.02, 0.10, 0.1)
  return {
    1: _vector(zero, -0.13 * inner, -0.01 * inner),
    2: _vector(zero, -0.12 * outer, zero),
    4: _vector(-0.055 * out * lower, 0.10 * lower, -0.025 * lower),
    5: _vector(zero, -0.025 * lid, zero),
    6: _vector(zero, -0.08 * cheek - 0.025 * under, -0.07 * cheek),
    7: _vector(zero, -0.022 * under, -0.008 * under),
    9: _vector(
      zero, -0.08 * wings - 0.03 * bridge + 0.05 * lower, -0.03 * wings
    ),
    45: _vector(zero, 0.03 * lid, -0.012 * lid),
  }


def _mouth(s, t):
  """Lip corners, upper and lower lip, chin."""
  bump, out = chart.bump, np.tanh(s / 0.1)
  zero = np.zeros_like(s)
  above = t < chart.MOUTH_T
  corner = bump(s, t, chart.MOUTH_S, chart.MOUTH_T, 0.17, 0.14)
  wide = bump(s, t, chart.MOUTH_S, chart.MOUTH_T, 0.22, 0.2)
  upper = bump(s, t, 0.12, 0.60, 0.16, 0.09) * above
  lower = bump(s, t, 0.10, 0.77, 0.17, 0.09) * ~above
  part = np.sqrt(np.clip(1 - (s / chart.MOUTH_S) ** 2, 0, 1))
  part = part * np.exp(-(((t - chart.MOUTH_T) / 0.12) ** 2))
  chin = bump(s, t, 0, 0.93, 0.24, 0.13)
  lift = bump(s, t, 0, 0.74, 0.24, 0.08)
  return {
    10: _vector(zero, -0.085 * upper, -0.03 * upper),
    12: _vector(0.13 * out * corner, -0.125 * corner, 0.09 * corner),
    14: _vector(0.05 * out * corner, zero, 0.07 * corner),
    15: _vector(0.01 * out * corner, 0.10 * corner, 0.02 * corner),
    16: _vector(zero, 0.09 * lower, -0.02 * lower),
    17: _vector(zero, -0.06 * chin - 0.035 * lift, -0.04 * chin - 0.02 * lift),
    20: _vector(0.12 * out * wide, 0.03 * corner, 0.08 * wide),
    25: _vector(zero, np.where(above, -0.03, 0.06) * part, zero),
  }


def _lips(s, t, position):
  """Pucker, tightener and pressor: the lips as a ring."""
  ring = np.exp(-(((t - chart.MOUTH_T) / 0.15) ** 4)) * np.exp(
    -((s / 0.45) ** 4)
  )
  thin = np.exp(-(((t - chart.MOUTH_T) / 0.11) ** 4)) * np.exp(
    -((s / 0.36) ** 4)
  )
  # Towards the lips' line, but never past it.
  off = chart.HEIGHT * (t - chart.MOUTH_T)
  off = np.sign(off) * np.maximum(np.abs(off) - chart.HEIGHT * chart.SLIT, 0)
  zero, x = np.zeros_like(s), position[:, 0]
  return {
    18: _vector(-0.42 * x * ring, -0.05 * off * ring, -0.11 * ring),
    23: _vector(-0.12 * x * ring, -0.40 * off * thin, 0.01 * ring),
    24: _vector(zero, -0.55 * off * thin, 0.03 * thin),
  }


def jaw_weight(s: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Returns how much each vertex follows the jaw, [V] float in [0, 1]."""
  base = chart.ramp(t, chart.MOUTH_T - 0.30, chart.MOUTH_T + 0.30)
  away = t - chart.MOUTH_T
  inside = np.clip(1 - (s / chart.MOUTH_S) ** 2, 0, 1) ** 0.7
  inside = inside * np.exp(-((away / 0.30) ** 2))
  weight = np.where(away < 0, base * (1 - inside), base + (1 - base) * inside)
  weight = weight * chart.ramp(np.abs(s), 1.55, 0.85)
  return weight * (1 - chart.ramp(t, 1.15, 1.5))


def _jaw(s, t, position):
  """The jaw turns about an axis through the ears."""
  weight, angle = jaw_weight(s, t), 0.33
  forward = -(position[:, 2] + 0.05)
  below = position[:, 1] - 0.30
  return _vector(0 * s, angle * forward * weight, angle * below * weight)
