"""Which pixels each triangle touches, as lists of fixed length.

The lists are filled in two steps, triangles to rows and rows to pixels, so
that their length follows the area that the triangles cover. All functions are
of one image; none has a gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Corners(NamedTuple):
  """Corners of triangles on the screen, pixel (row i, column j) at (j, i).

  One array for each number: several times faster on CPUs than arrays with
  short last axes.

  Attributes:
    x: Three arrays [F] float, px.
    y: Three arrays [F] float, px.
  """

  x: tuple[jax.Array, jax.Array, jax.Array]
  y: tuple[jax.Array, jax.Array, jax.Array]


class Capacity(NamedTuple):
  """Lengths of the lists of an image.

  Attributes:
    rows: Pairs of a triangle and a row that it touches.
    pixels: Pairs of a triangle and a pixel that it touches.
  """

  rows: int
  pixels: int


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
  corners: Corners,
  is_drawn: jax.Array,
  *,
  half_px: float,
  size_px: int,
  capacity: Capacity,
) -> Fragments:
  """Lists the pixels that each triangle touches.

  Args:
    corners: Of F triangles.
    is_drawn: [F] bool, which triangles count.
    half_px: Half the side of the square about a pixel's centre that counts as
      the pixel; 0: the centre alone.
    size_px: Rows and columns of the image.
    capacity: Lengths of the lists; P is that of pixels.

  Returns:
    The pairs, among them all in which triangle and square overlap.
  """
  x, y = corners
  first_x, last_x = _span(_least(x), _greatest(x), half_px, size_px)
  first_y, last_y = _span(_least(y), _greatest(y), half_px, size_px)
  is_drawn &= (last_x >= first_x) & (last_y >= first_y)
  rows = jnp.where(is_drawn, last_y - first_y + 1, 0).astype(jnp.int32)
  face, rank, is_row, lost_rows = expand(rows, capacity.rows)
  row_y = first_y[face] + rank.astype(first_y.dtype)
  left, right = _extent(take(corners, face), row_y, half_px)
  left, right = _span(left, right, half_px, size_px)
  columns = jnp.where(is_row, jnp.maximum(right - left + 1, 0), 0)
  row, rank, is_used, lost = expand(columns.astype(jnp.int32), capacity.pixels)
  return Fragments(
    face=face[row],
    x=left[row].astype(jnp.int32) + rank,
    y=row_y[row].astype(jnp.int32),
    is_used=is_used,
    num_lost=lost_rows + lost,
  )


def take(corners: Corners, face: jax.Array) -> Corners:
  """Picks triangles [P] out of F."""
  return jax.tree.map(lambda column: column[face], corners)


def _least(three):
  return jnp.minimum(jnp.minimum(three[0], three[1]), three[2])


def _greatest(three):
  return jnp.maximum(jnp.maximum(three[0], three[1]), three[2])


def _span(low, high, half_px, size_px):
  """Returns the first and last pixel that an interval touches."""
  first = jnp.maximum(jnp.ceil(low - half_px), 0.0)
  return first, jnp.minimum(jnp.floor(high + half_px), size_px - 1.0)


def _extent(corners, row_y, half_px):
  """Returns least and greatest x of triangles in rows y - half to y + half."""
  left = jnp.full_like(row_y, jnp.inf)
  right = -left
  for i, j in ((0, 1), (1, 2), (2, 0)):
    xi, xj = corners.x[i], corners.x[j]
    yi, yj = corners.y[i], corners.y[j]
    low = jnp.maximum(jnp.minimum(yi, yj), row_y - half_px)
    high = jnp.minimum(jnp.maximum(yi, yj), row_y + half_px)
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
