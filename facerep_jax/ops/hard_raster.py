"""The hard z-buffer: what is nearest at the centre of every pixel.

Which triangle is seen has no gradient; what is seen of it does. All functions
are of one image.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.ops import (
  face_lists,
  face_tiles,
  grid_mesh,
  product_lookup,
  triangles,
)

# How visible triangles are found, and what is at their corners: `face_lists`
# and lookups, or `face_tiles` and matrix products.
RASTERS = ("lists", "tiles")
# Where many edges run through centres of pixels, as in the view in which a
# depth map was given, the surface is sampled this much nearer to the middle,
# so that each centre lies in one triangle.
_OFF_CENTRE_PX = 1e-3
# Products take time with pixels times triangles, lookups with pixels. They
# break even near 120,000 triangles if a TPU v5e does products at 197 TFLOP/s,
# in six passes, and a lookup in 5 to 10 ns: an estimate, not measured.
_MOST_BY_PRODUCTS = 1 << 16
# A triangle is not continued further, relative to its size: beyond a needle's
# edge its values would soon be any number.
_BEYOND = 1e-2


def draw(
  mesh: triangles.Mesh,
  background: jax.Array,
  size_px: int,
  *,
  grid: grid_mesh.Grid | None = None,
  raster: str | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Draws a mesh.

  Args:
    mesh: What to draw.
    background: [C] float32, where no triangle is.
    size_px: S.
    grid: Whose triangles they are, if a grid's.
    raster: One of `RASTERS`; by default tiles on TPUs, lists elsewhere.

  Returns:
    Values [S * S, C]; mask [S * S], 0 or 1.

  Raises:
    InputError: There is no such raster.
  """
  # Stops the gradient here: what follows chooses, it does not measure.
  fixed = jax.lax.stop_gradient(mesh._replace(values=()))
  face = visible_faces(fixed, size_px, grid=grid, raster=raster)
  is_seen = face >= 0
  seen = _choose(raster, triangles.take, _take_by_products)(
    mesh, jnp.maximum(face, 0)
  )
  row, column = jnp.divmod(jnp.arange(size_px * size_px), size_px)
  corners = triangles.relative(seen, column, row, is_seen)
  weights, _ = triangles.on_screen(triangles.edge_areas(corners))
  weights = [jnp.maximum(weight, -_BEYOND) for weight in weights]
  weights = triangles.in_space(weights, seen.depth)
  shown = triangles.mean(weights, seen.values)
  shown = jnp.where(is_seen[:, None], shown, background[None])
  return shown, is_seen.astype(shown.dtype)


def visible_faces(
  mesh: triangles.Mesh,
  size_px: int,
  *,
  grid: grid_mesh.Grid | None = None,
  raster: str | None = None,
) -> jax.Array:
  """Finds the triangle that is seen at the centre of every pixel.

  Args:
    mesh: What to draw; without values.
    size_px: S, rows and columns.
    grid: As of `draw`.
    raster: Likewise.

  Returns:
    [S * S] int32, number of the triangle, the first of several at the same
    depth; -1 where there is none.

  Raises:
    InputError: There is no such raster.
  """
  middle = (size_px - 1) / 2
  corners = jax.tree.map(
    lambda x: x + jnp.where(x < middle, -_OFF_CENTRE_PX, _OFF_CENTRE_PX),
    mesh.corners,
  )
  face = _choose(
    raster,
    functools.partial(face_lists.nearest, size_px=size_px),
    functools.partial(face_tiles.nearest, size_px=size_px, grid=grid),
  )(mesh._replace(corners=corners))
  return jnp.where(face < mesh.is_drawn.shape[0], face, -1)


def _choose(raster, lists, tiles):
  """Returns one of two functions, or one that depends on the platform."""
  if raster is None:
    return lambda *args: jax.lax.platform_dependent(
      *args, tpu=tiles, default=lists
    )
  if raster not in RASTERS:
    raise errors.InputError(
      f"raster: expected one of {', '.join(RASTERS)}, got {raster!r}."
    )
  return dict(zip(RASTERS, (lists, tiles), strict=True))[raster]


def _take_by_products(mesh, face):
  """Does what `triangles.take` does."""
  if mesh.is_drawn.shape[0] > _MOST_BY_PRODUCTS:
    return triangles.take(mesh, face)
  leaves, tree = jax.tree.flatten(mesh)
  dtype = mesh.depth[0].dtype
  columns = [x.reshape(x.shape[0], -1).astype(dtype) for x in leaves]
  # Only what is not drawn has corners that are not finite.
  columns = [jnp.where(mesh.is_drawn[:, None], x, 0) for x in columns]
  ends = np.cumsum([x.shape[1] for x in columns])
  table = product_lookup.take(jnp.concatenate(columns, axis=1), face)
  parts = jnp.split(table, ends[:-1], axis=1)
  return jax.tree.unflatten(
    tree,
    [
      part.reshape(-1, *x.shape[1:]).astype(x.dtype)
      for part, x in zip(parts, leaves, strict=True)
    ],
  )
