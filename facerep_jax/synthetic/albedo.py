"""Colour of skin, lips, brows and beard, as a texture over the chart."""

import functools

import numpy as np

from facerep_jax.synthetic import background, chart, hair

NAMES = (
  "skin_tone", "skin_red", "skin_yellow", "skin_blotches", "cheek_red",
  "nose_red", "freckles", "moles", "lip_red", "lip_dark", "brow_thick",
  "brow_dark", "brow_length", "eye_shadow", "eye_liner", "under_eye",
  "stubble", "moustache", "beard", "iris_hue", "iris_light", "sclera",
  "hair_dark", "hair_red", "hair_grey", "hair_length", "hair_thick",
  "hair_line", "fringe", "hair_streaks", "gloss", "teeth",
  "hair_curl", "hair_top", "hair_part", "hair_recede", "age", "eye_dark",
)  # fmt: skip

# sRGB, from the palest skin to the darkest.
_SKIN = np.array([
  [0.88, 0.74, 0.67], [0.84, 0.68, 0.59], [0.77, 0.59, 0.48],
  [0.63, 0.45, 0.35], [0.46, 0.32, 0.25], [0.31, 0.215, 0.175],
])  # fmt: skip
_IRIS = np.array([
  [0.16, 0.09, 0.05], [0.30, 0.18, 0.09], [0.36, 0.34, 0.18],
  [0.32, 0.42, 0.48], [0.25, 0.42, 0.62],
])  # fmt: skip
_HUE, _HUE_BY_SKIN = 0.3, 0.2  # Of the iris, by iris_hue and dark skin.


def linear(srgb: np.ndarray) -> np.ndarray:
  """Returns linear light of colours in [0, 1], by the power 2.2."""
  return np.asarray(srgb) ** 2.2


def look(numbers: np.ndarray) -> dict[str, float]:
  """Names the numbers of `NAMES`, each about N(0, 1) over people."""
  return {name: float(x) for name, x in zip(NAMES, numbers, strict=True)}


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


def iris_colour(person: dict[str, float]) -> np.ndarray:
  """Returns the iris's linear RGB, [3]."""
  hue = 0.35 + _HUE * person["iris_hue"]
  hue -= _HUE_BY_SKIN * max(person["skin_tone"], 0)
  colour = _palette(_IRIS, hue) * (1 + 0.12 * person["iris_light"])
  return linear(np.clip(colour, 0.02, 1))


def held_iris(
  before: dict[str, float], after: dict[str, float]
) -> dict[str, float]:
  """Finds the number that gives eyes their colour back on other skin.

  Args:
    before: Named numbers of a person.
    after: The same with another `skin_tone`.

  Returns:
    `iris_hue`, for `after`.
  """
  moved = max(after["skin_tone"], 0) - max(before["skin_tone"], 0)
  return {"iris_hue": before["iris_hue"] + _HUE_BY_SKIN / _HUE * moved}


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
  cover: hair.Cover | None,
  clothes: np.ndarray,
  neckline: float,
  rng: np.random.Generator,
  side: int,
) -> np.ndarray:
  """Paints one person.

  Args:
    person: Named numbers.
    cover: What is worn over the hair, if anything.
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
  hair.paint(out, person, cover, s, t, rng)
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
  dark = 0.45 + 0.2 * person["eye_dark"]
  _tint(
    out, [0.72, 0.63, 0.62], max(dark, 0) * bump(s, t, 0.38, -0.03, 0.2, 0.09)
  )
  under = 0.25 + 0.15 * person["under_eye"] + 0.15 * person["age"]
  _tint(
    out, [0.7, 0.6, 0.65], max(under, 0) * bump(s, t, 0.36, 0.11, 0.13, 0.04)
  )
  shadow = hair.share(person["eye_shadow"], 0.6) * 0.8
  _tint(out, [0.45, 0.4, 0.55], shadow * bump(s, t, 0.42, -0.09, 0.16, 0.05))
  _freckles(out, person, s, t, rng)
  _wrinkles(out, person, s, t, rng)
  _paint_lips(out, person, s, t)
  # Nostrils, and the groove beside the nose.
  _tint(out, [0.22, 0.14, 0.13], bump(s, t, 0.078, 0.478, 0.034, 0.016))
  _tint(out, [0.75, 0.65, 0.65], bump(s, t, 0.235, 0.42, 0.02, 0.05))
  _beard(out, person, s, t, fine)
  _brows(out, person, s, t, fine)


def _freckles(out, person, s, t, rng):
  """Freckles over nose and cheeks, and a few moles."""
  spots = background.noise(rng, *t.shape, (60, 60))
  area = chart.bump(s, t, 0.5, 0.26, 0.3, 0.14)
  area = np.maximum(area, chart.bump(s, t, 0, 0.2, 0.15, 0.14))
  area = area * hair.share(person["freckles"], 0.7)
  _tint(out, [0.62, 0.45, 0.35], area * chart.ramp(spots, 0.72, 0.85))
  places = rng.uniform([-0.9, -0.5], [0.9, 1.0], (5, 2))
  count = int(np.clip(1.2 + 1.2 * person["moles"], 0, 5))
  for s0, t0 in places[:count]:
    away = ((s - s0) ** 2 + (t - t0) ** 2) / 0.018**2
    _tint(out, [0.35, 0.25, 0.22], np.exp(-away))


def _wrinkles(out, person, s, t, rng):
  """Lines of age: forehead, beside the eyes, beside and below the mouth."""
  wave = background.noise(rng, *t.shape, (6, 6)) - 0.5
  old = hair.share(person["age"], -0.3, 2.2)
  away = np.abs(s)
  lines = np.sin((t + 0.10 * wave) * 2 * np.pi / 0.085) ** 8
  where = chart.bump(s, t, 0, -0.42, 0.4, 0.09)
  _tint(out, [0.72, 0.66, 0.64], 0.8 * old * lines * where)
  # Crow's feet run out from the corners of the eyes.
  fan = np.sin(11 * np.arctan2(t - 0.02, away - 0.45) + 3 * wave) ** 6
  where = chart.bump(s, t, 0.70, 0.03, 0.06, 0.09)
  _tint(out, [0.75, 0.68, 0.66], 0.7 * old * fan * where)
  fold = np.exp(
    -(((away - 0.20 - 0.62 * (t - 0.40) + 0.05 * wave) / 0.022) ** 2)
  )
  fold = fold * chart.ramp(t, 0.36, 0.44) * chart.ramp(t, 0.74, 0.62)
  _tint(out, [0.72, 0.64, 0.63], (0.25 + 0.75 * old) * fold)
  bag = np.exp(-(((t - 0.125 + 0.5 * (away - 0.38) ** 2) / 0.016) ** 2))
  bag = bag * chart.bump(s, 0, 0.36, 0, 0.13, 1)
  _tint(out, [0.75, 0.66, 0.66], (0.1 + 0.7 * old) * bag)


def _paint_lips(out, person, s, t):
  """Lips, darkest at the line between them."""
  soft = 0.014
  top, bottom = chart.upper_lip_line(s), chart.lower_lip_line(s)
  lips = chart.ramp(t, top - soft, top + soft)
  lips = lips * chart.ramp(t, bottom + soft, bottom - soft)
  lips = lips * chart.ramp(np.abs(s), chart.MOUTH_S, chart.MOUTH_S - 0.04)
  depth = 0.48 + 0.22 * person["lip_red"]
  tone = np.array([0.88, 0.46, 0.47]) ** np.clip(depth, 0.1, 1.3)
  tone = tone * (1 - 0.12 * max(person["lip_dark"], -0.5))
  _tint(out, tone, lips)
  line = np.exp(-(((t - chart.MOUTH_T) / 0.014) ** 2))
  _tint(out, [0.4, 0.3, 0.3], line * lips * 0.9)
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
  tone = hair.colour(person)
  texture_of = np.minimum(0.85 + 0.7 * fine, 1.0)
  stubble = 0.45 * hair.share(person["stubble"], 0.2)
  if hair.is_long(person):
    stubble = 0.0
  _mix(out, tone, stubble * np.maximum(jaw, above) * texture_of)
  if not hair.is_long(person):
    _mix(
      out, tone, hair.share(person["moustache"], 1.0, 0.4) * above * texture_of
    )
    beard = 0.92 * hair.share(person["beard"], 1.0, 0.4)
    _mix(out, tone, beard * np.maximum(jaw, above) * texture_of)


def _brows(out, person, s, t, fine):
  """Brows, thinner outwards."""
  line, away = chart.brow_line(s), np.abs(s)
  half = 0.034 + 0.011 * person["brow_thick"]
  half = max(half, 0.012) * (1.15 - 0.75 * np.clip((away - 0.15) / 0.55, 0, 1))
  end = 0.70 + 0.03 * person["brow_length"]
  brow = np.exp(-(((t - line) / half) ** 4))
  brow = brow * chart.ramp(away, 0.10, 0.17) * chart.ramp(away, end, end - 0.1)
  dark = np.clip(0.82 + 0.1 * person["brow_dark"], 0.4, 1.0)
  colour = np.minimum(hair.colour(person), skin_colour(person) * 0.5) * 0.8
  _mix(out, colour, dark * brow * np.clip(0.9 + 0.7 * fine, 0, 1))
