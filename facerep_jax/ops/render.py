"""A renderer for triangle meshes and depth maps, hard or soft.

Jittable, batched, of fixed shapes; differentiable in geometry, colours, pose
and camera. The work grows with the area that the triangles cover.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.ops import (
  batch_split,
  fragments,
  grid_mesh,
  hard_raster,
  precision,
  soft_raster,
  triangles,
  warp,
)
from facerep_jax.ops import (
  camera as cameras,
)

# Enough for a smooth head; see `render_mesh`.
CAPACITY_FACTOR = 2.0
PIXEL_GRIDS = ("consistent", "published")
# Triangles with a corner nearer to the camera than this are not drawn.
NEAREST = 1e-3


class Softness(NamedTuple):
  """How soft a picture is; all 0 is the hard z-buffer.

  Attributes:
    edge_px: Width over which edges are blurred.
    depth: Depth, in scene units, within which two surfaces are one.
  """

  edge_px: float = 0.0
  depth: float = 0.0


HARD = Softness()


class Rendered(NamedTuple):
  """A picture.

  Attributes:
    colour: [N, S, S, C] float32.
    depth: [N, S, S] float32, scene units.
    mask: [N, S, S] float32, share of the pixel that is covered.
    num_dropped: [N] int32, fragments of soft pictures that were dropped; unless
      it is 0 the picture has holes. Hard pictures lose none.
  """

  colour: jax.Array
  depth: jax.Array
  mask: jax.Array
  num_dropped: jax.Array


def render_mesh(
  vertices: jax.Array,
  faces: np.ndarray | grid_mesh.Grid,
  colours: jax.Array,
  camera: cameras.Camera,
  *,
  softness: Softness = HARD,
  pixel_grid: str = "consistent",
  background: float = 1.0,
  background_depth: float = 1.2,
  cull: bool = False,
  capacity_factor: float = CAPACITY_FACTOR,
  raster: str | None = None,
) -> Rendered:
  """Draws triangle meshes.

  Args:
    vertices: [N, V, 3] float, in the frame of the camera, scene units.
    faces: [F, 3] int, corners of the triangles; or a grid, which needs no
      lookups to find them.
    colours: [N, V, C] float.
    camera: The camera.
    softness: Hard by default.
    pixel_grid: "consistent": the centres of the outer pixels are at the edge
      of the field of view, as `camera.project` has it; "published": their
      outer edges are, as PyTorch3D has it.
    background: Colour where nothing is.
    background_depth: Depth there.
    cull: Whether to leave out back sides (clockwise on the screen). Soft edges
      need it where a surface hides its own far side.
    capacity_factor: Of soft pictures: length of the lists of pairs of triangle
      and pixel, relative to a surface that fills the image once. The work grows
      with it; steep surfaces, layers, large triangles need more.
    raster: Of hard pictures: how they are drawn, one of `hard_raster.RASTERS`;
      by default what suits the platform that the program is lowered for. Soft
      pictures know lists alone, which are slow on TPUs.

  Returns:
    The pictures, without triangles that have a corner nearer than `NEAREST` or
    not finite, or no area.

  Raises:
    InputError: A shape or a setting does not fit.

  Source: the rasteriser of PyTorch3D as LatentFace uses it (one face per
    pixel, no blur). The soft form is area sampling (Catmull, SIGGRAPH 1978).
  """
  num = _check(vertices, colours, softness, capacity_factor)
  faces = _check_faces(faces, vertices.shape[1])
  size = camera.size_px
  xy_px, depth, is_before = _on_screen(vertices, camera, pixel_grid)
  values = jnp.concatenate([colours.astype(depth.dtype), depth[..., None]], -1)
  empty = [background] * colours.shape[-1] + [background_depth]
  out, mask, num_dropped = _draw(
    (xy_px, depth, is_before, values),
    faces,
    jnp.array(empty, depth.dtype),
    softness=softness,
    size_px=size,
    cull=cull,
    capacity_factor=capacity_factor,
    raster=raster,
  )
  out, mask = (x.reshape(num, size, size, -1) for x in (out, mask))
  return Rendered(out[..., :-1], out[..., -1], mask[..., 0], num_dropped)


def render_depth_map(
  depth: jax.Array,
  colour: jax.Array,
  pose: cameras.Pose,
  camera: cameras.Camera,
  *,
  size_px: int | None = None,
  **settings,
) -> Rendered:
  """Draws the surface of a depth map from another view.

  Args:
    depth: [N, S, S] float, of the canonical view, scene units.
    colour: [N, S, S, C] float.
    pose: Of the face in the view.
    camera: Of both views.
    size_px: Side of the pictures; by default S. Larger ones are smoother, and
      show the same field of view.
    **settings: As `render_mesh`.

  Returns:
    The pictures.

  Raises:
    InputError: A shape or a setting does not fit.

  Source: LatentFace, `Renderer.render_given_view`; Unsup3D, `warp_canon_depth`.
  """
  size = camera.size_px
  points = cameras.back_project(depth, camera)
  errors.check_shape("colour", colour, f"{depth.shape[0]} {size} {size} C")
  points = cameras.to_view(points, pose, camera)
  num = depth.shape[0]
  return render_mesh(
    points.reshape(num, -1, 3),
    grid_mesh.Grid(size, size),
    colour.reshape(num, size * size, -1),
    camera._replace(size_px=size_px or size),
    **settings,
  )


def warp_by_depth(
  depth: jax.Array,
  colour: jax.Array,
  pose: cameras.Pose,
  camera: cameras.Camera,
  *,
  min_depth: float = 0.8,
  max_depth: float = 1.2,
  **settings,
) -> Rendered:
  """Draws the depth alone, and fetches colours through it.

  Every pixel of the view is traced back to the canonical image, which is
  sampled there; what is hidden from the canonical camera is filled with what
  hides it.

  Args:
    depth: [N, S, S] float, of the canonical view, scene units.
    colour: [N, S, S, C] float.
    pose: Of the face in the view.
    camera: Of both views.
    min_depth: Drawn depth is raised to it.
    max_depth: Drawn depth is lowered to it.
    **settings: As `render_mesh`.

  Returns:
    The pictures; colour is zero where the sample lies beyond the canonical
    image.

  Raises:
    InputError: A shape or a setting does not fit.

  Source: Unsup3D, `Unsup3D.forward` and `Renderer.warp_canon_depth`.
  """
  drawn = render_depth_map(depth, depth[..., None], pose, camera, **settings)
  size = camera.size_px
  errors.check_shape("colour", colour, f"{depth.shape[0]} {size} {size} C")
  # Published so: a surface beyond these cannot be a face.
  clamped = jnp.clip(drawn.depth, min_depth, max_depth)
  grid_ndc = cameras.canonical_grid_ndc(clamped, pose, camera)
  fetched = warp.bilinear_sample(colour, grid_ndc, align_corners=True)
  return drawn._replace(colour=fetched, depth=clamped)


def to_grid(
  xy_px: jax.Array, camera: cameras.Camera, pixel_grid: str
) -> jax.Array:
  """Moves pixels of `camera.project` to those of a pixel grid.

  Args:
    xy_px: [..., 2] float.
    camera: The camera.
    pixel_grid: One of `PIXEL_GRIDS`.

  Returns:
    [..., 2] float.

  Raises:
    InputError: There is no such grid.
  """
  if pixel_grid == "consistent":
    return xy_px
  if pixel_grid == "published":
    return xy_px * (camera.size_px / (camera.size_px - 1)) - 0.5
  raise errors.InputError(
    f"pixel_grid: expected one of {', '.join(PIXEL_GRIDS)}, got {pixel_grid!r}."
  )


def capacity(
  size_px: int, num_faces: int, softness: Softness, capacity_factor: float
) -> fragments.Capacity:
  """Returns the lengths of the lists of fragments of a soft image.

  Args:
    size_px: S, of the image.
    num_faces: F.
    softness: Of the picture; soft edges widen each triangle.
    capacity_factor: As of `render_mesh`.

  Returns:
    The lengths.
  """
  reach = 1 + softness.edge_px
  wide = 0.75 * num_faces * reach
  return fragments.Capacity(
    rows=int(capacity_factor * (wide + size_px * size_px)),
    pixels=int(capacity_factor * (wide * reach + size_px * size_px)),
  )


def _on_screen(vertices, camera, pixel_grid):
  """Returns px [N, V, 2], depth, and which vertices are before the camera."""
  vertices = precision.at_least_float32(vertices)
  is_before = jnp.all(jnp.isfinite(vertices), axis=-1)
  is_before &= vertices[..., 2] > NEAREST
  # Others go to a place that can be projected, and their gradient is 0.
  spare = jnp.array([[[0.0, 0.0, 1.0]]], vertices.dtype)
  seen = jnp.where(is_before[..., None], vertices, spare)
  xy_px = to_grid(cameras.project(seen, camera), camera, pixel_grid)
  return xy_px, seen[..., 2], is_before


# A program draws many times, and tracing the rasteriser takes seconds: `jit`
# traces it once for all pictures of a size. The compiler sees no call.
@functools.partial(
  jax.jit,
  static_argnames=("softness", "size_px", "cull", "capacity_factor", "raster"),
  inline=True,
)
def _draw(
  meshes, faces, empty, *, softness, size_px, cull, capacity_factor, raster
):
  """Draws images; returns values, depth last, masks, and lost fragments."""
  if softness.edge_px:
    draw = functools.partial(
      soft_raster.draw,
      size_px=size_px,
      capacity=capacity(size_px, len(faces), softness, capacity_factor),
      edge_px=softness.edge_px,
      temperature=softness.depth,
    )
  else:
    draw = functools.partial(
      _draw_hard,
      size_px=size_px,
      grid=faces if isinstance(faces, grid_mesh.Grid) else None,
      raster=raster,
    )

  def draw_all(meshes, shared):
    faces, empty = shared

    def draw_one(xy_px, depth, is_before, values):
      mesh = triangles.gather(xy_px, depth, values, faces, is_before, cull=cull)
      return draw(mesh, empty)

    return jax.vmap(draw_one)(*meshes)

  # The number of turns of the rasteriser's loops depends on what is drawn.
  return batch_split.by_device(draw_all, meshes, (faces, empty))


def _check(vertices, colours, softness, capacity_factor):
  """Returns the number of meshes."""
  errors.check_shape("vertices", vertices, "N V 3")
  num, num_vertices, _ = vertices.shape
  errors.check_shape("colours", colours, f"{num} {num_vertices} C")
  edge_px, depth = softness
  if edge_px < 0 or depth < 0 or (edge_px > 0) != (depth > 0):
    raise errors.InputError(
      f"softness: expected edge_px and depth both 0 or both positive, got "
      f"{edge_px} and {depth}."
    )
  if not capacity_factor > 0:
    raise errors.InputError(
      f"capacity_factor: expected more than 0, got {capacity_factor}."
    )
  return num


def _draw_hard(mesh, empty, **settings):
  """Returns values, mask, and how much was lost: nothing."""
  return *hard_raster.draw(mesh, empty, **settings), jnp.zeros((), jnp.int32)


def _check_faces(faces, num_vertices):
  """Returns the faces as programs take them."""
  if isinstance(faces, grid_mesh.Grid):
    if faces.num_vertices != num_vertices or not len(faces):
      raise errors.InputError(
        f"faces: expected a grid of {num_vertices} vertices, with at least two "
        f"rows and columns, got {faces.height} x {faces.width}."
      )
    return faces
  faces = np.asarray(faces)
  is_mesh = faces.ndim == 2 and faces.shape[1] == 3 and len(faces)
  is_mesh = is_mesh and faces.dtype.kind in "iu"
  if not is_mesh or faces.min() < 0 or faces.max() >= num_vertices:
    raise errors.InputError(
      f"faces: expected [F, 3] vertex numbers below {num_vertices}, got "
      f"{faces.dtype}{list(faces.shape)}."
    )
  return jnp.asarray(faces.astype(np.int32))
