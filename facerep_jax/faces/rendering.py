"""How a picture of a face comes about: shape, texture, light and viewpoint."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import normals as normal_ops
from facerep_jax.ops import render, shading

FORMATIONS = ("rasterise", "warp", "flat")
WHITE = 1.0
# Of a flat picture, what a depth of this much behind 1 adds to the brightness.
_FLAT_UNIT = 0.1
_TURNS = (1, 0, 2)  # Of a view, which turns about x, y and z.


class Formation(NamedTuple):
  """How pictures are made; static, hashable.

  Attributes:
    camera: Of the canonical view and of the picture alike.
    kind: "rasterise" draws the shaded mesh; "warp" draws its depth alone and
      fetches the colours from the canonical image; "flat" knows no space: depth
      is a second, grey picture that is added to the albedo, and light and view
      count for nothing. It is there to measure what the others bring.
    pixel_grid: "published" or "consistent", see `ops.render`.
    normal_border: "replicate" or "forward", see `ops.normals`.
    softness: Of the edges of the mesh; hard by default.
    capacity_factor: Of the renderer for soft pictures, see `ops.render`.
    max_angle_deg: Turn at a view of 1.
    max_shift: Shift along x and y at a view of 1, scene units.
  """

  camera: camera_ops.Camera
  kind: str = "rasterise"
  pixel_grid: str = "published"
  normal_border: str = "replicate"
  softness: render.Softness = render.HARD
  capacity_factor: float = render.CAPACITY_FACTOR
  max_angle_deg: float = 60.0
  max_shift: float = 0.1

  def angles_deg(self, view: np.ndarray) -> np.ndarray | None:
    """Says of views how far heads are turned.

    Args:
      view: [N, 6] float32, (-1, 1), see `ops.camera`.

    Returns:
      [N, 3] float32, yaw, pitch and roll, degrees; None where no space is
      known.
    """
    if self.kind == "flat":
      return None
    return view[:, _TURNS] * np.float32(self.max_angle_deg)


class Face(NamedTuple):
  """What pictures of faces are made of.

  Attributes:
    depth: [N, S, S] float32, canonical, scene units.
    albedo11: [N, S, S, 3] float32, canonical, [-1, 1].
    light: [N, 4] float32, (-1, 1), see `ops.shading`.
    view: [N, 6] float32, (-1, 1), see `ops.camera`.
  """

  depth: jax.Array
  albedo11: jax.Array
  light: jax.Array
  view: jax.Array


class Canonical(NamedTuple):
  """Faces as they are seen from the front.

  Attributes:
    normals: [N, S, S, 3] float32, away from the camera.
    shading: [N, S, S] float32, from the ambient share to below 2.
    image11: [N, S, S, 3] float32, from -1; above 1 in strong light.
  """

  normals: jax.Array
  shading: jax.Array
  image11: jax.Array


def with_mirror(face: Face) -> Face:
  """Puts behind each face the one whose shape and texture are mirrored.

  Light and view are of the picture and stay as they are: if faces are
  symmetric, both rows explain the same picture.

  Source: arXiv 1911.11130, section 3.2.

  Args:
    face: N faces.

  Returns:
    2 N faces: each, and then its mirror. (Pairs stay together so that rows
    that are split over devices stay where they are.)
  """
  return Face(
    pair(face.depth, face.depth[:, :, ::-1]),
    pair(face.albedo11, face.albedo11[:, :, ::-1]),
    pair(face.light, face.light),
    pair(face.view, face.view),
  )


def mirrored(face: Face, where: jax.Array) -> Face:
  """Mirrors shape and texture of some faces; light and view stay.

  Args:
    face: N faces.
    where: [N] bool, which.

  Returns:
    N faces.
  """
  turned = where[:, None, None]
  return face._replace(
    depth=jnp.where(turned, face.depth[:, :, ::-1], face.depth),
    albedo11=jnp.where(
      turned[..., None], face.albedo11[:, :, ::-1], face.albedo11
    ),
  )


def pair(first: jax.Array, second: jax.Array) -> jax.Array:
  """Interleaves the rows of two arrays [N, ...] to [2 N, ...]."""
  both = jnp.stack([first, second], axis=1)
  return both.reshape(-1, *first.shape[1:])


def unpair(both: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Parts what `pair` interleaved."""
  return both[0::2], both[1::2]


def shade(face: Face, formation: Formation) -> Canonical:
  """Lights faces in their canonical view.

  Args:
    face: N faces.
    formation: How.

  Returns:
    Normals, shading and picture.
  """
  if formation.kind == "flat":
    grey = (face.depth[..., None] - 1.0) / _FLAT_UNIT
    nowhere = jnp.zeros_like(face.albedo11)
    return Canonical(nowhere, jnp.ones_like(face.depth), face.albedo11 + grey)
  normals = normal_ops.from_depth(
    face.depth, formation.camera, border=formation.normal_border
  )
  light = shading.light_from_vector(face.light)
  return Canonical(
    normals,
    shading.lambert(normals, light),
    shading.shade(face.albedo11, normals, light),
  )


def render_face(
  depth: jax.Array,
  colour: jax.Array,
  view: jax.Array,
  formation: Formation,
  size_px: int | None = None,
) -> render.Rendered:
  """Draws canonical maps from a viewpoint, in front of a white background.

  Args:
    depth: [N, S, S] float32, scene units.
    colour: [N, S, S, C] float32; pictures in [-1, 1], or any other map.
    view: [N, 6] float32, (-1, 1).
    formation: How.
    size_px: Side of the pictures, S by default; "warp" knows no other.

  Returns:
    What is seen.

  Raises:
    InputError: The kind of formation is unknown.
  """
  if formation.kind not in FORMATIONS:
    raise errors.InputError(
      "config.autoencoder.model.image_formation: expected one of "
      f"{', '.join(FORMATIONS)}, got {formation.kind!r}."
    )
  if formation.kind == "flat":
    whole = jnp.ones_like(depth)
    none = jnp.zeros(len(depth), jnp.int32)
    return render.Rendered(colour, depth, whole, none)
  draw = {
    "rasterise": render.render_depth_map,
    "warp": render.warp_by_depth,
  }[formation.kind]
  pose = camera_ops.pose_from_view(
    view, max_angle_deg=formation.max_angle_deg, max_shift=formation.max_shift
  )
  return draw(
    depth,
    colour,
    pose,
    formation.camera,
    size_px=size_px,
    softness=formation.softness,
    pixel_grid=formation.pixel_grid,
    background=WHITE,
    # Of a depth map, back sides show from behind only.
    cull=formation.softness.edge_px > 0,
    capacity_factor=formation.capacity_factor,
  )
