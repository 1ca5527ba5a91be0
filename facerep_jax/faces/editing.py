"""What can be done to the codes of faces, as `faces` finds them."""

import math

import numpy as np

from facerep_jax import errors

Codes = dict[str, np.ndarray]
NAMES = ("albedo_code", "depth_code")


def light_vector(
  *,
  ambient: float = 0.4,
  diffuse: float = 0.6,
  right_deg: float = 0.0,
  above_deg: float = 0.0,
) -> np.ndarray:
  """Makes a light as `api.Representation.relight` takes it.

  Light belongs to the face: "right" is where it falls from while the face is
  seen from the front, and it turns with the face.

  Args:
    ambient: Share of light that reaches every place, 0 to 1.
    diffuse: Share that a surface which faces the light adds, 0 to 1.
    right_deg: How far to the right of the camera, in the picture, the light
      stands; -45 to 45.
    above_deg: How far above it, likewise.

  Returns:
    [4] float32, [-1, 1], see `ops.shading`.

  Raises:
    InputError: A number is out of its range.
  """
  for name, value, low, high in (
    ("ambient", ambient, 0, 1),
    ("diffuse", diffuse, 0, 1),
    ("right_deg", right_deg, -45, 45),
    ("above_deg", above_deg, -45, 45),
  ):
    if not low <= value <= high:
      raise errors.InputError(f"{name}: expected {low} to {high}, got {value}.")
  # Light from the right travels to the left, against x; y points down.
  across = -math.tan(math.radians(right_deg))
  down = math.tan(math.radians(above_deg))
  return np.array([2 * ambient - 1, 2 * diffuse - 1, across, down], np.float32)


def light_settings(light: np.ndarray) -> dict[str, np.ndarray]:
  """Says of lights what `light_vector` makes them of.

  Args:
    light: [N, 4] float, [-1, 1], as `api.Representation.encode` returns it.

  Returns:
    The arguments of `light_vector` by name, [N] each.
  """
  light = np.asarray(light)
  errors.check_shape("light", light, "N 4")
  shares, slopes = (light[:, :2] + 1) / 2, np.degrees(np.arctan(light[:, 2:]))
  return {
    "ambient": shares[:, 0],
    "diffuse": shares[:, 1],
    "right_deg": -slopes[:, 0],
    "above_deg": slopes[:, 1],
  }


def neutral(codes: Codes) -> Codes:
  """Takes the expression out of faces; view and light stay.

  Args:
    codes: As `api.Representation.encode` returns them, with neutral codes.

  Returns:
    Codes whose shape and texture are the neutral ones, see `transferred`.

  Raises:
    InputError: There are no neutral codes.
  """
  _check_neutral(codes)
  return codes | {x: _possible(codes[f"neutral_{x}"]) for x in NAMES}


def transferred(identity: Codes, expression: Codes) -> Codes:
  """Gives faces the expressions of other faces.

  Each code becomes the neutral one of the identity plus what tells the other
  face from its own neutral one. View and light are those of the identity, so
  that only its expression changes.

  Codes come out of a ReLU and the decoders have never seen a negative one.
  A sum may be negative, where the other face takes away more than this one has;
  it is then 0, the nearest code that an image can have. A face that gets
  its own expression stays as it is.

  Args:
    identity: As `api.Representation.encode` returns them, with neutral codes.
    expression: Likewise, as many.

  Returns:
    Codes, as many.

  Raises:
    InputError: There are no neutral codes, or the numbers of faces differ.
  """
  _check_neutral(identity)
  _check_neutral(expression)
  sizes = [len(codes["view"]) for codes in (identity, expression)]
  if sizes[0] != sizes[1]:
    raise errors.InputError(
      f"transfer: {sizes[0]} identities and {sizes[1]} expressions; expected "
      "as many of both, row by row."
    )
  return identity | {
    x: _possible(
      identity[f"neutral_{x}"] + (expression[x] - expression[f"neutral_{x}"])
    )
    for x in NAMES
  }


def _possible(code):
  return np.maximum(code, 0)


def _check_neutral(codes):
  missing = [x for x in NAMES if f"neutral_{x}" not in codes]
  if missing:
    raise errors.InputError(
      "the codes of faces without their expression are missing. They come from "
      "LatentFace's second stage: use a run with config.stage=diffusion."
    )


def check(codes: Codes) -> int:
  """Checks that codes are as `api.Representation.encode` returns them.

  Args:
    codes: What may be codes.

  Returns:
    N, the number of faces.

  Raises:
    InputError: Something is missing, or has another shape.
  """
  wanted = {"view": "N 6", "light": "N 4", **dict.fromkeys(NAMES, "N D")}
  missing = [name for name in wanted if name not in codes]
  if missing:
    raise errors.InputError(
      f"codes: {', '.join(missing)} missing, got {', '.join(codes)}. Give what "
      "`encode` returned."
    )
  count = len(codes["view"])
  for name, spec in wanted.items():
    spec = spec.replace("N", str(count))
    errors.check_shape(f"codes[{name!r}]", np.asarray(codes[name]), spec)
  return count


def spread(
  name: str, values: np.ndarray, count: int, size: int, most: float
) -> np.ndarray:
  """Gives each of some faces its row of numbers.

  Args:
    name: What they are called in messages.
    values: [size] for all faces alike, or [count, size].
    count: Number of faces.
    size: Numbers of a face.
    most: Largest number, positive or negative, that can be.

  Returns:
    [count, size] float32.

  Raises:
    InputError: The shape is another one, or a number is too large.
  """
  values = np.asarray(values, np.float32)
  if values.shape not in ((size,), (count, size)):
    raise errors.InputError(
      f"{name}: expected [{size}] or [{count}, {size}], got "
      f"{list(values.shape)}."
    )
  if not (np.abs(values) <= most).all():  # Catches NaN too.
    raise errors.InputError(
      f"{name}: expected -{most:g} to {most:g}, got {values.min():g} to "
      f"{values.max():g}."
    )
  return np.broadcast_to(values, (count, size))
