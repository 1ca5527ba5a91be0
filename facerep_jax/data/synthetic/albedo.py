"""Colour of skin, lips, brows, beard and hair, as a texture over the chart."""

import functools

import numpy as np

from facerep_jax.data.synthetic import background, chart

NAMES = (
  "skin_tone", "skin_red", "skin_yellow", "skin_blotches", "cheek_red",
  "nose_red", "freckles", "moles", "lip_red", "lip_dark", "brow_thick",
  "brow_dark", "brow_length", "eye_shadow", "eye_liner", "under_eye",
  "stubble", "moustache", "beard", "iris_hue", "iris_light", "sclera",
  "hair_dark", "hair_red", "hair_grey", "hair_length", "hair_thick",
  "hair_line", "fringe", "hair_streaks", "gloss", "teeth",
)  # fmt: skip

# sRGB, from the palest skin to the darkest, and from black hair to blond.
_SKIN = np.array([
  [0.97, 0.84, 0.77], [0.93, 0.76, 0.65], [0.84, 0.63, 0.49],
  [0.67, 0.46, 0.33], [0.47, 0.30, 0.21], [0.30, 0.19, 0.14],
])  # fmt: skip
_HAIR = np.array([
  [0.05, 0.04, 0.04], [0.14, 0.09, 0.07], [0.28, 0.18, 0.12],
  [0.45, 0.32, 0.20], [0.72, 0.58, 0.38],
])  # fmt: skip
_IRIS = np.array([
  [0.16, 0.09, 0.05], [0.30, 0.18, 0.09], [0.36, 0.34, 0.18],
  [0.32, 0.42, 0.48], [0.25, 0.42, 0.62],
])  # fmt: skip


def linear(srgb: np.ndarray) -> np.ndarray:
  """Returns linear light of colours in [0, 1], by the power 2.2."""
  return np.asarray(srgb) ** 2.2


def look(numbers: np.ndarray) -> dict[str, float]:
  """Names the numbers of `NAMES`, each about N(0, 1) over people."""
  return {name: float(x) for name, x in zip(NAMES, numbers, strict=True)}


def _share(x, threshold, width=1.0):
  """Returns 0 below a threshold, rising to 1 at `width` above it."""
  return float(np.clip((x - threshold) / width, 0, 1))


def _palette(table, position):
  """Interpolates the rows of a table; position in [0, 1]."""
  at = np.clip(position, 0, 1) * (len(table) - 1)
  return np.array([np.interp(at, range(len(table)), c) for c in table.T])


def skin_colour(person: dict[str, float]) -> np.ndarray:
  """Returns the skin's linear RGB, [3]."""
  colour = _palette(_SKIN, 0.38 + 0.24 * person["skin_tone"])
  tint = 0.02 * person["skin_red"] * np.array([1, -0.6, -0.3])
  tint = tint + 0.02 * person["skin_yellow"] * np.array([0.3, 0.2, -1])
  return linear(np.clip(colour + tint, 0.05, 1))


def hair_colour(person: dict[str, float]) -> np.ndarray:
  """Returns the hair's linear RGB, [3]; darker skin, darker hair."""
  lightness = 0.42 - 0.22 * person["hair_dark"] - 0.2 * person["skin_tone"]
  colour = _palette(_HAIR, lightness)
  red = _share(person["hair_red"], 0.8)
  colour = colour + red * np.array([0.22, 0.04, -0.02])
  grey = 0.85 * _share(person["hair_grey"], 0.9)
  colour = colour * (1 - grey) + grey * np.array([0.66, 0.65, 0.63])
  return linear(np.clip(colour, 0.02, 1))


def iris_colour(person: dict[str, float]) -> np.ndarray:
  """Returns the iris's linear RGB, [3]."""
  hue = 0.35 + 0.3 * person["iris_hue"] - 0.2 * max(person["skin_tone"], 0)
  colour = _palette(_IRIS, hue) * (1 + 0.12 * person["iris_light"])
  return linear(np.clip(colour, 0.02, 1))


def hair_edge(person: dict[str, float], s: np.ndarray) -> np.ndarray:
  """Returns the height at which the hair ends, for azimuths `s`."""
  away = np.abs(s)
  front = np.interp(
    away, [0, 0.3, 0.7, 0.95, 1.2], [-0.70, -0.70, -0.60, -0.38, -0.22]
  )
  front = front - 0.07 * person["hair_line"]
  fringe = 0.30 * _share(person["fringe"], 0.7, 0.8)
  front = front + fringe * chart.ramp(away, 1.1, 0.7)
  short = np.interp(
    away,
    [1.2, 1.32, 1.5, 1.62, 1.95, 2.08, 2.3, np.pi],
    [-0.22, 0.10, 0.06, -0.16, -0.16, 0.45, 0.72, 0.80],
  )
  ends = 1.0 + 0.35 * (person["hair_length"] - 0.3)
  front = np.maximum(front, -1.1)
  if is_long(person):
    return np.where(away < 1.0, front, np.interp(away, [1, 1.1], [-0.3, ends]))
  return np.where(away < 1.2, front, short)


def is_long(person: dict[str, float]) -> bool:
  """Tells whether the hair falls over the ears."""
  return person["hair_length"] > 0.3


def is_bald(person: dict[str, float]) -> bool:
  """Tells whether the head is shaved."""
  return person["hair_length"] < -1.6


def hair_cover(
  person: dict[str, float], s: np.ndarray, t: np.ndarray, blur: float
) -> np.ndarray:
  """Returns how much hair covers each chart point, [0, 1]."""
  if is_bald(person):
    return np.zeros_like(t)
  edge = hair_edge(person, s)
  return chart.ramp(t, edge + blur, edge - blur)


def hair_offset(
  person: dict[str, float], s: np.ndarray, t: np.ndarray, skin: np.ndarray
) -> np.ndarray:
  """Returns how far the hair's surface lies from the skin.

  Args:
    person: Named numbers.
    s: [V] float, azimuths.
    t: [V] float, heights.
    skin: [V, 3] float, the resting head.

  Returns:
    [V, 3] float64, to be added to the skin.
  """
  cover = hair_cover(person, s, t, 0.05)
  thick = 0.09 + 0.035 * person["hair_thick"]
  lumps = 1 + 0.12 * np.sin(7 * s + 3 * t) * np.sin(5 * t)
  outward = skin - np.array([0, -0.1, 0])
  outward[:, 1] *= chart.ramp(t, 0.1, -0.5)
  outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-6
  out = (max(thick, 0.02) * cover * lumps)[:, None] * outward
  if is_long(person):  # Falls straight from the widest part of the head.
    radius = np.hypot(skin[:, 0], skin[:, 2])
    hang = cover * chart.ramp(t, -0.1, 0.3) * chart.ramp(np.abs(s), 1.08, 1.3)
    gap = np.maximum(0.80 + 0.03 * person["hair_thick"] - radius, 0) * hang
    out += gap[:, None] * skin * [1, 0, 1] / radius[:, None].clip(0.05)
  return out


@functools.cache
def texels(side: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns s and t of a texture's columns and rows, [side] float32 each.

  Texels are as dense as the chart's grid, so finest in the face.
  """
  grid = chart.grid()
  at = (np.arange(side) + 0.5) / side
  axes = [
    np.interp(at * (axis.size - 1), np.arange(axis.size), axis)
    for axis in (grid.s, grid.t)
  ]
  return axes[0].astype(np.float32), axes[1].astype(np.float32)


def texture(
  person: dict[str, float],
  clothes: np.ndarray,
  neckline: float,
  rng: np.random.Generator,
  side: int,
) -> np.ndarray:
  """Paints one person.

  Args:
    person: Named numbers.
    clothes: [3] float, linear RGB.
    neckline: Height at which they end, at the sides of the neck.
    rng: For blotches, freckles and strands; as many draws for any `side`.
    side: Rows and columns of the texture.

  Returns:
    [side, side, 3] float32 linear RGB, rows and columns as in `texels`.
  """
  s, t = texels(side)
  s, t = np.meshgrid(s, t)
  out = np.empty((side, side, 3), np.float32)
  out[:] = skin_colour(person)
  coarse = background.noise(rng, side, side, (14, 14)) - 0.5
  fine = background.noise(rng, side, side, (90, 90)) - 0.5
  blotch = 0.10 + 0.04 * person["skin_blotches"]
  out *= (1 + blotch * (coarse + 0.7 * fine))[..., None]
  face = np.flatnonzero(np.abs(s[0]) < 1.35)
  columns = slice(face[0], face[-1] + 1)
  _paint_face(
    out[:, columns], person, s[:, columns], t[:, columns], fine[:, columns], rng
  )
  _paint_hair(
    out, person, s, t, background.noise(rng, side, side, (5, 120)), fine
  )
  collar = neckline + 0.09 * np.cos(s)
  _mix(out, clothes, chart.ramp(t, collar - 0.02, collar + 0.02))
  return out


def _mix(out, colour, weight):
  """Blends a colour into an image, in place."""
  out += weight[..., None].astype(np.float32) * (
    np.asarray(colour, np.float32) - out
  )


def _tint(out, factors, weight):
  """Multiplies an image by colour factors, in place, by weight."""
  weight = weight[..., None].astype(np.float32)
  out *= 1 + weight * (np.asarray(factors, np.float32) - 1)


def _paint_face(out, person, s, t, fine, rng):
  """Paints all that lies on the front of the face, in place."""
  bump = chart.bump
  red = 0.35 + 0.2 * person["cheek_red"]
  _tint(
    out, [1.08, 0.72, 0.72], max(red, 0) * bump(s, t, 0.55, 0.36, 0.22, 0.14)
  )
  red = 0.3 + 0.2 * person["nose_red"]
  _tint(out, [1.05, 0.7, 0.7], max(red, 0) * bump(s, t, 0, 0.38, 0.14, 0.09))
  under = 0.25 + 0.15 * person["under_eye"]
  _tint(
    out, [0.7, 0.6, 0.65], max(under, 0) * bump(s, t, 0.36, 0.11, 0.13, 0.04)
  )
  shadow = _share(person["eye_shadow"], 0.6) * 0.8
  _tint(out, [0.45, 0.4, 0.55], shadow * bump(s, t, 0.42, -0.09, 0.16, 0.05))
  _freckles(out, person, s, t, rng)
  _paint_lips(out, person, s, t)
  # Nostrils, and the groove beside the nose.
  _tint(out, [0.12, 0.07, 0.07], bump(s, t, 0.078, 0.478, 0.034, 0.016))
  _tint(out, [0.75, 0.65, 0.65], bump(s, t, 0.235, 0.42, 0.02, 0.05))
  _beard(out, person, s, t, fine)
  _brows(out, person, s, t, fine)


def _freckles(out, person, s, t, rng):
  """Freckles over nose and cheeks, and a few moles."""
  spots = background.noise(rng, *t.shape, (60, 60))
  area = chart.bump(s, t, 0.5, 0.26, 0.3, 0.14)
  area = np.maximum(area, chart.bump(s, t, 0, 0.2, 0.15, 0.14))
  area = area * _share(person["freckles"], 0.7)
  _tint(out, [0.62, 0.45, 0.35], area * chart.ramp(spots, 0.72, 0.85))
  places = rng.uniform([-0.9, -0.5], [0.9, 1.0], (5, 2))
  count = int(np.clip(1.2 + 1.2 * person["moles"], 0, 5))
  for s0, t0 in places[:count]:
    away = ((s - s0) ** 2 + (t - t0) ** 2) / 0.018**2
    _tint(out, [0.35, 0.25, 0.22], np.exp(-away))


def _paint_lips(out, person, s, t):
  """Lips, darkest at the line between them."""
  soft = 0.014
  top, bottom = chart.upper_lip_line(s), chart.lower_lip_line(s)
  lips = chart.ramp(t, top - soft, top + soft)
  lips = lips * chart.ramp(t, bottom + soft, bottom - soft)
  lips = lips * chart.ramp(np.abs(s), chart.MOUTH_S, chart.MOUTH_S - 0.04)
  depth = 0.75 + 0.2 * person["lip_red"]
  tone = np.array([0.88, 0.46, 0.47]) ** np.clip(depth, 0.25, 1.5)
  tone = tone * (1 - 0.12 * max(person["lip_dark"], -0.5))
  _tint(out, tone, lips)
  line = np.exp(-(((t - chart.MOUTH_T) / 0.014) ** 2))
  _tint(out, [0.45, 0.3, 0.3], line * lips * 0.8)
  below = chart.bump(s, t, 0, 0.84, 0.16, 0.03)
  _tint(out, [0.8, 0.75, 0.75], below)


def _beard(out, person, s, t, fine):
  """Stubble, moustache, full beard."""
  line = chart.jaw_line(s)
  jaw = chart.ramp(t, 0.50, 0.72) * chart.ramp(t, line + 0.16, line)
  jaw = np.maximum(
    jaw * chart.ramp(np.abs(s), 0.20, 0.42), jaw * chart.ramp(t, 0.80, 0.88)
  )
  jaw = np.maximum(
    jaw,
    chart.ramp(np.abs(s), 1.0, 1.2)
    * chart.ramp(t, 0.1, 0.3)
    * chart.ramp(t, line + 0.1, line),
  )
  lip = chart.upper_lip_line(s)
  above = chart.ramp(t, 0.50, 0.53) * chart.ramp(t, lip + 0.01, lip - 0.015)
  above = above * chart.ramp(np.abs(s), 0.42, 0.30)
  hair = hair_colour(person)
  texture_of = np.minimum(0.85 + 0.7 * fine, 1.0)
  stubble = 0.45 * _share(person["stubble"], 0.2)
  if is_long(person):
    stubble = 0.0
  _mix(out, hair, stubble * np.maximum(jaw, above) * texture_of)
  if not is_long(person):
    _mix(out, hair, _share(person["moustache"], 1.0, 0.4) * above * texture_of)
    beard = 0.92 * _share(person["beard"], 1.0, 0.4)
    _mix(out, hair, beard * np.maximum(jaw, above) * texture_of)


def _brows(out, person, s, t, fine):
  """Brows, thinner outwards."""
  line, away = chart.brow_line(s), np.abs(s)
  half = 0.034 + 0.011 * person["brow_thick"]
  half = max(half, 0.012) * (1.15 - 0.75 * np.clip((away - 0.15) / 0.55, 0, 1))
  end = 0.70 + 0.03 * person["brow_length"]
  brow = np.exp(-(((t - line) / half) ** 4))
  brow = brow * chart.ramp(away, 0.10, 0.17) * chart.ramp(away, end, end - 0.1)
  dark = np.clip(0.82 + 0.1 * person["brow_dark"], 0.4, 1.0)
  colour = np.minimum(hair_colour(person), skin_colour(person) * 0.5) * 0.8
  _mix(out, colour, dark * brow * np.clip(0.9 + 0.7 * fine, 0, 1))


def _paint_hair(out, person, s, t, strands, fine):
  """Hair in strands; a shaved head keeps a shade of it."""
  hair = hair_colour(person)
  if is_bald(person):
    edge = np.minimum(hair_edge(person, s), 0.5)
    _mix(out, hair, 0.18 * chart.ramp(t, edge + 0.1, edge - 0.1))
    return
  rough = hair_edge(person, s) + 0.10 * fine
  cover = chart.ramp(t, rough + 0.03, rough - 0.03)
  depth = 0.7 + 0.25 * person["hair_streaks"]
  shade = 1 + np.clip(depth, 0.2, 1.4) * (strands - 0.5 + 0.4 * fine)
  out += cover[..., None].astype(np.float32) * (
    hair.astype(np.float32) * shade[..., None].astype(np.float32) - out
  )
