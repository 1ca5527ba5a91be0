"""The soft z-buffer: smooth in the place of every vertex.

A pixel is a square of `edge_px` about its centre, and a triangle counts by the
share of the square that it covers: edges are blurred by a box of that width,
and neighbours add up to the whole surface. Where several surfaces meet in a
square, the nearest is put over the others by its share; what lies within 0.7
`depth` of the nearest belongs to it, and what lies deeper ever less. All
functions are of one image.
"""

import functools

import jax
import jax.numpy as jnp

from facerep_jax.ops import coverage, fragments, triangles

_LEAST_SHARE = 1e-5  # Of a square; less is rounding.
_TINY = 1e-12


def draw(
  mesh: triangles.Mesh,
  background: jax.Array,
  size_px: int,
  capacity: fragments.Capacity,
  *,
  edge_px: float,
  temperature: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Draws a mesh.

  Args:
    mesh: What to draw.
    background: [C] float32, where no triangle is.
    size_px: S.
    capacity: Lengths of the lists of fragments.
    edge_px: Side of the square that is a pixel, more than 0.
    temperature: Depth within which surfaces are one, more than 0.

  Returns:
    Values [S * S, C]; mask [S * S], [0, 1]; lost fragments.
  """
  found = fragments.find(
    jax.lax.stop_gradient(mesh.corners),
    mesh.is_drawn,
    half_px=edge_px / 2,
    size_px=size_px,
    capacity=capacity,
  )
  # What is inside is cheaper to compute again than to keep.
  measure = jax.checkpoint(functools.partial(_measure, edge_px=edge_px))
  share, is_front, depth, shown = measure(mesh, found)
  num_pixels = size_px * size_px
  pixel = jnp.where(found.is_used, found.y * size_px + found.x, num_pixels)
  first, behind = _weigh(pixel, share, depth, num_pixels, temperature)
  facing = is_front.astype(share.dtype)
  sums = jnp.stack(
    [
      _sum(pixel, column, num_pixels)
      for column in (
        share * facing,
        share * (1 - facing),
        first * facing,
        first * (1 - facing),
        behind,
      )
    ]
  )
  nearest = _sum(pixel, first[:, None] * shown, num_pixels)
  rest = _sum(pixel, behind[:, None] * shown, num_pixels)
  nearest /= (sums[2] + sums[3])[:, None] + _TINY
  rest /= sums[4][:, None] + _TINY
  # At a fold the front and the back of a surface cover the same part.
  mask = jnp.minimum(jnp.maximum(sums[0], sums[1]), 1.0)
  over = jnp.minimum(jnp.maximum(sums[2], sums[3]), 1.0)
  out = over[:, None] * nearest + (mask - over)[:, None] * rest
  out += (1 - mask)[:, None] * background[None]
  return out, mask, found.num_dropped


def _measure(mesh, found, *, edge_px):
  """Returns share of the square, facing, depth and values of fragments."""
  touched = triangles.take(mesh, found.face)
  corners = triangles.relative(touched, found.x, found.y, found.is_used)
  share = coverage.triangle_in_square(corners, edge_px)
  share = jnp.where(found.is_used & (share > _LEAST_SHARE), share, 0.0)
  areas = triangles.edge_areas(corners)
  weights, total = triangles.on_screen(areas)
  # At the nearest corner or edge, about, of a centre that lies outside.
  weights = [jnp.maximum(weight, 0.0) for weight in weights]
  weights = triangles.in_space(weights, touched.depth)
  depth = sum(w * z for w, z in zip(weights, touched.depth, strict=True))
  shown = triangles.mean(weights, touched.values)
  return share, total > 0, depth, shown


def _weigh(pixel, share, depth, num_pixels, temperature):
  """Splits each share into its part in the nearest surface and the rest."""
  counts = share > 0
  near = _nearest(pixel, depth, counts, num_pixels)[pixel]
  near = jnp.where(counts, near, depth)
  # Whole to within ln 2 temperatures: a single surface has no rest.
  first = jnp.minimum(2 * jnp.exp((near - depth) / temperature), 1.0)
  fixed = jax.lax.stop_gradient(depth)
  is_behind = counts & (first < 1)
  far = jnp.where(is_behind, fixed, jnp.inf)
  least = jnp.full(num_pixels + 1, jnp.inf, depth.dtype).at[pixel].min(far)
  # The reference only keeps the numbers in range: a mean does not see it.
  reference = jnp.where(is_behind, least[pixel], fixed)
  behind = (1 - first) * jnp.exp((reference - depth) / temperature)
  return share * first, share * behind


def _nearest(pixel, depth, counts, num_pixels):
  """Returns the least depth of each pixel, with its gradient."""
  fixed = jnp.where(counts, jax.lax.stop_gradient(depth), jnp.inf)
  least = jnp.full(num_pixels + 1, jnp.inf, depth.dtype).at[pixel].min(fixed)
  number = jnp.arange(depth.shape[0], dtype=jnp.int32)
  at = jnp.where(counts & (fixed == least[pixel]), pixel, num_pixels)
  first = jnp.full(num_pixels + 1, depth.shape[0] - 1, jnp.int32)
  return depth[first.at[at].min(number)]


def _sum(pixel, values, num_pixels):
  """Adds values [P, ...] up by pixel."""
  shape = (num_pixels, *values.shape[1:])
  return jnp.zeros(shape, values.dtype).at[pixel].add(values, mode="drop")
