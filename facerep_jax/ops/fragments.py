"""Which pixels each triangle touches, as lists of fixed length.

The lists are filled in two steps, triangles to rows and rows to pixels, so
that their length follows the area that the triangles cover. All functions are
of one image; none has a gradient.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

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
    num_dropped: int32 scalar, pairs or rows that were dropped.
  """

  face: jax.Array
  x: jax.Array
  y: jax.Array
  is_used: jax.Array
  num_dropped: jax.Array


def expand(
  counts: jax.Array, length: int, begin: jax.Array | int = 0
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Lists the parts of things that have `counts` parts each.

  Args:
    counts: [M] int32, at least 0.
    length: L, of the list.
    begin: int32 scalar, how many parts to leave out first.

  Returns:
    `owner` [L] int32, the thing; `rank` [L] int32, which of its parts, from 0;
    `is_used` [L] bool, False after the last part.
  """
  end = jnp.cumsum(counts)
  start = end - counts
  slot = begin + jnp.arange(length, dtype=jnp.int32)
  place = jnp.maximum(start - begin, 0)
  marks = jnp.zeros(length, jnp.int32).at[place].add(1, mode="drop")
  # Of things that start at the same slot, all but the last are empty.
  owner = jnp.clip(jnp.cumsum(marks) - 1, 0, counts.shape[0] - 1)
  return owner, slot - start[owner], slot < end[-1]


class Rows(NamedTuple):
  """Rows of the image that each of F triangles touches.

  Attributes:
    first: [F] float, the first of them.
    counts: [F] int32, how many; 0 where the triangle is not drawn.
  """

  first: jax.Array
  counts: jax.Array


def rows(
  corners: Corners, is_drawn: jax.Array, *, half_px: float, size_px: int
) -> Rows:
  """Counts the rows that triangles touch.

  Args:
    corners: Of F triangles.
    is_drawn: [F] bool, which triangles count.
    half_px: As of `find`.
    size_px: Rows and columns of the image.

  Returns:
    The rows.
  """
  x, y = corners
  first_x, last_x = _span(_least(x), _greatest(x), half_px, size_px)
  first_y, last_y = _span(_least(y), _greatest(y), half_px, size_px)
  is_drawn &= (last_x >= first_x) & (last_y >= first_y)
  counts = jnp.where(is_drawn, last_y - first_y + 1, 0)
  return Rows(first_y, counts.astype(jnp.int32))


class Spans(NamedTuple):
  """Pixels that triangles touch in one row each; L of them.

  Attributes:
    face: [L] int32, the triangle.
    y: [L] float, the row.
    left: [L] float, the first pixel.
    counts: [L] int32, how many.
  """

  face: jax.Array
  y: jax.Array
  left: jax.Array
  counts: jax.Array


def spans(
  corners: Corners,
  found: Rows,
  length: int,
  begin: jax.Array | int = 0,
  *,
  half_px: float,
  size_px: int,
) -> Spans:
  """Counts the pixels that triangles touch in their rows.

  Args:
    corners: Of F triangles.
    found: Their rows.
    length: L, of the list.
    begin: int32 scalar, how many rows to leave out first.
    half_px: As of `find`.
    size_px: Rows and columns of the image.

  Returns:
    The list.
  """
  face, rank, is_used = expand(found.counts, length, begin)
  y = found.first[face] + rank.astype(found.first.dtype)
  left, right = _extent(take(corners, face), y, half_px)
  left, right = _span(left, right, half_px, size_px)
  counts = jnp.where(is_used, jnp.maximum(right - left + 1, 0), 0)
  return Spans(face, y, left, counts.astype(jnp.int32))


def pixels(
  found: Spans, length: int, begin: jax.Array | int = 0
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Lists pairs of a triangle and a pixel.

  Args:
    found: Pixels by row.
    length: P, of the list.
    begin: int32 scalar, how many pairs to leave out first.

  Returns:
    As `Fragments`: face, x, y, is_used.
  """
  span, rank, is_used = expand(found.counts, length, begin)
  x = found.left[span].astype(jnp.int32) + rank
  return found.face[span], x, found.y[span].astype(jnp.int32), is_used


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
  box = {"half_px": half_px, "size_px": size_px}
  touched = rows(corners, is_drawn, **box)
  lines = spans(corners, touched, capacity.rows, **box)
  listed = pixels(lines, capacity.pixels)
  lost = jnp.maximum(
    jnp.sum(touched.counts, dtype=jnp.int32) - capacity.rows, 0
  )
  lost += jnp.maximum(
    jnp.sum(lines.counts, dtype=jnp.int32) - capacity.pixels, 0
  )
  return Fragments(*listed, lost)


def fold(
  corners: Corners,
  is_drawn: jax.Array,
  paint: Callable[..., Any],
  start: Any,
  *,
  half_px: float,
  size_px: int,
  lengths: Capacity,
) -> Any:
  """Goes through all pairs of a triangle and a pixel, a list at a time.

  Nothing is lost, however many there are; it has no derivatives.

  Args:
    corners: Of F triangles.
    is_drawn: [F] bool, which triangles count.
    paint: (state, `Fragments`) -> state.
    start: The first state.
    half_px: As of `find`.
    size_px: Rows and columns of the image.
    lengths: Of the lists.

  Returns:
    The last state.
  """
  box = {"half_px": half_px, "size_px": size_px}
  touched = rows(corners, is_drawn, **box)
  num_rows = jnp.sum(touched.counts, dtype=jnp.int32)
  none_lost = jnp.zeros((), jnp.int32)

  def outer(carry):
    begin, state = carry
    lines = spans(corners, touched, lengths.rows, begin, **box)
    num_pixels = jnp.sum(lines.counts, dtype=jnp.int32)

    def inner(carry):
      begin, state = carry
      listed = pixels(lines, lengths.pixels, begin)
      state = paint(state, Fragments(*listed, none_lost))
      return begin + lengths.pixels, state

    _, state = jax.lax.while_loop(
      lambda carry: carry[0] < num_pixels, inner, (jnp.int32(0), state)
    )
    return begin + lengths.rows, state

  _, state = jax.lax.while_loop(
    lambda carry: carry[0] < num_rows, outer, (jnp.int32(0), start)
  )
  return state


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
