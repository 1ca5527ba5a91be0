"""Identity numbers: how heads differ, as displacement fields over the chart.

Each number is about N(0, 1) over people; a field is the displacement at 1.
"""

import numpy as np

from facerep_jax.synthetic import chart

NAMES = (
  "head_width", "head_height", "head_depth", "skull_height", "occiput",
  "temples", "forehead_slope", "forehead_width", "face_width", "face_length",
  "cheekbones", "cheekbone_height", "cheek_fullness", "jaw_width",
  "jaw_angle", "jaw_length", "chin_height", "chin_forward", "chin_width",
  "chin_point", "neck_width", "neck_forward", "shoulders",
  "eye_spacing", "eye_width", "eye_openness", "eye_height", "eye_tilt",
  "eye_depth", "lid_fullness", "brow_height", "brow_ridge", "brow_tilt",
  "nose_length", "nose_width", "nose_bridge", "nose_bridge_width",
  "nose_forward", "nose_tip_up", "nose_hump", "nostril_width",
  "mouth_width", "mouth_height", "upper_lip", "lower_lip", "lips_forward",
  "corner_tilt", "philtrum", "ear_size", "ear_out", "nasolabial",
  "skew_jaw", "skew_nose", "skew_mouth", "skew_eyes",
  "child", "weight", "eye_size", "mouth_size",
)  # fmt: skip


def basis(s: np.ndarray, t: np.ndarray, position: np.ndarray) -> np.ndarray:
  """Returns the displacement of each vertex for each identity number.

  Args:
    s: [V] float, azimuths.
    t: [V] float, heights.
    position: [V, 3] float, the template.

  Returns:
    [len(NAMES), V, 3] float64, in `NAMES`' order, units of 100 mm.
  """
  fields = (
    _skull(s, t, position)
    | _face(s, t, position)
    | _eyes(s, t)
    | _nose(s, t)
    | _mouth(s, t)
    | _ears_and_skew(s, t, position)
    | _builds(s, t, position)
  )
  # The fields add up; at nine tenths the sums stay within what people span.
  return 0.9 * np.stack([fields[name] for name in NAMES])


def _vector(*xyz):
  return np.stack(np.broadcast_arrays(*xyz), axis=-1)


def _skull(s, t, position):
  """The whole head, skull and neck."""
  x, y, z = position.T
  head, zero = 1 - chart.ramp(t, 1.1, 1.6), np.zeros_like(s)
  above = chart.ramp(t, -0.25, -1.0)
  back = chart.ramp(np.abs(s), 1.6, 2.6) * head
  brow = chart.ramp(t, -0.2, -0.7) * chart.ramp(np.abs(s), 1.5, 0.7)
  neck = chart.ramp(t, 1.05, 1.25) * (1 - chart.ramp(t, 1.5, 1.8))
  side = chart.bump(s, t, 1.2, -0.25, 0.3, 0.2)
  trunk = chart.ramp(t, 1.4, 1.8)
  return {
    "head_width": _vector(0.045 * x * head, zero, zero),
    "head_height": _vector(zero, 0.035 * y * head, zero),
    "head_depth": _vector(zero, zero, 0.04 * z * head),
    "skull_height": _vector(zero, -0.06 * above, zero),
    "occiput": _vector(zero, zero, 0.06 * back),
    "temples": _vector(0.03 * np.sign(x) * side, zero, zero),
    "forehead_slope": _vector(zero, zero, 0.05 * brow),
    "forehead_width": _vector(0.05 * x * above, zero, zero),
    "neck_width": _vector(0.12 * x * neck, zero, 0.06 * z * neck),
    "neck_forward": _vector(zero, zero, -0.05 * neck),
    "shoulders": _vector(0.08 * x * trunk, 0.05 * trunk, zero),
  }


def _face(s, t, position):
  """Outline of the face: cheeks, jaw, chin."""
  x, y, _ = position.T
  bump, ramp, zero = chart.bump, chart.ramp, np.zeros_like(s)
  front = ramp(np.abs(s), 1.9, 1.1)
  low = front * ramp(t, 0.25, 0.85) * (1 - ramp(t, 1.15, 1.4))
  middle = front * bump(s, t, 0, 0.3, 9, 0.35)
  bone = bump(s, t, 0.75, 0.24, 0.3, 0.14)
  cheek = bump(s, t, 0.72, 0.58, 0.3, 0.2)
  angle = bump(s, t, 1.15, 0.72, 0.25, 0.16)
  chin = bump(s, t, 0, 1.03, 0.35, 0.13)
  tip = bump(s, t, 0, 1.03, 0.16, 0.1)
  sides = bump(s, t, 0.35, 1.02, 0.18, 0.1)
  sign = np.sign(x)
  return {
    "face_width": _vector(0.045 * x * middle, zero, zero),
    "face_length": _vector(zero, 0.05 * y * low, zero),
    "cheekbones": _vector(0.045 * sign * bone, zero, -0.03 * bone),
    "cheekbone_height": _vector(zero, -0.05 * bone, zero),
    "cheek_fullness": _vector(0.05 * sign * cheek, zero, -0.03 * cheek),
    "jaw_width": _vector(0.08 * x * low, zero, zero),
    "jaw_angle": _vector(0.05 * sign * angle, 0.05 * angle, zero),
    "jaw_length": _vector(zero, 0.04 * low, zero),
    "chin_height": _vector(zero, 0.035 * chin, zero),
    "chin_forward": _vector(zero, zero, -0.06 * chin),
    "chin_width": _vector(0.04 * sign * sides, zero, -0.02 * sides),
    "chin_point": _vector(zero, 0.03 * tip, -0.03 * tip),
  }


def _eyes(s, t):
  """Eyes and brows."""
  bump, zero, sign = chart.bump, np.zeros_like(s), np.tanh(s / 0.06)
  eye = bump(s, t, chart.EYE_S, chart.EYE_T, 0.22, 0.14)
  lids = bump(s, t, chart.EYE_S, chart.EYE_T, 0.17, 0.1)
  brow = bump(s, t, 0.4, -0.24, 0.3, 0.1)
  across = np.abs(s) - chart.EYE_S
  return {
    "eye_spacing": _vector(0.025 * sign * eye, zero, zero),
    "eye_width": _vector(0.09 * sign * across * lids, zero, zero),
    "eye_openness": _vector(zero, 0.14 * (t - chart.EYE_T) * lids, zero),
    "eye_height": _vector(zero, 0.02 * eye, zero),
    "eye_tilt": _vector(zero, -0.12 * across * lids, zero),
    "eye_depth": _vector(zero, zero, 0.03 * eye),
    "lid_fullness": _vector(
      zero, zero, -0.03 * bump(s, t, chart.EYE_S, -0.11, 0.15, 0.04)
    ),
    "brow_height": _vector(zero, -0.035 * brow, zero),
    "brow_ridge": _vector(zero, zero, -0.04 * brow),
    "brow_tilt": _vector(zero, -0.12 * (np.abs(s) - 0.4) * brow, zero),
  }


def _nose(s, t):
  """Nose."""
  bump, zero, sign = chart.bump, np.zeros_like(s), np.tanh(s / 0.04)
  whole = bump(s, t, 0, 0.3, 0.2, 0.2)
  bridge = bump(s, t, 0, 0.05, 0.12, 0.14)
  tip = bump(s, t, 0, 0.38, 0.14, 0.08)
  low = bump(s, t, 0, 0.45, 0.22, 0.1)
  wing = bump(s, t, 0.16, 0.41, 0.1, 0.1)
  return {
    "nose_length": _vector(zero, 0.045 * low, zero),
    "nose_width": _vector(0.09 * s * whole, zero, zero),
    "nose_bridge": _vector(zero, zero, -0.04 * bridge),
    "nose_bridge_width": _vector(0.15 * s * bridge, zero, zero),
    "nose_forward": _vector(zero, zero, -0.03 * whole),
    "nose_tip_up": _vector(zero, -0.04 * tip, -0.02 * tip),
    "nose_hump": _vector(zero, zero, -0.035 * bump(s, t, 0, 0.16, 0.08, 0.07)),
    "nostril_width": _vector(0.03 * sign * wing, zero, zero),
  }


def _mouth(s, t):
  """Mouth and the skin about it."""
  bump, zero = chart.bump, np.zeros_like(s)
  ring = bump(s, t, 0, chart.MOUTH_T, 0.32, 0.16)
  corner = bump(s, t, chart.MOUTH_S, chart.MOUTH_T, 0.12, 0.08)
  off = t - chart.MOUTH_T
  above, below = np.minimum(off, 0), np.maximum(off, 0)
  lips = np.exp(-((s / 0.4) ** 4)) * np.exp(-((off / 0.16) ** 4))
  return {
    "mouth_width": _vector(0.14 * s * ring, zero, zero),
    "mouth_height": _vector(zero, 0.03 * ring, zero),
    "upper_lip": _vector(zero, 0.28 * above * lips, 0.2 * above * lips),
    "lower_lip": _vector(zero, 0.25 * below * lips, -0.2 * below * lips),
    "lips_forward": _vector(zero, zero, -0.035 * ring),
    "corner_tilt": _vector(zero, -0.022 * corner, zero),
    "philtrum": _vector(zero, 0.025 * bump(s, t, 0, 0.56, 0.25, 0.06), zero),
    "nasolabial": _vector(
      zero, zero, 0.02 * bump(s, t, 0.36, 0.52, 0.06, 0.13)
    ),
  }


def _ears_and_skew(s, t, position):
  """Ears, and what makes the halves of a face differ."""
  bump, zero, x = chart.bump, np.zeros_like(s), position[:, 0]
  ear = bump(s, t, 1.72, 0.16, 0.14, 0.25)
  low = bump(s, t, 0, 1.0, 0.9, 0.25)
  nose = bump(s, t, 0, 0.35, 0.2, 0.15)
  mouth = bump(s, t, 0, chart.MOUTH_T, 0.35, 0.15)
  eyes = bump(s, t, 0.4, -0.1, 0.3, 0.2) * np.tanh(s / 0.1)
  return {
    "ear_size": _vector(zero, 0.18 * (t - 0.16) * ear, zero),
    "ear_out": _vector(0.04 * np.sign(x) * ear, zero, zero),
    "skew_jaw": _vector(0.025 * low, zero, zero),
    "skew_nose": _vector(0.018 * nose, zero, zero),
    "skew_mouth": _vector(zero, 0.02 * mouth * np.sin(2 * s), zero),
    "skew_eyes": _vector(zero, 0.012 * eyes, zero),
  }


def _builds(s, t, position):
  """What changes together: age of the skull, weight, size of eyes and mouth."""
  x, y, z = position.T
  bump, ramp, zero = chart.bump, chart.ramp, np.zeros_like(s)
  head = 1 - ramp(t, 1.1, 1.5)
  low = ramp(t, 0.05, 0.9) * head
  nose = bump(s, t, 0, 0.35, 0.2, 0.17)
  eye = bump(s, t, chart.EYE_S, chart.EYE_T, 0.2, 0.13)
  across, sign = np.abs(s) - chart.EYE_S, np.tanh(s / 0.06)
  cheek = bump(s, t, 0.75, 0.6, 0.4, 0.25)
  under = (
    ramp(t, 0.85, 1.15) * (1 - ramp(t, 1.3, 1.6)) * ramp(np.abs(s), 2.2, 1.2)
  )
  mouth = bump(s, t, 0, chart.MOUTH_T, 0.36, 0.17)
  off = t - chart.MOUTH_T
  skull = ramp(t, 0.0, -0.8)
  # A child's face is short below, its forehead high, its nose small.
  return {
    "child": _vector(
      0.03 * x * skull + 0.06 * sign * across * eye,
      -0.055 * y * low - 0.05 * skull + 0.08 * t * eye + -0.02 * nose,
      0.035 * nose - 0.02 * cheek + 0.02 * bump(s, t, 0.3, -0.2, 0.4, 0.1),
    ),
    "weight": _vector(
      0.05 * np.sign(x) * cheek + 0.07 * x * under + 0.02 * x * head,
      0.03 * under,
      -0.03 * cheek + 0.05 * z * under,
    ),
    "eye_size": _vector(0.10 * sign * across * eye, 0.10 * t * eye, zero),
    "mouth_size": _vector(0.10 * s * mouth, 0.10 * off * mouth, zero),
  }
