"""Small scenes to draw: loose triangles, depth maps with a nose, poses."""

import numpy as np

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import fragments, grid_mesh
from tests.oracles import geometry as oracle

EMPTY = (1.0, 1.0, 1.0, 1.2)  # White, and the depth of nothing.


def triangles(seed, num, size, kind="any"):
  """Corners [num, 3, 2] px: of any size, or of a kind that is difficult."""
  rng = np.random.default_rng(seed)
  out = rng.uniform(-0.3 * size, 1.3 * size, (num, 3, 2))
  if kind == "small":
    out = out[:, :1] + rng.normal(scale=0.7, size=(num, 3, 2))
  elif kind == "sliver":
    along = rng.uniform(size=(num, 1))
    out[:, 2] = out[:, 0] + along * (out[:, 1] - out[:, 0])
    out[:, 2] += rng.normal(scale=1e-2, size=(num, 2))
  elif kind == "level":
    out[:, 1, 1] = out[:, 0, 1] = np.round(out[:, 0, 1])
    out[::2] = out[::2, :, ::-1]  # Every second one is upright instead.
  elif kind == "huge":
    out = (out - size / 2) * 40
  elif kind == "outside":
    out[:, :, 0] += 1.7 * size
  return out


def corners(points, dtype=np.float32):
  """The same as the renderer takes them."""
  x, y = np.moveaxis(points.astype(dtype), -1, 0)
  return fragments.Corners(tuple(x.T), tuple(y.T))


def soup(seed, num, camera, dtype=np.float32):
  """Loose triangles: vertices [1, 3 num, 3], faces, colours [1, 3 num, 3].

  They are large, overlap, and run through each other.
  """
  rng = np.random.default_rng(seed)
  xy = triangles(seed, num, camera.size_px).reshape(-1, 2)
  depth = rng.uniform(0.85, 1.15, 3 * num)
  ray = (xy - camera.middle_px) / camera.focal_px
  points = np.concatenate([ray, np.ones((3 * num, 1))], -1) * depth[:, None]
  colours = rng.uniform(size=(1, 3 * num, 3))
  faces = np.arange(3 * num).reshape(num, 3)
  return points[None].astype(dtype), faces, colours.astype(dtype)


def nose(size, dtype=np.float32):
  """Depth map [1, S, S] of a face: cheeks that recede, a nose that hides."""
  y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1
  depth = 1.08 - 0.09 * np.sqrt(np.clip(1.2 - x**2 - 0.6 * y**2, 0, None))
  depth -= 0.07 * np.exp(-((x / 0.2) ** 2) - ((y - 0.1) / 0.35) ** 2)
  depth[:, :2] = depth[:, -2:] = 1.04
  return depth[None].astype(dtype)


def picture(size, dtype=np.float32):
  """Colours [1, S, S, 3]."""
  y, x = np.mgrid[:size, :size] / size
  out = [np.sin(7 * x + 2 * y), np.cos(5 * y), np.sin(9 * x * y)]
  return (0.5 + 0.4 * np.stack(out, -1))[None].astype(dtype)


def pose(pitch=0.0, yaw=0.0, roll=0.0, shift=(0.0, 0.0, 0.0), dtype=np.float32):
  """Of one image, from degrees."""
  turn = oracle.rotation(*np.deg2rad([pitch, yaw, roll]))[None]
  return cameras.Pose(turn.astype(dtype), np.array([shift], dtype))


def mesh_in_view(depth, colour, pose, camera):
  """Float64 of one image: px, depth, values with depth, faces."""
  size = camera.size_px
  points = oracle.back_project(depth, camera.fov_deg)[0].reshape(-1, 3)
  pivot = np.array([0, 0, camera.centre_depth])
  turn, shift = np.float64(pose.rotation[0]), np.float64(pose.translation[0])
  points = (points - pivot) @ turn.T + pivot + shift
  return (*seen(points, colour[0].reshape(-1, 3), camera),) + (
    grid_mesh.grid_faces(size, size),
  )


def seen(points, colours, camera):
  """Pixels, depth and values of vertices [V, 3], in float64."""
  xy = oracle.project(points, camera.size_px, camera.fov_deg)
  depth = np.float64(points)[:, 2]
  return xy, depth, np.concatenate([colours, depth[:, None]], -1)
