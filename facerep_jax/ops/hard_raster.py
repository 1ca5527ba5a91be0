"""The hard z-buffer: what is nearest at the centre of every pixel.

Which triangle is seen has no gradient; what is seen of it does. All functions
are of one image.
"""

import jax
import jax.numpy as jnp

from facerep_jax.ops import fragments, triangles

# Where many edges run through centres of pixels, as in the view in which a
# depth map was given, the surface is sampled this much nearer to the middle,
# so that each centre lies in one triangle.
_OFF_CENTRE_PX = 1e-3
# Rounding opens no cracks between neighbours.
_CRACK_PX = 1e-4
_CRACK_AREA = 1e-5


def draw(
  mesh: triangles.Mesh,
  background: jax.Array,
  size_px: int,
  capacity: fragments.Capacity,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Draws a mesh.

  Args:
    mesh: What to draw.
    background: [C] float32, where no triangle is.
    size_px: S.
    capacity: Lengths of the lists of fragments.

  Returns:
    Values [S * S, C]; mask [S * S], 0 or 1; lost fragments.
  """
  # Stops the gradient here: what follows chooses, it does not measure.
  face, num_lost = visible_faces(jax.lax.stop_gradient(mesh), size_px, capacity)
  is_seen = face >= 0
  seen = triangles.take(mesh, jnp.maximum(face, 0))
  row, column = jnp.divmod(jnp.arange(size_px * size_px), size_px)
  corners = triangles.relative(seen, column, row, is_seen)
  areas = triangles.edge_areas(corners)
  total = areas[0] + areas[1] + areas[2]
  weights = triangles.in_space([a / total for a in areas], seen.depth)
  shown = triangles.mean(weights, seen.values)
  shown = jnp.where(is_seen[:, None], shown, background[None])
  return shown, is_seen.astype(shown.dtype), num_lost


def visible_faces(
  mesh: triangles.Mesh, size_px: int, capacity: fragments.Capacity
) -> tuple[jax.Array, jax.Array]:
  """Finds the triangle that is seen at the centre of every pixel.

  Args:
    mesh: What to draw.
    size_px: S, rows and columns.
    capacity: Lengths of the lists of fragments.

  Returns:
    [S * S] int32, number of the triangle, -1 where there is none, the first of
    several at the same depth; and how many fragments found no room.
  """
  middle = (size_px - 1) / 2
  corners = jax.tree.map(
    lambda x: x + jnp.where(x < middle, -_OFF_CENTRE_PX, _OFF_CENTRE_PX),
    mesh.corners,
  )
  mesh = mesh._replace(corners=corners)
  found = fragments.find(
    corners,
    mesh.is_drawn,
    half_px=_CRACK_PX,
    size_px=size_px,
    capacity=capacity,
  )
  touched = triangles.take(mesh._replace(values=()), found.face)
  areas = triangles.edge_areas(
    triangles.relative(touched, found.x, found.y, found.is_used)
  )
  total = areas[0] + areas[1] + areas[2]
  sign = jnp.sign(total)
  is_inside = found.is_used
  inverse = jnp.zeros_like(total)
  for part, depth in zip(areas, touched.depth, strict=True):
    is_inside &= part * sign >= -_CRACK_AREA
    inverse += part / (total * depth)
  num_pixels, num_faces = size_px * size_px, mesh.is_drawn.shape[0]
  pixel = jnp.where(is_inside, found.y * size_px + found.x, num_pixels)
  nearest = jnp.zeros(num_pixels + 1).at[pixel].max(inverse)
  is_nearest = is_inside & (inverse == nearest[pixel])
  face = jnp.full(num_pixels, num_faces, jnp.int32)
  face = face.at[jnp.where(is_nearest, pixel, num_pixels)].min(
    found.face, mode="drop"
  )
  return jnp.where(face < num_faces, face, -1), found.num_lost
