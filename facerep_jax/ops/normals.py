"""Surface normals of depth maps."""

from typing import Literal

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import precision

Border = Literal["replicate", "forward"]

_EPSILON = 1e-7


def from_depth(
  depth: jax.Array,
  camera: camera_ops.Camera,
  *,
  border: Border = "replicate",
) -> jax.Array:
  """Computes the surface normals of a depth map.

  Source: LatentFace, `Renderer.get_normal_from_depth`.

  Args:
    depth: [N, S, S] float, scene units.
    camera: S is its size.
    border: See `from_points`.

  Returns:
    [N, S, S, 3] float32 or wider, as of `from_points`.

  Raises:
    InputError: The depth map is not of the size of the camera, or `border` is
      unknown.
  """
  return from_points(camera_ops.back_project(depth, camera), border=border)


def from_points(points: jax.Array, border: Border = "replicate") -> jax.Array:
  """Computes the normals of a grid of points.

  The normal is the cross product of the central differences along rows and
  columns, divided by its norm plus 1e-7. It points away from the camera: a
  plane that faces the camera has (0, 0, 1). Lengths are below one, as the
  product is small: by 0.3 % at 64 pixels and a field of view of 10 degrees, by
  four times more whenever the number of pixels doubles.

  Source: LatentFace, `Renderer.get_normal_from_depth`; Unsup3D, the same.

  Differs: LatentFace adds the four cross products of neighbouring edges, which
  is the same sum. Where the product is zero the gradient is that of a division
  by 1e-7, finite.

  Args:
    points: [N, H, W, 3] float, scene units, rows downwards; H and W at least 3.
    border: "replicate" repeats the nearest inner normal (LatentFace); "forward"
      is (0, 0, 1) (Unsup3D).

  Returns:
    [N, H, W, 3] float32 or wider.

  Raises:
    InputError: The shape does not fit, or `border` is unknown.
  """
  errors.check_shape("points", points, "N H W 3")
  if min(points.shape[1:3]) < 3:
    raise errors.InputError(
      f"points: a grid of {points.shape[1]} x {points.shape[2]} has no inner "
      "points; use at least 3 x 3."
    )
  points = precision.at_least_float32(points)
  across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
  down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
  product = jnp.cross(across, down)
  inner = product / (_safe_norm(product) + _EPSILON)
  pads = ((0, 0), (1, 1), (1, 1), (0, 0))
  if border == "replicate":
    return jnp.pad(inner, pads, mode="edge")
  if border == "forward":
    return _with_forward_border(inner)
  raise errors.InputError(
    f"border: expected 'replicate' or 'forward', got {border!r}."
  )


def _safe_norm(x: jax.Array) -> jax.Array:
  """Norms [..., 1]; the gradient at zero is zero, not NaN."""
  square = jnp.sum(x**2, axis=-1, keepdims=True)
  is_zero = square == 0
  return jnp.where(is_zero, 0, jnp.sqrt(jnp.where(is_zero, 1, square)))


def _with_forward_border(inner: jax.Array) -> jax.Array:
  """Surrounds normals by ones that point away from the camera."""
  sides = ((0, 0), (1, 1), (1, 1))
  x, y, z = jnp.unstack(inner, axis=-1)
  parts = [jnp.pad(x, sides), jnp.pad(y, sides)]
  return jnp.stack([*parts, jnp.pad(z, sides, constant_values=1)], axis=-1)
