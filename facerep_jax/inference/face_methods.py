"""Pictures of faces: taken apart, changed, and put together again."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from facerep_jax import errors, sharding
from facerep_jax.faces import editing, panels, rendering
from facerep_jax.ops import render
from facerep_jax.systems import base

Images = np.ndarray | Sequence[np.ndarray]
Codes = editing.Codes
BATCH_SIZE = sharding.BATCH_SIZE


class FaceMethods:
  """What `api.Representation` can do with faces beyond features.

  All arrays are NumPy's. Pictures are [N, P, P, 3] float32, [0, 1], on white; P
  is the side of the images that the network sees, or `size_px`. They show the
  shaded mesh, with hard edges, however training draws its pictures.

  Attributes:
    config: Of the run.
    system: Pure functions of the system.
    variables: Its arrays.
    mesh: Devices in use.
    map_images: Applies a compiled function to images, see `api`.
  """

  config: ml_collections.ConfigDict
  system: base.System
  variables: base.Variables
  mesh: jax.sharding.Mesh
  size_px: int
  map_images: Callable[..., dict[str, np.ndarray]]

  @property
  def formation(self) -> rendering.Formation:
    """How pictures of faces are made here.

    Raises:
      InputError: The system does not take faces apart, or knows no space.
    """
    if self.system.faces is None:
      raise errors.InputError(
        f"this run's system, {self.config.system}, does not take faces apart "
        "into shape, texture, light and view. Use a run of "
        "configs/latentface.py."
      )
    if self.system.faces.formation.kind == "flat":
      raise errors.InputError(
        "this run was trained with image_formation='flat', which knows no "
        "space to draw faces in. Use a run with 'rasterise' or 'warp'."
      )
    return self.system.faces.formation._replace(
      kind="rasterise", softness=render.HARD
    )

  @functools.cached_property
  def has_neutral(self) -> bool:
    """Whether `encode` also finds codes without expression."""
    if self.system.faces is None:
      return False
    size = self.size_px
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    found = jax.eval_shape(
      self.system.faces.encode, self.variables, images, jax.random.key(0)
    )
    return all(f"neutral_{x}" in found for x in editing.NAMES)

  @functools.cached_property
  def _compiled(self):
    return {}

  def _step(self, function, *settings):
    """Compiles function(*settings, variables, batch), once."""
    if (function, *settings) not in self._compiled:
      bound = functools.partial(function, *settings)
      self._compiled[function, *settings] = sharding.jit_on_batch(
        bound, self.mesh
      )
    return self._compiled[function, *settings]

  def _map_rows(self, step, arrays, batch_size):
    """Applies a compiled function to rows, a batch at a time."""
    return sharding.map_rows(
      step, self.variables, arrays, batch_size, self.mesh
    )

  def encode(
    self,
    images: Images,
    *,
    batch_size: int = BATCH_SIZE,
    is_cropped: bool = False,
  ) -> Codes:
    """Finds what faces are made of.

    Args:
      images: As for `embed`.
      batch_size: As for `embed`.
      is_cropped: As for `embed`.

    Returns:
      `albedo_code` and `depth_code` [N, D], `view` [N, 6] and `light` [N, 4] in
      (-1, 1), all float32; if `has_neutral`, also `neutral_albedo_code` and
      `neutral_depth_code` [N, D]. The same images give the same codes.

    Raises:
      InputError: The system does not take faces apart, or an image has another
        shape, type or range.
    """
    _ = self.formation  # Checks that there is one.
    step = self._step(_encode, self.system.faces)
    return self.map_images(
      step, images, batch_size=batch_size, is_cropped=is_cropped
    )

  def decode(
    self, codes: Codes, *, batch_size: int = BATCH_SIZE
  ) -> rendering.Face:
    """Makes shape and texture of codes.

    Args:
      codes: As `encode` returns them.
      batch_size: Faces at a time; rounded up to the number of devices.

    Returns:
      N faces.

    Raises:
      InputError: The system does not take faces apart, or a code is missing or
        has another shape.
    """
    _ = self.formation  # Checks that there is one.
    editing.check(codes)
    rows = {x: np.asarray(codes[x], np.float32) for x in editing.NAMES}
    step = self._step(_decode, self.system.faces)
    maps = self._map_rows(step, rows, batch_size)
    light, view = (np.asarray(codes[x], np.float32) for x in ("light", "view"))
    return rendering.Face(light=light, view=view, **maps)

  def render(
    self,
    face: rendering.Face,
    *,
    size_px: int | None = None,
    batch_size: int = BATCH_SIZE,
  ) -> np.ndarray:
    """Draws faces in their light and from their viewpoint.

    Args:
      face: N faces, as of `decode`; other light and view can take the place of
        theirs. A turn is `view` times the `max_angle_deg` of `formation`.
      size_px: Side of the pictures; by default that of the images. Larger ones
        are smoother, and show no more.
      batch_size: Faces at a time; rounded up to the number of devices.

    Returns:
      Pictures.
    """
    size_px = size_px or self.size_px
    step = self._step(_render, self.formation, size_px)
    return self._map_rows(step, face._asdict(), batch_size)["picture"]

  def draw(
    self,
    codes: Codes,
    *,
    view: np.ndarray | None = None,
    light: np.ndarray | None = None,
    size_px: int | None = None,
    batch_size: int = BATCH_SIZE,
  ) -> np.ndarray:
    """Draws faces from codes.

    Args:
      codes: As `encode` returns them.
      view: [6], or [N, 6], in place of their own; see `ops.camera`.
      light: [4], or [N, 4], in place of their own; see
        `editing.light_vector`.
      size_px: See `render`.
      batch_size: Faces at a time; rounded up to the number of devices.

    Returns:
      Pictures.

    Raises:
      InputError: The system does not take faces apart, or an array has another
        shape or values that cannot be.
    """
    count = editing.check(codes)
    if view is not None:
      most = 90 / self.formation.max_angle_deg
      view = editing.spread("view", view, count, 6, most)
      codes = codes | {"view": view}
    if light is not None:
      light = editing.spread("light", light, count, 4, 1.0)
      codes = codes | {"light": light}
    face = self.decode(codes, batch_size=batch_size)
    return self.render(face, size_px=size_px, batch_size=batch_size)

  def draw_maps(
    self, codes: Codes, *, batch_size: int = BATCH_SIZE
  ) -> dict[str, np.ndarray]:
    """Draws what makes up the picture of a face from the front.

    Args:
      codes: As `encode` returns them.
      batch_size: Faces at a time; rounded up to the number of devices.

    Returns:
      As `panels.maps`.

    Raises:
      InputError: The system does not take faces apart, or a code is missing or
        has another shape.
    """
    face = self.decode(codes, batch_size=batch_size)
    step = self._step(_maps, self.formation)
    return self._map_rows(step, face._asdict(), batch_size)

  def reconstruct(self, images: Images, **settings) -> np.ndarray:
    """Draws faces as their images show them.

    Args:
      images: As for `embed`.
      **settings: `batch_size` and `is_cropped` as for `embed`, `size_px` as for
        `render`; so in all that follows.

    Returns:
      Pictures.

    Raises:
      InputError: As `encode` and `draw`; so in all that follows.
    """
    return self._draw_images(images, **settings)

  def frontalise(self, images: Images, **settings) -> np.ndarray:
    """Draws faces from the front, in their own light.

    Args:
      images: As for `embed`.
      **settings: See `reconstruct`.

    Returns:
      Pictures.
    """
    return self.turn(images, **settings)

  def turn(
    self,
    images: Images,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    **settings,
  ) -> np.ndarray:
    """Draws faces turned from the front, in the light that fell on the front.

    Args:
      images: As for `embed`.
      yaw_deg: Positive turns the nose to the picture's left; below 90.
      pitch_deg: Positive turns it down; below 90.
      **settings: See `reconstruct`.

    Returns:
      Pictures.
    """
    view = self.view_vector(yaw_deg, pitch_deg)
    return self._draw_images(images, view=view, **settings)

  def view_vector(
    self, yaw_deg: float, pitch_deg: float = 0.0, roll_deg: float = 0.0
  ) -> np.ndarray:
    """Makes a view as `draw` takes it, of a face turned from the front.

    Args:
      yaw_deg: See `turn`.
      pitch_deg: See `turn`.
      roll_deg: Positive leans the top of the head to the picture's right.

    Returns:
      [6] float32.

    Raises:
      InputError: An angle is 90 degrees or more.
    """
    angles = {"yaw_deg": yaw_deg, "pitch_deg": pitch_deg, "roll_deg": roll_deg}
    for name, value in angles.items():
      if not abs(value) < 90:
        raise errors.InputError(
          f"{name}: expected more than -90 and less than 90, got {value}."
        )
    view = np.zeros(6, np.float32)
    view[:3] = pitch_deg, yaw_deg, roll_deg
    return view / np.float32(self.formation.max_angle_deg)

  def relight(
    self, images: Images, light: np.ndarray, **settings
  ) -> np.ndarray:
    """Draws faces as their images show them, in another light.

    Args:
      images: As for `embed`.
      light: [4], or [N, 4], [-1, 1]; see `editing.light_vector`.
      **settings: See `reconstruct`.

    Returns:
      Pictures.
    """
    return self._draw_images(images, light=light, **settings)

  def neutralise(self, images: Images, **settings) -> np.ndarray:
    """Draws faces as their images show them, without expression.

    Args:
      images: As for `embed`.
      **settings: See `reconstruct`.

    Returns:
      Pictures.
    """
    return self._draw_images(images, editing.neutral, **settings)

  def transfer(
    self, identity_images: Images, expression_images: Images, **settings
  ) -> np.ndarray:
    """Draws faces as their images show them, with expressions of others.

    Args:
      identity_images: As for `embed`: who is drawn, in their view and light.
      expression_images: As many: whose expression each of them gets.
      **settings: See `reconstruct`.

    Returns:
      Pictures; `editing.transferred` says what is done.
    """
    only = {
      k: settings[k] for k in ("batch_size", "is_cropped") if k in settings
    }
    expressions = self.encode(expression_images, **only)
    return self._draw_images(
      identity_images,
      lambda codes: editing.transferred(codes, expressions),
      **settings,
    )

  def maps(
    self,
    images: Images,
    *,
    batch_size: int = BATCH_SIZE,
    is_cropped: bool = False,
  ) -> dict[str, np.ndarray]:
    """Encodes images and renders as `draw_maps` does; see `encode`."""
    codes = self.encode(images, batch_size=batch_size, is_cropped=is_cropped)
    return self.draw_maps(codes, batch_size=batch_size)

  def _draw_images(
    self,
    images,
    change=lambda codes: codes,
    *,
    view=None,
    light=None,
    size_px=None,
    batch_size=BATCH_SIZE,
    is_cropped=False,
  ):
    """Takes faces apart, changes their codes, and draws them."""
    codes = self.encode(images, batch_size=batch_size, is_cropped=is_cropped)
    return self.draw(
      change(codes),
      view=view,
      light=light,
      size_px=size_px,
      batch_size=batch_size,
    )


def _encode(faces, variables, batch):
  key = jax.random.key(0)  # The same input gives the same codes.
  return faces.encode(variables, batch["images"], key)


def _decode(faces, variables, batch):
  depth, albedo11 = faces.decode(
    variables, batch["albedo_code"], batch["depth_code"]
  )
  return {"depth": depth, "albedo11": albedo11}


def _render(formation, size_px, variables, batch):
  del variables  # Nothing of it is learned.
  face = rendering.Face(**batch)
  return {"picture": panels.picture(face, formation, size_px)}


def _maps(formation, variables, batch):
  del variables  # Nothing of it is learned.
  return panels.maps(rendering.Face(**batch), formation)
