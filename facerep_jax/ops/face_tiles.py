"""Which triangle is seen at each pixel, by tiles of pixels and patches of mesh.

A tile looks at all triangles of each patch whose box meets its own. Those are
many more pairs than `face_lists` has, but they come in rows of 128, which a
vector unit takes at once, without lookups or scatters of single numbers. That
is for TPUs. All functions are of one image.
"""

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.ops import fragments, grid_mesh, triangles

_TILE_PX = 8
_PATCH = 128  # Triangles.


def nearest(
  mesh: triangles.Mesh, size_px: int, grid: grid_mesh.Grid | None = None
) -> jax.Array:
  """Finds the triangle that is nearest at the centre of every pixel.

  Args:
    mesh: What to draw; without values.
    size_px: S, rows and columns.
    grid: Whose triangles they are. Of other meshes, triangles with numbers
      behind each other should lie near each other.

  Returns:
    As `face_lists.nearest`. Where two surfaces are at the same depth but for
    rounding, it may be the other one.
  """
  num_faces = mesh.is_drawn.shape[0]
  x, y = (jnp.asarray(at, mesh.depth[0].dtype) for at in _pixels(size_px))
  patches, numbers = _patches(mesh, grid)
  place = _place(patches, numbers < num_faces, x, y)

  def turn(carry):
    index, before = carry
    is_next = place == index
    patch = jnp.argmax(is_next, axis=1)
    number = jnp.where(
      jnp.any(is_next, axis=1)[:, None], numbers[patch], num_faces
    )
    found = _seen(patches[patch], number, x, y, num_faces)
    return index + 1, _better(*before, *found)

  num_turns = jnp.max(place) + 1
  start = jnp.zeros_like(x), jnp.full(x.shape, num_faces, jnp.int32)
  _, (_, face) = jax.lax.while_loop(
    lambda carry: carry[0] < num_turns, turn, (jnp.int32(0), start)
  )
  side = -(-size_px // _TILE_PX)
  face = face.reshape(side, side, _TILE_PX, _TILE_PX).swapaxes(1, 2)
  face = face.reshape(side * _TILE_PX, -1)
  return face[:size_px, :size_px].reshape(-1)


def _pixels(size_px):
  """Returns x and y of the pixels of T tiles, [T, 64]; some lie outside."""
  side = -(-size_px // _TILE_PX)
  tile, pixel = np.arange(side * side), np.arange(_TILE_PX * _TILE_PX)
  top, left = (_TILE_PX * part for part in np.divmod(tile, side))
  row, column = np.divmod(pixel, _TILE_PX)
  return left[:, None] + column, top[:, None] + row


def _patches(mesh, grid):
  """Returns corners and depth [M, 9, 128], numbers [M, 128]; F: not drawn."""
  num_faces = mesh.is_drawn.shape[0]
  numbers = jnp.where(
    mesh.is_drawn, jnp.arange(num_faces, dtype=jnp.int32), num_faces
  )
  columns = (*mesh.corners.x, *mesh.corners.y, *mesh.depth)
  split = grid.blocks if grid else _runs
  return jnp.stack([split(c, 1) for c in columns], 1), split(numbers, num_faces)


def _runs(column, fill):
  """Lays [F] out as [M, 128]."""
  num_patches = -(-column.shape[0] // _PATCH)
  rest = num_patches * _PATCH - column.shape[0]
  column = jnp.pad(column, (0, rest), constant_values=fill)
  return column.reshape(num_patches, _PATCH)


def _place(patches, is_drawn, x, y):
  """Returns [T, M]: which patch of a tile each is, -1 where they are apart."""
  meets = True
  for low, high, at in zip(*_box(patches), (x, y), strict=True):
    low = jnp.min(jnp.where(is_drawn, low, jnp.inf), axis=1)
    high = jnp.max(jnp.where(is_drawn, high, -jnp.inf), axis=1)
    first, last = at[:, :1], at[:, -1:]
    meets &= (low[None] <= last) & (high[None] >= first)
  return jnp.where(meets, jnp.cumsum(meets, axis=1, dtype=jnp.int32) - 1, -1)


def _box(patches):
  """Returns the least x and y, and the greatest, of triangles [.., 9, 128]."""
  x, y = patches[..., 0:3, :], patches[..., 3:6, :]
  low = [jnp.min(at, axis=-2) - triangles.CRACK_PX for at in (x, y)]
  high = [jnp.max(at, axis=-2) + triangles.CRACK_PX for at in (x, y)]
  return low, high


def _seen(patch, number, x, y, num_faces):
  """Returns 1 / depth and number of what is nearest in one patch a tile.

  Args:
    patch: [T, 9, 128], corners and depth.
    number: [T, 128] int32; F: not drawn.
    x: [T, 64].
    y: [T, 64].
    num_faces: F.

  Returns:
    Two arrays [T, 64]; 0 and F where nothing is.
  """
  x, y = x[..., None], y[..., None]
  is_used = number[:, None] < num_faces
  for low, high, at in zip(*_box(patch), (x, y), strict=True):
    is_used &= (low[:, None] <= at) & (high[:, None] >= at)
  three = [tuple(patch[:, None, k + i] for i in range(3)) for k in (0, 3, 6)]
  touched = triangles.Mesh(
    fragments.Corners(three[0], three[1]), three[2], (), is_used
  )
  inverse = triangles.inverse_depth(touched, x, y, is_used)
  number = jnp.broadcast_to(number[:, None], inverse.shape)
  number = jnp.where(inverse > 0, number, num_faces)
  return jax.lax.reduce(
    (inverse, number),
    (jnp.zeros((), inverse.dtype), jnp.int32(num_faces)),
    lambda a, b: _better(*a, *b),
    (2,),
  )


def _better(inverse, number, other_inverse, other_number):
  """Returns what is nearer, and of equals what has the lower number."""
  is_other = (other_inverse > inverse) | (
    (other_inverse == inverse) & (other_number < number)
  )
  return (
    jnp.where(is_other, other_inverse, inverse),
    jnp.where(is_other, other_number, number),
  )
