"""Triangles on the screen, and means of what is at their corners."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax.ops import fragments, grid_mesh

# Twice the area, in square pixels and in squares of the longest side (about);
# less is rounding, and is not drawn.
_LEAST_AREA = 1e-6
# Rounding opens no cracks between neighbours: a triangle reaches so much beyond
# its edges, px and share of its height.
CRACK_PX = 1e-4
_CRACK_AREA = 1e-5
# Stands in, where there is no triangle, for one that can be divided by.
_SPARE_X, _SPARE_Y = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Mesh(NamedTuple):
  """Triangles of one image, or a list of some of them.

  Attributes:
    corners: Of F triangles.
    depth: Three arrays [F] float, of the corners; more than 0.
    values: Three arrays [F, C] float, of the corners; or ().
    is_drawn: [F] bool.
  """

  corners: fragments.Corners
  depth: tuple[jax.Array, jax.Array, jax.Array]
  values: tuple[jax.Array, ...]
  is_drawn: jax.Array


def gather(
  xy_px: jax.Array,
  depth: jax.Array,
  values: jax.Array,
  faces: jax.Array | grid_mesh.Grid,
  is_before: jax.Array,
  *,
  cull: bool = False,
) -> Mesh:
  """Collects what is at the corners of triangles.

  Args:
    xy_px: [V, 2] float.
    depth: [V] float, more than 0.
    values: [V, C] float.
    faces: [F, 3] int32, or a grid.
    is_before: [V] bool, whether the vertex is before the camera.
    cull: Whether back sides are not drawn either; from the front, corners run
      counter-clockwise on the screen.

  Returns:
    The triangles; those with a vertex behind the camera, or of no area, are
    not drawn.
  """
  if isinstance(faces, grid_mesh.Grid):
    at_corners = faces.corners
  else:
    at_corners = functools.partial(_look_up, faces)
  corners = fragments.Corners(at_corners(xy_px[:, 0]), at_corners(xy_px[:, 1]))
  area, least = _area(jax.lax.stop_gradient(corners))
  is_drawn = (-area if cull else jnp.abs(area)) > least
  for is_corner_before in at_corners(is_before):
    is_drawn &= is_corner_before
  return Mesh(corners, at_corners(depth), at_corners(values), is_drawn)


def take(mesh: Mesh, face: jax.Array) -> Mesh:
  """Picks triangles [P] out of F."""
  return jax.tree.map(lambda column: column[face], mesh)


def relative(
  mesh: Mesh, x: jax.Array, y: jax.Array, is_used: jax.Array
) -> fragments.Corners:
  """Moves each of P triangles so that its pixel is at the origin.

  Args:
    mesh: P triangles.
    x: [P] int, column of the pixel.
    y: [P] int, row of the pixel.
    is_used: [P] bool; elsewhere some triangle that has an area.

  Returns:
    The corners.
  """
  moved = []
  for three, centre, spare in (
    (mesh.corners.x, x, _SPARE_X),
    (mesh.corners.y, y, _SPARE_Y),
  ):
    centre = centre.astype(three[0].dtype)
    moved.append(
      tuple(
        jnp.where(is_used, c - centre, s)
        for c, s in zip(three, spare, strict=True)
      )
    )
  return fragments.Corners(*moved)


def edge_areas(corners: fragments.Corners) -> tuple[jax.Array, ...]:
  """Computes twice the signed areas of the origin with each edge.

  Args:
    corners: Of P triangles.

  Returns:
    Three arrays [P]; number k belongs to the edge opposite corner k. Their sum
    is twice the area of the triangle, positive when its corners run clockwise
    on the screen (y down).
  """
  x, y = corners
  pairs = ((1, 2), (2, 0), (0, 1))
  return tuple(x[i] * y[j] - x[j] * y[i] for i, j in pairs)


def on_screen(
  areas: Sequence[jax.Array],
) -> tuple[list[jax.Array], jax.Array]:
  """Turns areas to weights of the corners.

  Args:
    areas: Three arrays [P], of `edge_areas`.

  Returns:
    Three arrays [P], of sum 1, linear on the screen; and the sum of the areas,
    0 where it is too little to divide by. The weights are the same there.
  """
  total = areas[0] + areas[1] + areas[2]
  has_area = jnp.abs(total) > _LEAST_AREA / 4  # Moved, it may look smaller.
  safe = jnp.where(has_area, total, 1.0)
  weights = [jnp.where(has_area, part / safe, 1 / 3) for part in areas]
  return weights, jnp.where(has_area, total, 0.0)


def in_space(
  weights: Sequence[jax.Array], depth: Sequence[jax.Array]
) -> list[jax.Array]:
  """Turns weights that are linear on the screen to such linear in space.

  Args:
    weights: Three arrays [P] float.
    depth: Three arrays [P] float, of the corners.

  Returns:
    Three arrays [P], of sum 1 (perspective-correct).
  """
  inverse = [w / z for w, z in zip(weights, depth, strict=True)]
  total = inverse[0] + inverse[1] + inverse[2]
  return [part / total for part in inverse]


def inverse_depth(
  mesh: Mesh, x: jax.Array, y: jax.Array, is_used: jax.Array
) -> jax.Array:
  """Computes 1 / depth of triangles at centres of pixels.

  All arrays may have any shapes that broadcast.

  Args:
    mesh: P triangles; without values.
    x: [P], column of the pixel.
    y: [P], row of the pixel.
    is_used: [P] bool, which triangles count.

  Returns:
    [P] float, 0 outside of the triangle.
  """
  weights, total = on_screen(edge_areas(relative(mesh, x, y, is_used)))
  least = -_CRACK_AREA / jnp.maximum(jnp.abs(total), 1.0)
  is_inside = is_used & (total != 0)
  inverse = jnp.zeros_like(total)
  for weight, depth in zip(weights, mesh.depth, strict=True):
    is_inside &= weight >= least
    inverse += weight / depth
  return jnp.where(is_inside, inverse, 0.0)


def mean(
  weights: Sequence[jax.Array], values: Sequence[jax.Array]
) -> jax.Array:
  """Averages three arrays [P, C] by three of weights [P]."""
  return sum(
    w[:, None] * value for w, value in zip(weights, values, strict=True)
  )


def _look_up(faces, column):
  return tuple(column[faces[:, k]] for k in range(3))


def _area(corners):
  """Returns twice the signed area, by differences, and the least that counts.

  Far from the origin, areas with it would lose a small triangle to rounding.
  """
  x, y = corners
  ax, bx, ay, by = x[1] - x[0], x[2] - x[0], y[1] - y[0], y[2] - y[0]
  side = functools.reduce(jnp.maximum, map(jnp.abs, (ax, bx, ay, by)))
  return ax * by - bx * ay, _LEAST_AREA * jnp.maximum(side, 1.0) ** 2
