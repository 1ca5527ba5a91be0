"""Pinhole camera, pose of a face, and the grids that lead between views.

Axes: x right, y down, z away from the camera, which is at the origin
(right-handed). The canonical view is the frame of the face at rest; the pose
turns it about a pivot on the optical axis and then shifts it, into the view in
which it was photographed. Pixel i has its centre at coordinate i, and the field
of view spans the centres of the first and the last pixel.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.ops import precision


class Camera(NamedTuple):
  """A square pinhole camera; static numbers, hashable.

  Source: Unsup3D, `Renderer` (field of view, depth of the pivot).

  Attributes:
    size_px: Rows and columns of its images.
    fov_deg: Angle between the centres of the first and the last column.
    centre_depth: Depth of the pivot of rotations, (0, 0, centre_depth).
  """

  size_px: int
  fov_deg: float = 10.0
  centre_depth: float = 1.0

  @property
  def middle_px(self) -> float:
    """Where the optical axis meets the image, in both directions."""
    return (self.size_px - 1) / 2

  @property
  def focal_px(self) -> float:
    """Focal length."""
    return self.middle_px / math.tan(math.radians(self.fov_deg) / 2)


class Pose(NamedTuple):
  """Where the face is, against its canonical view.

  Attributes:
    rotation: [N, 3, 3] float, about the pivot of the camera.
    translation: [N, 3] float, scene units, after the rotation.
  """

  rotation: jax.Array
  translation: jax.Array


def back_project(depth: jax.Array, camera: Camera) -> jax.Array:
  """Finds the point in space that every pixel of a depth map shows.

  Source: Unsup3D, `Renderer.depth_to_3d_grid`.

  Args:
    depth: [N, S, S] float, scene units along the optical axis.
    camera: S is its size.

  Returns:
    [N, S, S, 3] float32 or wider, scene units.

  Raises:
    InputError: The depth map is not of the size of the camera.
  """
  size = camera.size_px
  errors.check_shape(
    "depth", depth, f"N {size} {size}", "Use a camera of the size of the map."
  )
  depth = precision.at_least_float32(depth)
  ray = jnp.arange(size, dtype=depth.dtype) - camera.middle_px
  ray /= camera.focal_px
  x, y = depth * ray[None, None, :], depth * ray[None, :, None]
  return jnp.stack([x, y, depth], axis=-1)


def project(points: jax.Array, camera: Camera) -> jax.Array:
  """Finds the pixels at which points are seen.

  Source: Unsup3D, `Renderer.grid_3d_to_2d`, in pixels.

  Args:
    points: [..., 3] float, scene units, in front of the camera (z > 0).
    camera: The camera.

  Returns:
    [..., 2] float32 or wider, px, x before y; also outside the image.
  """
  points = precision.at_least_float32(points)
  slope = points[..., :2] / points[..., 2:]
  return slope * camera.focal_px + camera.middle_px


def euler_to_rotation(angles_rad: jax.Array) -> jax.Array:
  """Composes a rotation Rz Ry Rx of right-handed turns about the axes.

  For a face that looks at the camera, a positive x (pitch) turns the nose down,
  a positive y (yaw) turns it to the image's left, and a positive z (roll) leans
  the top of the head to the image's right.

  Source: Unsup3D, `get_rotation_matrix`.

  Args:
    angles_rad: [N, 3] float, about x, y and z.

  Returns:
    [N, 3, 3] float32 or wider, for column vectors.

  Raises:
    InputError: The shape does not fit.
  """
  errors.check_shape("angles_rad", angles_rad, "N 3")
  angles_rad = precision.at_least_float32(angles_rad)
  cx, cy, cz = jnp.unstack(jnp.cos(angles_rad), axis=-1)
  sx, sy, sz = jnp.unstack(jnp.sin(angles_rad), axis=-1)
  rows = [
    [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
    [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
    [-sy, cy * sx, cy * cx],
  ]
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def pose_from_view(
  view: jax.Array,
  *,
  max_angle_deg: float = 60.0,
  max_shift: float = 0.1,
  max_shift_z: float = 0.0,
) -> Pose:
  """Scales the output of the view network to a pose.

  Source: Unsup3D, `Unsup3D.forward` and `get_transform_matrices`.

  Args:
    view: [N, 6] float, (-1, 1): turns about x, y, z, then shifts along them.
    max_angle_deg: Angle of 1, for all three turns.
    max_shift: Shift of 1 along x and y, scene units.
    max_shift_z: Shift of 1 along z; 0 leaves the depth to the depth map.

  Returns:
    The pose, float32 or wider.

  Raises:
    InputError: The shape does not fit.
  """
  errors.check_shape("view", view, "N 6")
  view = precision.at_least_float32(view)
  scale = jnp.array([[max_shift, max_shift, max_shift_z]], view.dtype)
  angles_rad = view[:, :3] * math.radians(max_angle_deg)
  return Pose(euler_to_rotation(angles_rad), view[:, 3:] * scale)


def to_view(points: jax.Array, pose: Pose, camera: Camera) -> jax.Array:
  """Moves points of the canonical view to the view of the pose.

  Computes R (p - c) + c + t, where c is the pivot.

  Source: Unsup3D, `Renderer.rotate_pts` and `translate_pts`.

  Args:
    points: [N, ..., 3] float, scene units.
    pose: Of the same N.
    camera: Holds the pivot.

  Returns:
    [N, ..., 3] float32 or wider.

  Raises:
    InputError: A shape does not fit.
  """
  points, pivot, shift = _prepare(points, pose, camera)
  return _rotate(pose.rotation, points - pivot) + (pivot + shift)


def to_canonical(points: jax.Array, pose: Pose, camera: Camera) -> jax.Array:
  """Moves points of the view of the pose back to the canonical view.

  Computes R^T (p - t - c) + c, the inverse of `to_view`.

  Source: Unsup3D, `Renderer.get_inv_warped_3d_grid`.

  Args:
    points: [N, ..., 3] float, scene units.
    pose: Of the same N.
    camera: Holds the pivot.

  Returns:
    [N, ..., 3] float32 or wider.

  Raises:
    InputError: A shape does not fit.
  """
  points, pivot, shift = _prepare(points, pose, camera)
  inverse = pose.rotation.swapaxes(1, 2)
  return _rotate(inverse, points - (pivot + shift)) + pivot


def view_grid_ndc(depth: jax.Array, pose: Pose, camera: Camera) -> jax.Array:
  """Finds where in the view every pixel of the canonical view is seen.

  Source: Unsup3D, `Renderer.get_warped_2d_grid`.

  Args:
    depth: [N, S, S] float, of the canonical view, scene units.
    pose: Of the same N.
    camera: S is its size.

  Returns:
    [N, S, S, 2] float32 or wider, x before y; -1 and 1 are the centres of the
    border pixels.

  Raises:
    InputError: A shape does not fit.
  """
  points = to_view(back_project(depth, camera), pose, camera)
  return _to_ndc(project(points, camera), camera)


def canonical_grid_ndc(
  depth: jax.Array, pose: Pose, camera: Camera
) -> jax.Array:
  """Finds where in the canonical view every pixel of the view comes from.

  Source: Unsup3D, `Renderer.get_inv_warped_2d_grid`.

  Args:
    depth: [N, S, S] float, of the view of the pose, scene units.
    pose: Of the same N.
    camera: S is its size.

  Returns:
    [N, S, S, 2] float32 or wider, as of `view_grid_ndc`: a grid to sample a
    canonical image with.

  Raises:
    InputError: A shape does not fit.
  """
  points = to_canonical(back_project(depth, camera), pose, camera)
  return _to_ndc(project(points, camera), camera)


def _to_ndc(points_px: jax.Array, camera: Camera) -> jax.Array:
  """Scales pixels so that the centres of the border ones are at -1 and 1."""
  return points_px / camera.middle_px - 1


def _rotate(rotation: jax.Array, points: jax.Array) -> jax.Array:
  """Multiplies [N, ..., 3] by [N, 3, 3].

  Written out: a matrix product would be rounded to 8 or 11 bits on hardware
  with matrix units, and was slower on a CPU.
  """
  num, ones = points.shape[0], (1,) * (points.ndim - 2)
  r = rotation.reshape(num, *ones, 3, 3)
  x, y, z = jnp.unstack(points, axis=-1)
  rows = [
    r[..., i, 0] * x + r[..., i, 1] * y + r[..., i, 2] * z for i in range(3)
  ]
  return jnp.stack(rows, axis=-1)


def _prepare(points: jax.Array, pose: Pose, camera: Camera):
  """Checks shapes; returns points, pivot and shift of equal rank."""
  if points.ndim < 2 or points.shape[-1] != 3:
    raise errors.InputError(
      f"points: expected [N, ..., 3], got {points.dtype}{list(points.shape)}."
    )
  num, hint = points.shape[0], "Give one pose per row of the points."
  errors.check_shape("pose.rotation", pose.rotation, f"{num} 3 3", hint)
  errors.check_shape("pose.translation", pose.translation, f"{num} 3", hint)
  points = precision.at_least_float32(points)
  ones = (1,) * (points.ndim - 2)
  pivot = jnp.array([0.0, 0.0, camera.centre_depth], points.dtype)
  shift = pose.translation.reshape(num, *ones, 3)
  return points, pivot.reshape(1, *ones, 3), shift
