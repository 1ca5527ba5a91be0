"""The hard z-buffer: what is nearest at the centre of every pixel.

Which triangle is seen has no gradient; what is seen of it does. All functions
are of one image.
"""

import jax
import jax.numpy as jnp

from facerep_jax.ops import fragments

# Where many edges run through centres of pixels, as in the view in which a
# depth map was given, the surface is sampled this much nearer to the middle,
# so that each centre lies in one triangle.
_OFF_CENTRE_PX = 1e-3
# Rounding opens no cracks between neighbours.
_CRACK_PX = 1e-4
_CRACK_AREA = 1e-5
_LEAST_AREA = 1e-6  # Square pixels; triangles of less are not drawn.


def visible_faces(
  xy_px: jax.Array,
  depth: jax.Array,
  is_drawn: jax.Array,
  size_px: int,
  capacity: int,
) -> tuple[jax.Array, jax.Array]:
  """Finds the triangle that is seen at the centre of every pixel.

  Args:
    xy_px: [F, 3, 2] float32, corners.
    depth: [F, 3] float32, more than 0 where the triangle is drawn.
    is_drawn: [F] bool.
    size_px: S, rows and columns.
    capacity: Length of the list of fragments.

  Returns:
    [S * S] int32, number of the triangle, -1 where there is none; and how many
    fragments found no room.
  """
  num_faces, num_pixels = xy_px.shape[0], size_px * size_px
  outward = jnp.where(xy_px < (size_px - 1) / 2, -1.0, 1.0)
  xy_px += _OFF_CENTRE_PX * outward
  found = fragments.find(
    xy_px,
    is_drawn & (jnp.abs(area(xy_px)) > _LEAST_AREA),
    half_px=_CRACK_PX,
    height=size_px,
    width=size_px,
    capacity=capacity,
  )
  centre = jnp.stack([found.x, found.y], axis=-1).astype(jnp.float32)
  weights = edge_areas(xy_px[found.face] - centre[:, None])
  total = jnp.sum(weights, axis=-1, keepdims=True)
  weights = weights * jnp.sign(total)
  is_inside = found.is_used & jnp.all(weights >= -_CRACK_AREA, axis=-1)
  inverse = jnp.sum(weights / depth[found.face], axis=-1)
  inverse /= jnp.maximum(jnp.abs(total[:, 0]), _LEAST_AREA)
  pixel = jnp.where(is_inside, found.y * size_px + found.x, num_pixels)
  nearest = jnp.zeros(num_pixels).at[pixel].max(inverse, mode="drop")
  is_nearest = is_inside & (
    inverse == nearest[jnp.minimum(pixel, num_pixels - 1)]
  )
  # Of equals, the first.
  face = jnp.full(num_pixels, num_faces, jnp.int32)
  face = face.at[jnp.where(is_nearest, pixel, num_pixels)].min(
    found.face, mode="drop"
  )
  return jnp.where(face < num_faces, face, -1), found.num_lost


def interpolate(
  xy_px: jax.Array,
  depth: jax.Array,
  values: jax.Array,
  pixel_xy: jax.Array,
) -> jax.Array:
  """Interpolates values of the corners at points of triangles.

  Args:
    xy_px: [P, 3, 2] float, corners; not in one line.
    depth: [P, 3] float, their depth, more than 0.
    values: [P, 3, C] float.
    pixel_xy: [P, 2] float, where; weights of points beyond the edges are
      negative.

  Returns:
    [P, C] float, linear in space, not on the screen (perspective-correct).
  """
  weights = edge_areas(xy_px - pixel_xy[:, None])
  weights /= jnp.sum(weights, axis=-1, keepdims=True)
  return perspective_mean(weights, depth, values)


def perspective_mean(
  weights: jax.Array, depth: jax.Array, values: jax.Array
) -> jax.Array:
  """Averages values of corners [P, 3, C] by weights on the screen [P, 3]."""
  weights = weights / depth
  weights /= jnp.sum(weights, axis=-1, keepdims=True)
  return jnp.sum(weights[..., None] * values, axis=1)


def edge_areas(xy: jax.Array) -> jax.Array:
  """Computes twice the signed areas of the origin with each edge.

  Args:
    xy: [..., 3, 2] float, corners.

  Returns:
    [..., 3] float; entry k belongs to the edge opposite corner k. Their sum is
    twice the area of the triangle, positive when its corners run clockwise on
    the screen (y down).
  """
  x, y = xy[..., 0], xy[..., 1]
  pairs = ((1, 2), (2, 0), (0, 1))
  return jnp.stack(
    [x[..., i] * y[..., j] - x[..., j] * y[..., i] for i, j in pairs], axis=-1
  )


def area(xy: jax.Array) -> jax.Array:
  """Computes twice the signed area of triangles [..., 3, 2]."""
  x, y = xy[..., 0], xy[..., 1]
  return (x[..., 1] - x[..., 0]) * (y[..., 2] - y[..., 0]) - (
    x[..., 2] - x[..., 0]
  ) * (y[..., 1] - y[..., 0])


def draw(
  xy_px: jax.Array,
  depth: jax.Array,
  values: jax.Array,
  faces: jax.Array,
  is_drawn: jax.Array,
  background: jax.Array,
  size_px: int,
  capacity: int,
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

  Returns:
    Values [S * S, C]; mask [S * S], 0 or 1; lost fragments.
  """
  # Stops the gradient here: what follows chooses, it does not measure.
  fixed_xy, fixed_depth = jax.lax.stop_gradient((xy_px, depth))
  face, num_lost = visible_faces(
    fixed_xy[faces], fixed_depth[faces], is_drawn, size_px, capacity
  )
  is_seen = face >= 0
  corners = faces[jnp.maximum(face, 0)]
  pixel_xy = pixel_centres(size_px)
  # A triangle that can be divided by, where there is none.
  spare = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], xy_px.dtype)
  shown = interpolate(
    jnp.where(is_seen[:, None, None], xy_px[corners], spare[None]),
    jnp.where(is_seen[:, None], depth[corners], 1.0),
    values[corners],
    pixel_xy,
  )
  shown = jnp.where(is_seen[:, None], shown, background[None])
  return shown, is_seen.astype(values.dtype), num_lost


def pixel_centres(size_px: int) -> jax.Array:
  """Lists the centres of all pixels, [S * S, 2] float32, x before y."""
  y, x = jnp.divmod(jnp.arange(size_px * size_px), size_px)
  return jnp.stack([x, y], axis=-1).astype(jnp.float32)
