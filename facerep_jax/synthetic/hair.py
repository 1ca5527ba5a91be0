"""Hair and what covers it: lines, volume, colour, strands, caps, scarves."""

import dataclasses

import numpy as np

from facerep_jax.synthetic import background, chart, motion

# sRGB, from black hair to blond.
_HAIR = np.array([
  [0.05, 0.04, 0.04], [0.11, 0.08, 0.065], [0.21, 0.15, 0.11],
  [0.36, 0.26, 0.18], [0.66, 0.54, 0.38],
])  # fmt: skip

_DARK, _SKIN = 0.22, 0.2  # What a unit of hair_dark and skin_tone darkens.
# The numbers that a visit to the hairdresser changes.
_STYLE = (
  "hair_length", "hair_thick", "fringe", "hair_streaks", "hair_curl",
  "hair_top", "hair_part",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Cover:
  """A cap or a scarf over the hair.

  Attributes:
    is_scarf: Falls over ears and neck; else it ends above the ears.
    line: Height at which it ends on the forehead.
    thick: How far it stands off the skin.
    colour: [3] float64, linear RGB.
  """

  is_scarf: bool
  line: float
  thick: float
  colour: np.ndarray


def share(x: float, threshold: float, width: float = 1.0) -> float:
  """Returns 0 below a threshold, rising to 1 at `width` above it."""
  return float(np.clip((x - threshold) / width, 0, 1))


def draw_cover(
  rng: np.random.Generator, kind: str | None = None
) -> Cover | None:
  """Draws what one person in twelve wears on the head in a recording.

  Args:
    rng: Where the numbers come from; as many for any kind.
    kind: "none", "cap" or "scarf"; None: as it is drawn.

  Returns:
    The cover, or None.
  """
  chance, line, thick, tone = rng.random(4)
  colour = rng.random(3) ** 2.5
  grey = 0.8 * tone**2.5
  colour = grey + 0.5 * (colour - colour.mean()) * rng.random()
  if kind is None:
    kind = "cap" if chance <= 0.055 else "scarf"
    kind = "none" if chance > 0.085 else kind
  if kind == "none":
    return None
  return Cover(
    kind == "scarf",
    line=-0.62 + 0.3 * line,
    thick=0.04 + 0.09 * thick,
    colour=np.clip(colour, 0.005, 0.9),
  )


def draw_style(rng: np.random.Generator) -> dict[str, float]:
  """Draws the numbers of a hair style, each about N(0, 1)."""
  numbers = motion.bounded_normal(rng, len(_STYLE))
  return dict(zip(_STYLE, numbers.tolist()))


def colour(person: dict[str, float]) -> np.ndarray:
  """Returns the hair's linear RGB, [3]; darker skin, darker hair."""
  lightness = 0.40 - _DARK * person["hair_dark"] - _SKIN * person["skin_tone"]
  at = np.clip(lightness, 0, 1) * (len(_HAIR) - 1)
  tone = np.array([np.interp(at, range(len(_HAIR)), c) for c in _HAIR.T])
  red = share(person["hair_red"], 1.0)
  tone = tone + red * np.array([0.16, 0.04, -0.02])
  old = person["hair_grey"] + 0.9 * person["age"]
  grey = 0.85 * share(old, 0.9, 1.2)
  tone = tone * (1 - grey) + grey * np.array([0.60, 0.59, 0.57])
  return np.clip(tone, 0.02, 1) ** 2.2


def held_colour(
  before: dict[str, float], after: dict[str, float]
) -> dict[str, float]:
  """Finds the number that gives hair its colour back on other skin.

  Args:
    before: Named numbers of a person.
    after: The same with another `skin_tone`.

  Returns:
    `hair_dark`, for `after`.
  """
  moved = after["skin_tone"] - before["skin_tone"]
  return {"hair_dark": before["hair_dark"] - _SKIN / _DARK * moved}


def is_long(person: dict[str, float]) -> bool:
  """Tells whether the hair falls over the ears."""
  return person["hair_length"] > 0.3


def is_bald(person: dict[str, float]) -> bool:
  """Tells whether the head is shaved."""
  return person["hair_length"] < -1.6


def edge(
  person: dict[str, float], cover: Cover | None, s: np.ndarray
) -> np.ndarray:
  """Returns the height at which hair or cover ends, for azimuths `s`."""
  away = np.abs(s)
  if cover is not None:
    low = np.interp(away, [0.7, 1.2, 2.0, np.pi], [0, 0.12, 0.2, 0.35])
    if cover.is_scarf:
      low = np.interp(away, [0.75, 0.95, 1.2, np.pi], [0, 0.6, 2.0, 2.0])
    return cover.line + low
  front = np.interp(
    away, [0, 0.3, 0.7, 0.95, 1.2], [-0.72, -0.70, -0.60, -0.38, -0.18]
  )
  front = front - 0.07 * person["hair_line"]
  # Temples recede, the middle stays; a parting lifts one side.
  recede = share(person["hair_recede"] + 0.5 * person["age"], 0.6, 1.5)
  front = front - 0.34 * recede * chart.bump(s, 0, 0.52, 0, 0.24, 1)
  swept = np.clip(person["hair_part"], -1.5, 1.5) * np.sin(1.3 * s)
  fringe = share(person["fringe"], 0.4, 1.4) * (1 - recede)
  front = front + (0.05 + 0.16 * fringe) * swept
  front = front + 0.40 * fringe * chart.ramp(away, 1.1, 0.6)
  front = front + 0.03 * np.sin(11 * s + 4 * person["hair_part"]) * fringe
  short = np.interp(
    away,
    [1.2, 1.32, 1.5, 1.62, 1.95, 2.08, 2.3, np.pi],
    [-0.22, 0.10, 0.06, -0.16, -0.16, 0.45, 0.72, 0.80],
  )
  front = np.clip(front, -1.1, -0.16)
  if not is_long(person):
    low = 0.25 * share(person["hair_length"], -0.4, 0.7)  # Over the ears.
    over = low * chart.bump(s, 0, 1.7, 0, 0.3, 1)
    return np.where(away < 1.2, front, short + over)
  ends = 1.0 + 0.35 * (person["hair_length"] - 0.3)
  start = 1.0 - 0.10 * np.clip(person["hair_line"], -1, 2)
  side = np.interp(away, [start, start + 0.14], [-0.3, ends])
  return np.where(away < start, front, side)


def offset(
  person: dict[str, float],
  cover: Cover | None,
  s: np.ndarray,
  t: np.ndarray,
  skin: np.ndarray,
) -> np.ndarray:
  """Returns how far the surface of hair or cover lies from the skin.

  Args:
    person: Named numbers.
    cover: What is worn over the hair, if anything.
    s: [V] float, azimuths.
    t: [V] float, heights.
    skin: [V, 3] float, the resting head.

  Returns:
    [V, 3] float64, to be added to the skin.
  """
  # Rises from nothing at the hair's edge: the mesh is coarser than that edge.
  on = np.zeros_like(t)
  if cover is not None or not is_bald(person):
    inset = 0.12 if is_long(person) else 0.07
    line = edge(person, cover, s - inset * np.tanh(s / 0.3))
    on = chart.ramp(t, line + 0.03, line - 0.2)
  outward = skin - np.array([0, -0.1, 0])
  outward[:, 1] *= chart.ramp(t, 0.1, -0.5)
  outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-6
  curl = share(person["hair_curl"], 0.3, 1.8)
  if cover is not None:
    thick, curl = cover.thick, 0.0
    thick = thick * (1 - 0.6 * chart.ramp(t, 0.9, 1.2))
  else:
    thick = (
      0.10
      + 0.045 * person["hair_thick"]
      + (0.14 if is_long(person) else 0.27) * curl**1.3
    )
    thick = max(thick, 0.02)
    # More on top than at the sides, or the other way round.
    top = chart.ramp(t, -0.35, -0.9)
    thick = thick * np.maximum(1 + 0.35 * person["hair_top"] * top, 0.3)
  phase = 2.0 * person["hair_part"] + person["hair_streaks"]
  lumps = 1 + (0.12 + 0.25 * curl) * np.sin(7 * s + 3 * t + phase) * np.sin(
    5 * t - phase
  )
  lumps = lumps + 0.14 * curl * np.sin(19 * s + phase) * np.sin(17 * t)
  lumps = lumps + 0.25 * person["hair_part"] * np.sin(s) * chart.ramp(t, 0, -1)
  lift = thick * on * np.clip(lumps, 0.1, 1.35)
  if cover is not None:  # Cloth presses the ears flat.
    lift = lift - 0.14 * on * chart.bump(s, t, 1.76, 0.16, 0.09, 0.2)
  out = lift[:, None] * outward
  if is_long(person) and cover is None:
    width = 0.80 + 0.05 * person["hair_thick"] + 0.12 * curl
    width = width + 0.05 * np.sin(6 * t + phase) * (t - 0.2)
    out += _hang(on, width, s, t, skin)
  return out


def _hang(on, width, s, t, skin):
  """Lets hair fall straight from the widest part of the head, [V, 3]."""
  radius = np.hypot(skin[:, 0], skin[:, 2])
  hang = on * chart.ramp(t, -0.1, 0.3) * chart.ramp(np.abs(s), 1.08, 1.3)
  gap = np.maximum(width - radius, 0) * hang
  return gap[:, None] * skin * [1, 0, 1] / radius[:, None].clip(0.05)


def paint(
  out: np.ndarray,
  person: dict[str, float],
  cover: Cover | None,
  s: np.ndarray,
  t: np.ndarray,
  rng: np.random.Generator,
) -> None:
  """Paints hair in strands, or a cover; a shaved head keeps a shade of hair.

  Args:
    out: [H, W, 3] float32, the texture, painted in place.
    person: Named numbers.
    cover: What is worn over the hair, if anything.
    s: [H, W] float32, azimuths.
    t: [H, W] float32, heights.
    rng: For strands; as many draws for any person and size.
  """
  shape = t.shape
  strands = background.noise(rng, *shape, (5, 120)) - 0.5
  thin = background.noise(rng, *shape, (14, 260)) - 0.5
  fine = background.noise(rng, *shape, (90, 90)) - 0.5
  locks = background.noise(rng, *shape, (22, 34)) - 0.5
  hair = colour(person)
  if is_bald(person) and cover is None:
    line = np.minimum(edge(person, None, s), 0.5)
    _blend(out, hair, 0.15 * chart.ramp(t, line + 0.15, line - 0.15))
    return
  if cover is not None:
    line = edge(person, cover, s)
    on = chart.ramp(t, line + 0.015, line - 0.015)
    _blend(out, cover.colour, on)
    out *= 1 + (0.5 * on * (0.6 * fine + locks))[..., None]
    return
  curl = share(person["hair_curl"], 0.3, 1.8)
  soft = 0.03 + 0.02 * abs(person["hair_streaks"])
  line = edge(person, None, s)
  # Where the line runs down the face, strands lie along it.
  steep = np.abs(np.gradient(line[0], s[0])).astype(np.float32)
  rough = 0.08 * fine + 0.10 * thin * (1 - curl)
  rough = line + rough / (1 + steep * steep)
  on = chart.ramp(t, rough + soft, rough - soft)
  depth = np.clip(0.8 + 0.25 * person["hair_streaks"], 0.3, 1.5)
  straight = strands + 0.8 * thin + 0.3 * fine
  shade = 1 + depth * ((1 - curl) * straight + curl * (1.5 * fine + locks))
  # Roots and ends lie in the shade of other hair.
  shade *= 1 - 0.35 * chart.ramp(t, rough - 0.22, rough - 0.02)
  shade = np.maximum(shade, 0.1).astype(np.float32)
  out += on[..., None].astype(np.float32) * (
    hair.astype(np.float32) * shade[..., None] - out
  )


def _blend(out, tone, weight):
  """Blends a colour into an image, in place."""
  out += weight[..., None].astype(np.float32) * (
    np.asarray(tone, np.float32) - out
  )
