"""The hard z-buffer: what is nearest at the centre of every pixel.

Which triangle is seen has no gradient; what is seen of it does. All functions
are of one image.
"""

import math

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
# A triangle is not continued further, relative to its size: beyond a needle's
# edge its values would soon be any number.
_BEYOND = 1e-2


def draw(
  mesh: triangles.Mesh, background: jax.Array, size_px: int
) -> tuple[jax.Array, jax.Array]:
  """Draws a mesh.

  Args:
    mesh: What to draw.
    background: [C] float32, where no triangle is.
    size_px: S.

  Returns:
    Values [S * S, C]; mask [S * S], 0 or 1.
  """
  # Stops the gradient here: what follows chooses, it does not measure.
  fixed = jax.lax.stop_gradient(mesh._replace(values=()))
  face = visible_faces(fixed, size_px)
  is_seen = face >= 0
  seen = triangles.take(mesh, jnp.maximum(face, 0))
  row, column = jnp.divmod(jnp.arange(size_px * size_px), size_px)
  corners = triangles.relative(seen, column, row, is_seen)
  weights, _ = triangles.on_screen(triangles.edge_areas(corners))
  weights = [jnp.maximum(weight, -_BEYOND) for weight in weights]
  weights = triangles.in_space(weights, seen.depth)
  shown = triangles.mean(weights, seen.values)
  shown = jnp.where(is_seen[:, None], shown, background[None])
  return shown, is_seen.astype(shown.dtype)


def visible_faces(mesh: triangles.Mesh, size_px: int) -> jax.Array:
  """Finds the triangle that is seen at the centre of every pixel.

  Args:
    mesh: What to draw; without values.
    size_px: S, rows and columns.

  Returns:
    [S * S] int32, number of the triangle, the first of several at the same
    depth; -1 where there is none.
  """
  middle = (size_px - 1) / 2
  corners = jax.tree.map(
    lambda x: x + jnp.where(x < middle, -_OFF_CENTRE_PX, _OFF_CENTRE_PX),
    mesh.corners,
  )
  mesh = mesh._replace(corners=corners)
  num_pixels, num_faces = size_px * size_px, mesh.is_drawn.shape[0]

  def paint(state, found):
    nearest, face = state
    inverse = _inverse_depth(mesh, found)
    is_inside = inverse > 0
    # One more pixel takes what is outside.
    pixel = jnp.where(is_inside, found.y * size_px + found.x, num_pixels)
    before, nearest = nearest, nearest.at[pixel].max(inverse)
    face = jnp.where(nearest > before, num_faces, face)
    is_nearest = is_inside & (inverse == nearest[pixel])
    pixel = jnp.where(is_nearest, pixel, num_pixels)
    return nearest, face.at[pixel].min(found.face)

  _, face = fragments.fold(
    corners,
    mesh.is_drawn,
    paint,
    (
      jnp.zeros(num_pixels + 1, corners.x[0].dtype),
      jnp.full(num_pixels + 1, num_faces, jnp.int32),
    ),
    half_px=_CRACK_PX,
    size_px=size_px,
    lengths=list_lengths(num_faces, size_px),
  )
  return jnp.where(face < num_faces, face, -1)[:-1]


def list_lengths(num_faces: int, size_px: int) -> fragments.Capacity:
  """Returns lengths of lists that hold a face that fills the image.

  A surface that fills it evenly, as the frontal view of a depth map does, has
  S sqrt(2 F) rows and S^2 pixels. A quarter more is enough for faces; what is
  more takes several lists.

  Args:
    num_faces: F.
    size_px: S, of the image.

  Returns:
    The lengths.
  """
  num_rows = size_px * math.sqrt(2 * num_faces)
  return fragments.Capacity(int(1.25 * num_rows), size_px * size_px * 5 // 4)


def _inverse_depth(mesh, found):
  """Returns 1 / depth of triangles at pixels, 0 outside of them."""
  touched = triangles.take(mesh, found.face)
  areas = triangles.edge_areas(
    triangles.relative(touched, found.x, found.y, found.is_used)
  )
  weights, total = triangles.on_screen(areas)
  least = -_CRACK_AREA / jnp.maximum(jnp.abs(total), 1.0)
  is_inside = found.is_used & (total != 0)
  inverse = jnp.zeros_like(total)
  for weight, depth in zip(weights, touched.depth, strict=True):
    is_inside &= weight >= least
    inverse += weight / depth
  return jnp.where(is_inside, inverse, 0.0)
