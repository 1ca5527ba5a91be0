"""Pictures of what faces are made of, a column for each kind."""

import collections

import jax
import jax.numpy as jnp

from facerep_jax.faces import rendering
from facerep_jax.ops import depth as depth_ops
from facerep_jax.ops import image_range, render

YAWS_DEG = (-60, -30, 0, 30, 60)


def columns(
  images01: jax.Array,
  factors: dict[str, jax.Array],
  formation: rendering.Formation,
  use_confidence: bool,
) -> collections.OrderedDict[str, jax.Array]:
  """Draws the columns.

  Args:
    images01: [N, S, S, 3] float32, [0, 1], what was explained.
    factors: As the system's `factors` returns them.
    formation: How pictures are made.
    use_confidence: Whether there is a confidence network.

  Returns:
    [N, S, S, 3] float32, [0, 1], by caption, in their order.
  """
  error = jnp.abs(factors["reconstruction"] - images01)
  error = error * factors["mask"][..., None]
  columns = [
    ("input", images01),
    ("rebuilt", factors["reconstruction"]),
    ("albedo", factors["albedo"]),
    ("shading", factors["shading"]),
    ("depth", depth_to_grey(factors["canonical_depth"])),
    ("normals", normals_to_rgb(factors["normal"])),
    ("canonical", factors["canonical"]),
  ]
  for yaw in YAWS_DEG:
    face = turned(
      factors["canonical_depth"], factors["canonical"], yaw, formation
    )
    columns.append((f"yaw {yaw:+d}", face))
  if use_confidence:
    columns.append(("confidence", _grey(jnp.exp(-2.0 * factors["confidence"]))))
  columns.append(("error x 3", jnp.minimum(1.0, 3 * error)))
  return collections.OrderedDict(columns)


def picture(
  face: rendering.Face,
  formation: rendering.Formation,
  size_px: int | None = None,
) -> jax.Array:
  """Draws faces in their light and from their viewpoint.

  Args:
    face: N faces.
    formation: How pictures are made.
    size_px: P, side of the pictures; by default that of the maps.

  Returns:
    [N, P, P, 3] float32, [0, 1].
  """
  shaded = rendering.shade(face, formation)
  seen = rendering.render_face(
    face.depth, shaded.image11, face.view, formation, size_px
  )
  return image_range.to_01(seen.colour)


def maps(
  face: rendering.Face, formation: rendering.Formation
) -> dict[str, jax.Array]:
  """Draws what the picture of a face from the front is made of.

  Args:
    face: N faces.
    formation: How pictures are made.

  Returns:
    `canonical_depth` [N, S, S], scene units; `normal` [N, S, S, 3], away from
    the camera; `albedo`, `shading` (a white face) and `canonical` (both of
    them) [N, S, S, 3], [0, 1]; all float32.
  """
  shaded = rendering.shade(face, formation)
  grey = jnp.minimum(shaded.shading, 1.0)[..., None]
  return {
    "canonical_depth": face.depth,
    "normal": shaded.normals,
    "albedo": image_range.to_01(face.albedo11),
    "shading": jnp.broadcast_to(grey, (*grey.shape[:3], 3)),
    "canonical": image_range.to_01(shaded.image11),
  }


def turned(
  depth: jax.Array,
  canonical01: jax.Array,
  yaw_deg: float,
  formation: rendering.Formation,
) -> jax.Array:
  """Draws faces turned about the upright axis, on white.

  Args:
    depth: [N, S, S] float32, canonical, scene units.
    canonical01: [N, S, S, 3] float32, [0, 1], the picture from the front.
    yaw_deg: Angle; positive turns the nose to the image's left.
    formation: Camera of the pictures; the mesh is drawn, with hard edges.

  Returns:
    [N, S, S, 3] float32, [0, 1].
  """
  formation = formation._replace(
    kind="rasterise",
    pixel_grid="consistent",
    max_angle_deg=float(yaw_deg),
    softness=render.HARD,
  )
  view = jnp.zeros((depth.shape[0], 6)).at[:, 1].set(1.0)
  seen = rendering.render_face(
    depth, image_range.to_11(canonical01), view, formation
  )
  return image_range.to_01(seen.colour)


def depth_to_grey(depth: jax.Array) -> jax.Array:
  """Shows depth [N, S, S], scene units, as grey [N, S, S, 3]: near is light."""
  return _grey((depth_ops.FAR - depth) / (depth_ops.FAR - depth_ops.NEAR))


def normals_to_rgb(normals: jax.Array) -> jax.Array:
  """Shows normals [..., 3] as colour; what faces the camera is light blue."""
  return normals / 2 + 0.5


def _grey(values):
  values = jnp.clip(values, 0.0, 1.0)[..., None]
  return jnp.broadcast_to(values, (*values.shape[:3], 3))
