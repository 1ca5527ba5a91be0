"""The soft z-buffer with no lists: every pixel looks at every triangle.

Draws the pictures of `ops.soft_raster`, whose speed is compared with it. The
work grows with the fourth power of the image's side.
"""

import jax
import jax.numpy as jnp

from facerep_jax.ops import (
  camera as cameras,
)
from facerep_jax.ops import (
  coverage,
  fragments,
  grid_mesh,
  render,
  triangles,
)

# Pairs of a pixel and a triangle that are in memory at a time, about.
_PAIRS_AT_A_TIME = 1 << 19
# As there.
_LEAST_SHARE = 1e-5
_TINY = 1e-12


def render_depth_map(
  depth: jax.Array,
  colour: jax.Array,
  pose: cameras.Pose,
  camera: cameras.Camera,
  *,
  softness: render.Softness,
  background: float = 1.0,
  background_depth: float = 1.2,
) -> render.Rendered:
  """Draws the surface of a depth map from another view.

  Args:
    depth: [N, S, S] float32, of the canonical view, scene units, such that
      nothing is behind the camera.
    colour: [N, S, S, C] float32.
    pose: Of the face in the view.
    camera: Of both views.
    softness: Both more than 0.
    background: Colour where nothing is.
    background_depth: Depth there.

  Returns:
    The pictures, as `ops.render.render_depth_map` draws them.
  """
  num, size, _, num_colours = colour.shape
  points = cameras.back_project(depth, camera)
  points = cameras.to_view(points, pose, camera).reshape(num, -1, 3)
  values = colour.reshape(num, -1, num_colours)
  values = jnp.concatenate([values, points[..., 2:]], axis=-1)
  xy_px = cameras.project(points, camera)
  faces = jnp.asarray(grid_mesh.grid_faces(size, size))
  empty = jnp.array([background] * num_colours + [background_depth])
  is_before = jnp.ones(size * size, bool)

  def draw_one(inputs):
    xy_px, points, values = inputs
    mesh = triangles.gather(xy_px, points[:, 2], values, faces, is_before)
    return draw(mesh, empty, size, softness)

  out, mask = jax.lax.map(draw_one, (xy_px, points, values))
  out = out.reshape(num, size, size, num_colours + 1)
  return render.Rendered(
    out[..., :num_colours],
    out[..., num_colours],
    mask.reshape(num, size, size),
    jnp.zeros(num, jnp.int32),
  )


def draw(
  mesh: triangles.Mesh,
  background: jax.Array,
  size_px: int,
  softness: render.Softness,
) -> tuple[jax.Array, jax.Array]:
  """Draws a mesh.

  Args:
    mesh: F triangles.
    background: [C] float32, where there is none.
    size_px: S.
    softness: Both more than 0.

  Returns:
    Values [S * S, C]; mask [S * S], [0, 1].
  """
  num_pixels = size_px * size_px
  num = max(1, _PAIRS_AT_A_TIME // mesh.is_drawn.shape[0])
  while num_pixels % num:
    num -= 1
  y, x = jnp.divmod(jnp.arange(num_pixels), size_px)

  # Kept for the gradient, the pairs would not fit into memory.
  @jax.checkpoint
  def draw_some(at):
    return _draw_pixels(mesh, background, *at, softness)

  out, mask = jax.lax.map(draw_some, (x.reshape(-1, num), y.reshape(-1, num)))
  return out.reshape(num_pixels, -1), mask.reshape(num_pixels)


def _draw_pixels(mesh, background, x, y, softness):
  """Draws K pixels; see `soft_raster.draw` for what is computed."""
  share, is_front, weights, depth = _measure(mesh, x, y, softness.edge_px)
  first, behind = _weigh(share, depth, softness.depth)
  front, nearest = _layer(first, is_front, weights, mesh.values)
  _, rest = _layer(behind, is_front, weights, mesh.values)
  mask = jnp.minimum(_covered(share, is_front), 1.0)
  over = jnp.minimum(front, 1.0)
  out = over[:, None] * nearest + (mask - over)[:, None] * rest
  return out + (1 - mask)[:, None] * background[None], mask


def _measure(mesh, x, y, edge_px):
  """Returns share, facing, weights of the corners and depth, all [K, F]."""
  corners = fragments.Corners(
    tuple(c[None] - x[:, None].astype(c.dtype) for c in mesh.corners.x),
    tuple(c[None] - y[:, None].astype(c.dtype) for c in mesh.corners.y),
  )
  is_drawn = jnp.broadcast_to(mesh.is_drawn[None], corners.x[0].shape)
  share = coverage.triangle_in_square(corners, edge_px)
  share = jnp.where(is_drawn & (share > _LEAST_SHARE), share, 0.0)
  areas = triangles.edge_areas(corners)
  total = areas[0] + areas[1] + areas[2]
  safe = jnp.where(is_drawn, total, 1.0)
  weights = [jnp.maximum(part / safe, 0.0) for part in areas]
  weights = [jnp.where(is_drawn, w, 1.0) for w in weights]
  corner_depth = [z[None] for z in mesh.depth]
  weights = triangles.in_space(weights, corner_depth)
  depth = sum(w * z for w, z in zip(weights, corner_depth, strict=True))
  return share, total > 0, weights, depth


def _weigh(share, depth, temperature):
  """Splits each share into its part in the nearest surface and the rest."""
  counts = share > 0
  near = jnp.min(jnp.where(counts, depth, jnp.inf), axis=1, keepdims=True)
  near = jnp.where(counts, near, depth)
  first = jnp.minimum(2 * jnp.exp((near - depth) / temperature), 1.0)
  fixed = jax.lax.stop_gradient(depth)
  is_behind = counts & (first < 1)
  far = jnp.where(is_behind, fixed, jnp.inf)
  reference = jnp.min(far, axis=1, keepdims=True)
  reference = jnp.where(is_behind, reference, fixed)
  behind = (1 - first) * jnp.exp((reference - depth) / temperature)
  return share * first, share * behind


def _layer(amount, is_front, weights, values):
  """Returns how much of each pixel a layer covers, and its mean values."""
  total = sum(
    jnp.matmul(amount * w, value, precision="highest")
    for w, value in zip(weights, values, strict=True)
  )
  mean = total / (jnp.sum(amount, axis=1, keepdims=True) + _TINY)
  return _covered(amount, is_front), mean


def _covered(amount, is_front):
  """Sums front and back apart: at a fold both cover the same part."""
  front = jnp.sum(jnp.where(is_front, amount, 0.0), axis=1)
  return jnp.maximum(front, jnp.sum(jnp.where(is_front, 0.0, amount), axis=1))
