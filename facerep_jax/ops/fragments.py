"""Which pixels each triangle touches, as lists of fixed length.

The lists are filled in two steps, triangles to rows and rows to pixels, so
that their length follows the area that the triangles cover. All functions are
of one image; none has a gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Fragments(NamedTuple):
  """Pairs of a triangle and a pixel that it may touch.

  Attributes:
    face: [P] int32, the triangle.
    x: [P] int32, column of the pixel.
    y: [P] int32, row of the pixel.
    is_used: [P] bool, False in the unused rest of the list.
    num_lost: int32 scalar, pairs or rows that found no room.
  """

  face: jax.Array
  x: jax.Array
  y: jax.Array
  is_used: jax.Array
  num_lost: jax.Array


def expand(
  counts: jax.Array, capacity: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Lists the parts of things that have `counts` parts each.

  Args:
    counts: [M] int32, at least 0.
    capacity: L, length of the list.

  Returns:
    `owner` [L] int32, the thing; `rank` [L] int32, which of its parts, from 0;
    `is_used` [L] bool; and int32, how many parts found no room.
  """
  end = jnp.cumsum(counts)
  start = end - counts
  slot = jnp.arange(capacity, dtype=jnp.int32)
  marks = jnp.zeros(capacity, jnp.int32).at[start].add(1, mode="drop")
  # Of things that start at the same slot, all but the last are empty.
  owner = jnp.clip(jnp.cumsum(marks) - 1, 0, counts.shape[0] - 1)
  total = end[-1]
  lost = jnp.maximum(total - capacity, 0)
  return owner, slot - start[owner], slot < total, lost


def find(
  xy_px: jax.Array,
  is_drawn: jax.Array,
  *,
  half_px: float,
  height: int,
  width: int,
  capacity: int,
) -> Fragments:
  """Lists the pixels that each triangle touches.

  Args:
    xy_px: [F, 3, 2] float32, corners; the centre of the pixel in row i and
      column j is (j, i).
    is_drawn: [F] bool, which triangles count.
    half_px: Half the side of the square about a pixel's centre that counts as
      the pixel; 0: the centre alone.
    height: Rows of the image.
    width: Columns of the image.
    capacity: P, length of the list; also that of the list of rows.

  Returns:
    The pairs, among them all in which triangle and square overlap.
  """
  low = jnp.min(xy_px, axis=1) - half_px
  high = jnp.max(xy_px, axis=1) + half_px
  first = jnp.maximum(jnp.ceil(low), 0.0)
  limit = jnp.array([width - 1, height - 1], jnp.float32)
  last = jnp.minimum(jnp.floor(high), limit[None])
  is_drawn &= jnp.all(last >= first, axis=1)
  rows = jnp.where(is_drawn, (last - first)[:, 1] + 1, 0).astype(jnp.int32)
  face, rank, is_row, lost_rows = expand(rows, capacity)
  y = first[face, 1] + rank.astype(jnp.float32)
  left, right = _extent(xy_px[face], y, half_px)
  left = jnp.maximum(jnp.ceil(left - half_px), 0.0)
  right = jnp.minimum(jnp.floor(right + half_px), width - 1.0)
  columns = jnp.where(is_row, jnp.maximum(right - left + 1, 0), 0)
  row, rank, is_used, lost = expand(columns.astype(jnp.int32), capacity)
  return Fragments(
    face=face[row],
    x=left[row].astype(jnp.int32) + rank,
    y=y[row].astype(jnp.int32),
    is_used=is_used,
    num_lost=lost_rows + lost,
  )


def _extent(xy_px, y, half_px):
  """Returns least and greatest x of triangles in rows y - half to y + half."""
  left = jnp.full_like(y, jnp.inf)
  right = -left
  for i, j in ((0, 1), (1, 2), (2, 0)):
    (xi, yi), (xj, yj) = xy_px[:, i].T, xy_px[:, j].T
    low = jnp.maximum(jnp.minimum(yi, yj), y - half_px)
    high = jnp.minimum(jnp.maximum(yi, yj), y + half_px)
    is_level = yi == yj
    slope = (xj - xi) / jnp.where(is_level, 1.0, yj - yi)
    is_met = low <= high
    for at, level_x in ((low, xi), (high, xj)):
      x = jnp.where(is_level, level_x, xi + (at - yi) * slope)
      # Rounding may carry the point beyond the edge's ends.
      x = jnp.clip(x, jnp.minimum(xi, xj), jnp.maximum(xi, xj))
      left = jnp.where(is_met, jnp.minimum(left, x), left)
      right = jnp.where(is_met, jnp.maximum(right, x), right)
  return left, right
