"""Pose, perspective and the crop that a face tracker would give.

Camera coordinates: x right, y down, z forward, away from the camera (right
handed). A head at rest looks at the camera, along -z. Its pose is
R = Rz(roll) Ry(yaw) Rx(pitch), applied to column vectors of head coordinates,
each factor a right-handed turn about its axis. So positive yaw turns the nose
to the image's left (the person's right), positive pitch turns it down, and
positive roll leans the top of the head to the image's right.

Pixels: the centre of the top left pixel is (0, 0), as in `rasterise`.
"""

import numpy as np

FACE_PLANE = 0.6  # The fov spans the frame at this distance before the axis.


def rotation(
  yaw_rad: np.ndarray, pitch_rad: np.ndarray, roll_rad: np.ndarray
) -> np.ndarray:
  """Returns the rotation matrices [..., 3, 3] float64 of poses [...]."""
  yaw_rad, pitch_rad, roll_rad = np.broadcast_arrays(
    np.asarray(yaw_rad, np.float64), pitch_rad, roll_rad
  )
  cy, sy = np.cos(yaw_rad), np.sin(yaw_rad)
  cp, sp = np.cos(pitch_rad), np.sin(pitch_rad)
  cr, sr = np.cos(roll_rad), np.sin(roll_rad)
  rows = [
    [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp],
    [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp],
    [-sy, cy * sp, cy * cp],
  ]
  return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose(
  points: np.ndarray,
  head_rotation: np.ndarray,
  trunk_rotation: np.ndarray,
  follows: np.ndarray,
  pivot: np.ndarray,
) -> np.ndarray:
  """Turns head and trunk, blending between them along the neck.

  Args:
    points: [V, 3] float, head coordinates.
    head_rotation: [3, 3] float.
    trunk_rotation: [3, 3] float.
    follows: [V] float, 1: turns with the head; 0: with the trunk.
    pivot: [3] float, what both turn about.

  Returns:
    [V, 3] float64.
  """
  x, y, z = (points - pivot).T.astype(np.float64)
  out = np.empty((points.shape[0], 3))
  for i in range(3):  # Written out: the same sums with any BLAS.
    h, b = head_rotation[i], trunk_rotation[i]
    head = h[0] * x + h[1] * y + h[2] * z
    trunk = b[0] * x + b[1] * y + b[2] * z
    out[:, i] = trunk + follows * (head - trunk) + pivot[i]
  return out


def distance(fov_rad: float, frame_width: float) -> float:
  """Returns the depth of the head's axis for a frame that wide at the face."""
  return frame_width / (2 * np.tan(fov_rad / 2)) + FACE_PLANE


def focal_px(fov_rad: float, size_px: int) -> float:
  """Returns the focal length of a square frame that spans the field of view."""
  return size_px / (2 * np.tan(fov_rad / 2))


def project(
  points: np.ndarray, depth: float, focal: np.ndarray, centre_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Projects posed points.

  Args:
    points: [..., 3] float, camera axes, origin on the head's axis.
    depth: Of that origin.
    focal: Focal length in px.
    centre_px: [2] float, where the optical axis meets the frame.

  Returns:
    [..., 2] px and [...] depth, float64.
  """
  z = points[..., 2] + depth
  return points[..., :2] * (focal / z)[..., None] + centre_px, z


def crop_centre_px(
  landmarks: np.ndarray, aim: np.ndarray, size_px: int
) -> np.ndarray:
  """Finds where the optical axis must fall for the crop to hold the face.

  Args:
    landmarks: [68, 2] float, px, projected with the optical axis at (0, 0).
    aim: [2] float, where the middle of their box goes, shares of the frame.
    size_px: Side of the frame.

  Returns:
    [2] float, px.
  """
  middle = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
  return aim * size_px - 0.5 - middle
