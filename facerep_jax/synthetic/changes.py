"""Changes of one thing about a synthetic person, all else as it is drawn.

No change takes another number from a generator, so what is not named here
stays to the bit: pose, expression, light, camera, background and noise.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from facerep_jax import errors
from facerep_jax.synthetic import albedo, hair, shape_modes

GLASSES = ("none", "clear", "dark")
COVERS = ("none", "cap", "scarf")


@dataclasses.dataclass(frozen=True)
class Change:
  """What is set instead of drawn.

  Attributes:
    skin_tone: As the number of that name in `albedo.NAMES`. Hair and eyes,
      which follow the skin otherwise, keep their colours; brows, which are
      darker than the skin at any tone, may not.
    exposed_for: Skin tone that the camera's exposure is set for; None: that of
      the face, as a camera that meters the face would.
    look: Numbers of `albedo.NAMES` by name; not `skin_tone`.
    shape: Numbers of `shape_modes.NAMES` by name; built-in heads alone.
    glasses: One of `GLASSES`; None: as drawn.
    cover: One of `COVERS`; None: as drawn.
  """

  skin_tone: float | None = None
  exposed_for: float | None = None
  look: Mapping[str, float] = dataclasses.field(default_factory=dict)
  shape: Mapping[str, float] = dataclasses.field(default_factory=dict)
  glasses: str | None = None
  cover: str | None = None

  def __post_init__(self):
    looks = [name for name in albedo.NAMES if name != "skin_tone"]
    for what, given, known in (
      ("look", self.look, looks),
      ("shape", self.shape, shape_modes.NAMES),
      ("glasses", [self.glasses], [None, *GLASSES]),
      ("cover", [self.cover], [None, *COVERS]),
    ):
      unknown = [name for name in given if name not in known]
      if unknown:
        names = ", ".join(name for name in known if name)
        raise errors.InputError(
          f"change of {what}: {unknown[0]!r}: expected one of {names}."
        )


def of_look(change: Change, look: dict[str, float]) -> dict[str, float]:
  """Sets the numbers of colours and hair.

  Args:
    change: What is set.
    look: All numbers of `albedo.NAMES`, as drawn.

  Returns:
    The same with the changes.
  """
  look = look | dict(change.look)
  if change.skin_tone is None:
    return look
  moved = look | {"skin_tone": change.skin_tone}
  return moved | hair.held_colour(look, moved) | albedo.held_iris(look, moved)


def of_shape(
  change: Change, shape: np.ndarray, is_built_in: bool
) -> np.ndarray:
  """Sets identity numbers.

  Args:
    change: What is set.
    shape: [K] float, as drawn.
    is_built_in: Whether they are those of the built-in head.

  Returns:
    [K], a copy where something changes.

  Raises:
    InputError: The head is another one, whose numbers have no names.
  """
  if not change.shape:
    return shape
  if not is_built_in:
    raise errors.InputError(
      "change of shape: only built-in heads have named numbers; use "
      'Settings(heads="").'
    )
  shape = shape.copy()
  for name, value in change.shape.items():
    shape[shape_modes.NAMES.index(name)] = value
  return shape


def metered_skin(change: Change, look: dict[str, float]) -> np.ndarray:
  """Returns the skin that exposure is set for, linear RGB [3]."""
  if change.exposed_for is None:
    return albedo.skin_colour(look)
  return albedo.skin_colour(look | {"skin_tone": change.exposed_for})


def wears_glasses(change: Change, is_drawn: bool) -> bool:
  """Tells whether glasses are on, given whether they are drawn to be."""
  return is_drawn if change.glasses is None else change.glasses != "none"


def are_lenses_dark(change: Change) -> bool | None:
  """Tells whether lenses are dark; None: as drawn."""
  return {"clear": False, "dark": True}.get(change.glasses)
