"""The scene factors of a photo, and its face as the sliders ask for it."""

import math
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.explorer import engine as engines
from facerep_jax.explorer import pixels, uploads
from facerep_jax.faces import editing, panels, rendering

_MOST_FACES = 8  # Decoded ones of a photo: own, neutral, and of other photos.
LIMIT_DEG = {"yaw": 75, "pitch": 60, "roll": 60}
_ANGLES = tuple(LIMIT_DEG)
_LIGHT = ("ambient", "diffuse", "right_deg", "above_deg")
OWN, NEUTRAL = "own", "neutral"


class Look(NamedTuple):
  """What the sliders say.

  Attributes:
    angles_deg: Yaw, pitch and roll.
    light: Arguments of `editing.light_vector`.
    expression: `OWN`, `NEUTRAL`, or the name of the photo whose expression the
      face gets.
  """

  angles_deg: tuple[float, float, float]
  light: dict[str, float]
  expression: str


def look_of(query: dict[str, str]) -> Look:
  """Reads what the sliders say.

  Args:
    query: Of the request: numbers by name, and `expression`.

  Returns:
    The same.

  Raises:
    InputError: A number is missing, no number, or out of its range.
  """
  angles = tuple(_number(query, x) for x in _ANGLES)
  for name, value in zip(_ANGLES, angles):
    if not abs(value) <= LIMIT_DEG[name]:
      raise errors.InputError(
        f"{name}: expected -{LIMIT_DEG[name]} to {LIMIT_DEG[name]}, got "
        f"{value}."
      )
  light = {x: _number(query, x) for x in _LIGHT}
  return Look(angles, light, query.get("expression") or OWN)


def _number(query, name):
  text = query.get(name, "")
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise errors.InputError(f"{name}: expected a number, got {text[:40]!r}.")
  return value


def describe(engine: engines.Engine, photo: uploads.Photo) -> dict[str, Any]:
  """Encodes a photo, and says what the model finds in it.

  Args:
    engine: What encodes.
    photo: The photo; its codes are filled in.

  Returns:
    For JSON: `pictures`, data addresses by caption; and, where there are scene
    factors, `angles` and `light` of the photo, for the sliders.
  """
  model = engine.model
  cut = model.crop(photo.image, size_px=engines.PICTURE_PX)
  pictures = {"photo, as the model sees it": cut}
  if engine.no_scene:
    return {"pictures": _addresses(pictures)}
  photo.codes = engine.encode(photo.image)
  maps = engine.draw_maps(photo.codes)
  front = face_of(engine, photo)._replace(view=model.view_vector(0)[None])
  pictures |= {
    "albedo": maps["albedo"][0],
    "depth (near is light)": panels.depth_to_grey(maps["canonical_depth"])[0],
    "normals": panels.normals_to_rgb(maps["normal"])[0],
    "light on a white face": maps["shading"][0],
    "frontal face": engine.render(front),
  }
  light = editing.light_settings(photo.codes["light"])
  angles = engine.angles_deg(photo.codes["view"])[0]
  return {
    "pictures": _addresses(pictures),
    "angles": dict(zip(_ANGLES, angles.tolist())),
    "light": {name: float(value[0]) for name, value in light.items()},
  }


def _addresses(pictures):
  return {name: pixels.address(value) for name, value in pictures.items()}


def face_of(
  engine: engines.Engine,
  photo: uploads.Photo,
  expression: str = OWN,
  other: uploads.Photo | None = None,
) -> rendering.Face:
  """Decodes a photo's face, once for each expression.

  Args:
    engine: What decodes.
    photo: Whose face.
    expression: See `Look`.
    other: The photo of that name.

  Returns:
    One face, in the photo's light and view.

  Raises:
    InputError: The model finds no scene factors, or no neutral faces.
  """
  if photo.codes is None:
    raise errors.InputError(engine.no_scene or "the photo has no codes.")
  if expression not in photo.faces:
    codes = photo.codes
    if expression == NEUTRAL:
      codes = editing.neutral(codes)
    elif expression != OWN:
      codes = editing.transferred(codes, other.codes or {})
    photo.faces[expression] = engine.decode(codes)
    while len(photo.faces) > _MOST_FACES:
      photo.faces.popitem(last=False)
  return photo.faces[expression]


def draw(
  engine: engines.Engine,
  photo: uploads.Photo,
  look: Look,
  other: uploads.Photo | None = None,
) -> np.ndarray:
  """Draws a photo's face as the sliders say; its place in the picture stays.

  Args:
    engine: What draws.
    photo: Whose face.
    look: What the sliders say.
    other: The photo that `look.expression` names.

  Returns:
    [P, P, 3] float32, [0, 1].

  Raises:
    InputError: As `face_of`, or a number is out of its range.
  """
  face = face_of(engine, photo, look.expression, other)
  view = face.view.copy()
  view[0, :3] = engine.model.view_vector(*look.angles_deg)[:3]
  light = editing.light_vector(**look.light)
  return engine.render(face._replace(view=view, light=light[None]))
