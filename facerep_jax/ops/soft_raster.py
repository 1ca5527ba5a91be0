"""The soft z-buffer: smooth in the place of every vertex.

A pixel is a square of `edge_px` about its centre, and a triangle counts by the
share of the square that it covers: edges are blurred by a box of that width,
and neighbours add up to the whole surface. Where several surfaces meet in a
square, the nearest is put over the others by its share; what lies within about
`depth` of the nearest belongs to it. All functions are of one image.
"""

import functools

import jax
import jax.numpy as jnp

from facerep_jax.ops import coverage, fragments, hard_raster

_LEAST_AREA = 1e-6  # Square pixels; triangles of less are not drawn.
_LEAST_SHARE = 1e-5  # Of a square; less is rounding.
_TINY = 1e-12


def draw(
  xy_px: jax.Array,
  depth: jax.Array,
  values: jax.Array,
  faces: jax.Array,
  is_drawn: jax.Array,
  background: jax.Array,
  size_px: int,
  capacity: int,
  edge_px: float,
  temperature: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Draws a mesh.

  Args:
    xy_px: [V, 2] float32.
    depth: [V] float32, more than 0 where a drawn triangle has a corner.
    values: [V, C] float32, of the vertices.
    faces: [F, 3] int32.
    is_drawn: [F] bool.
    background: [C] float32, where no triangle is.
    size_px: S.
    capacity: Length of the list of fragments.
    edge_px: Side of the square that is a pixel, more than 0.
    temperature: Depth within which surfaces are one, more than 0.

  Returns:
    Values [S * S, C]; mask [S * S], [0, 1]; lost fragments.
  """
  table = jnp.concatenate([xy_px, depth[:, None], values], axis=-1)
  corners = table[faces]
  fixed_xy = jax.lax.stop_gradient(corners[..., :2])
  found = fragments.find(
    fixed_xy,
    is_drawn & (jnp.abs(hard_raster.area(fixed_xy)) > _LEAST_AREA),
    half_px=edge_px / 2,
    height=size_px,
    width=size_px,
    capacity=capacity,
  )
  measure = jax.checkpoint(functools.partial(_measure, edge_px=edge_px))
  share, is_front, shown = measure(corners[found.face], found)
  num_pixels = size_px * size_px
  pixel = jnp.where(found.is_used, found.y * size_px + found.x, num_pixels)
  blend = jax.checkpoint(
    functools.partial(_blend, num_pixels=num_pixels, temperature=temperature)
  )
  out, mask = blend(pixel, share, is_front, shown, background)
  return out, mask, found.num_lost


def _measure(corners, found, *, edge_px):
  """Returns share of the square, facing, and [depth, values] of fragments."""
  is_used = found.is_used[:, None, None]
  spare = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], corners.dtype)
  centre = jnp.stack([found.x, found.y], axis=-1).astype(corners.dtype)
  xy = jnp.where(is_used, corners[..., :2] - centre[:, None], spare[None])
  depth = jnp.where(is_used[..., 0], corners[..., 2], 1.0)
  share = coverage.triangle_in_square(xy, edge_px)
  share = jnp.where(found.is_used & (share > _LEAST_SHARE), share, 0.0)
  areas = hard_raster.edge_areas(xy)
  total = jnp.sum(areas, axis=-1, keepdims=True)
  # At the nearest corner or edge, about, of a centre that lies outside.
  weights = jnp.maximum(areas / total, 0.0)
  weights /= jnp.sum(weights, axis=-1, keepdims=True)
  shown = hard_raster.perspective_mean(weights, depth, corners[..., 2:])
  return share, total[:, 0] > 0, shown


def _blend(
  pixel, share, is_front, shown, background, *, num_pixels, temperature
):
  """Puts the fragments of each pixel over each other."""
  at = jnp.minimum(pixel, num_pixels - 1)
  depth = shown[:, 0]
  counts = share > 0
  near = _nearest(pixel, depth, counts, num_pixels)[at]
  first = jnp.exp(-jnp.maximum(depth - near, 0.0) / temperature)
  is_behind = counts & (first < 0.5)
  fixed_depth = jax.lax.stop_gradient(depth)
  next_near = (
    jnp.full(num_pixels, jnp.inf)
    .at[pixel]
    .min(jnp.where(is_behind, fixed_depth, jnp.inf), mode="drop")[at]
  )
  # The reference only keeps the numbers in range: a mean does not see it.
  next_near = jnp.where(jnp.isfinite(next_near), next_near, fixed_depth)
  behind = (1 - first) * jnp.exp((next_near - depth) / temperature)
  first, behind = share * first, share * behind
  facing = is_front.astype(share.dtype)
  columns = jnp.concatenate(
    [
      jnp.stack(
        [
          share * facing,
          share * (1 - facing),
          first * facing,
          first * (1 - facing),
          behind,
        ],
        axis=-1,
      ),
      first[:, None] * shown[:, 1:],
      behind[:, None] * shown[:, 1:],
    ],
    axis=-1,
  )
  sums = (
    jnp.zeros((num_pixels, columns.shape[1]))
    .at[pixel]
    .add(columns, mode="drop")
  )
  num = shown.shape[1] - 1
  # At a fold the front and the back of a surface cover the same part.
  mask = jnp.minimum(jnp.maximum(sums[:, 0], sums[:, 1]), 1.0)
  over = jnp.minimum(jnp.maximum(sums[:, 2], sums[:, 3]), 1.0)
  nearest = sums[:, 5 : 5 + num] / (sums[:, 2:4].sum(-1, keepdims=True) + _TINY)
  rest = sums[:, 5 + num :] / (sums[:, 4:5] + _TINY)
  out = over[:, None] * nearest + (mask - over)[:, None] * rest
  return out + (1 - mask)[:, None] * background[None], mask


def _nearest(pixel, depth, counts, num_pixels):
  """Returns the least depth of each pixel, with its gradient."""
  fixed = jnp.where(counts, jax.lax.stop_gradient(depth), jnp.inf)
  least = jnp.full(num_pixels, jnp.inf).at[pixel].min(fixed, mode="drop")
  at = jnp.minimum(pixel, num_pixels - 1)
  number = jnp.arange(depth.shape[0], dtype=jnp.int32)
  is_least = counts & (fixed == least[at])
  first = jnp.full(num_pixels, depth.shape[0], jnp.int32)
  first = first.at[jnp.where(is_least, pixel, num_pixels)].min(
    number, mode="drop"
  )
  return depth[jnp.minimum(first, depth.shape[0] - 1)]
