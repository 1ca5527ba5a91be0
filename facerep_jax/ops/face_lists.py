"""Which triangle is seen at each pixel, by lists of what each one touches.

The work grows with the area that the triangles cover. It consists of lookups
and scatters of single numbers: quick on CPUs, slow on TPUs. All functions are
of one image.
"""

import math

import jax
import jax.numpy as jnp

from facerep_jax.ops import fragments, triangles


def nearest(mesh: triangles.Mesh, size_px: int) -> jax.Array:
  """Finds the triangle that is nearest at the centre of every pixel.

  Args:
    mesh: What to draw; without values.
    size_px: S, rows and columns.

  Returns:
    [S * S] int32, number of the triangle, the first of several at the same
    depth; F where there is none.
  """
  num_pixels, num_faces = size_px * size_px, mesh.is_drawn.shape[0]

  def paint(state, found):
    touched = triangles.take(mesh, found.face)
    inverse = triangles.inverse_depth(touched, found.x, found.y, found.is_used)
    is_inside = inverse > 0
    # One more pixel takes what is outside.
    pixel = jnp.where(is_inside, found.y * size_px + found.x, num_pixels)
    most, face = state
    before, most = most, most.at[pixel].max(inverse)
    face = jnp.where(most > before, num_faces, face)
    is_nearest = is_inside & (inverse == most[pixel])
    pixel = jnp.where(is_nearest, pixel, num_pixels)
    return most, face.at[pixel].min(found.face)

  _, face = fragments.fold(
    mesh.corners,
    mesh.is_drawn,
    paint,
    (
      jnp.zeros(num_pixels + 1, mesh.corners.x[0].dtype),
      jnp.full(num_pixels + 1, num_faces, jnp.int32),
    ),
    half_px=triangles.CRACK_PX,
    size_px=size_px,
    lengths=list_lengths(num_faces, size_px),
  )
  return face[:-1]


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
