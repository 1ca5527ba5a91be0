"""Slow float64 loops for the formation of an image, point by point."""

import numpy as np


def rotation(x, y, z):
  """Rz Ry Rx, from three turns of a plane each."""
  out = np.eye(3)
  for axis, angle in ((0, x), (1, y), (2, z)):
    turn = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3  # Right-handed: from a to b.
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[b, a], turn[a, b] = np.sin(angle), -np.sin(angle)
    out = turn @ out
  return out


def focal_px(size, fov_deg):
  return (size - 1) / 2 / np.tan(np.deg2rad(fov_deg) / 2)


def back_project(depth, fov_deg=10.0):
  """Points [N, S, S, 3] of a depth map [N, S, S]."""
  depth = np.float64(depth)
  size = depth.shape[1]
  focal, middle = focal_px(size, fov_deg), (size - 1) / 2
  out = np.zeros((*depth.shape, 3))
  for n, i, j in np.ndindex(*depth.shape):
    out[n, i, j] = depth[n, i, j] * np.array(
      [(j - middle) / focal, (i - middle) / focal, 1]
    )
  return out


def project(points, size, fov_deg=10.0):
  """Pixels [..., 2] of points [..., 3]."""
  matrix = np.eye(3)
  matrix[0, 0] = matrix[1, 1] = focal_px(size, fov_deg)
  matrix[:2, 2] = (size - 1) / 2
  homogeneous = np.float64(points) @ matrix.T
  return homogeneous[..., :2] / homogeneous[..., 2:]


def move(points, angles, shift, centre, is_inverse=False):
  """R (p - c) + c + t for every row of points [N, ..., 3], or its inverse."""
  points, out = np.float64(points), np.zeros(points.shape)
  pivot = np.array([0, 0, centre])
  for n in range(points.shape[0]):
    turn, t = rotation(*np.float64(angles[n])), np.float64(shift[n])
    for at in np.ndindex(*points.shape[1:-1]):
      p = points[n][at]
      if is_inverse:
        out[n][at] = np.linalg.solve(turn, p - t - pivot) + pivot
      else:
        out[n][at] = turn @ (p - pivot) + pivot + t
  return out


def rescale(raw, low, high, border):
  """Depth maps [N, H, W] of raw ones."""
  raw, out = np.float64(raw), np.zeros(raw.shape)
  for n, i, j in np.ndindex(*raw.shape):
    squashed = np.tanh(raw[n, i, j] - raw[n].mean())
    out[n, i, j] = low + (squashed + 1) / 2 * (high - low)
    if j in (0, 1, raw.shape[2] - 2, raw.shape[2] - 1):
      out[n, i, j] = border
  return out


def normals(points, border):
  """Normals [N, H, W, 3]: the four triangles about every inner point."""
  points = np.float64(points)
  out = np.zeros(points.shape)
  _, height, width, _ = points.shape
  for n, i, j in np.ndindex(*points.shape[:3]):
    row, column = np.clip(i, 1, height - 2), np.clip(j, 1, width - 2)
    if border == "forward" and (row, column) != (i, j):
      out[n, i, j] = (0, 0, 1)
      continue
    here = points[n, row, column]
    right, left = points[n, row, column + 1], points[n, row, column - 1]
    down, up = points[n, row + 1, column], points[n, row - 1, column]
    around = [right - here, down - here, left - here, up - here]
    total = sum(np.cross(around[k], around[(k + 1) % 4]) for k in range(4))
    out[n, i, j] = total / (np.linalg.norm(total) + 1e-7)
  return out


def light(raw):
  """Ambient, diffuse and direction of one vector of four numbers."""
  direction = np.array([raw[2], raw[3], 1], np.float64)
  direction /= np.linalg.norm(direction)
  return (1 + float(raw[0])) / 2, (1 + float(raw[1])) / 2, direction


def shade(albedo11, normal, raw_light):
  """Images [N, H, W, 3] in [-1, 1] of albedo and normals, pixel by pixel."""
  out = np.zeros(albedo11.shape)
  for n, i, j in np.ndindex(*albedo11.shape[:3]):
    ambient, diffuse, direction = light(raw_light[n])
    facing = float(np.float64(normal[n, i, j]) @ direction)
    received = ambient + (diffuse * facing if facing > 0 else 0)
    albedo01 = (np.float64(albedo11[n, i, j]) + 1) / 2
    out[n, i, j] = albedo01 * received * 2 - 1
  return out


def grid_faces(height, width):
  """Triangles of a grid: the first of every cell, then the second."""
  cells = [(i, j) for i in range(height - 1) for j in range(width - 1)]
  number = lambda i, j: i * width + j
  first = [(number(i, j), number(i + 1, j), number(i, j + 1)) for i, j in cells]
  second = [
    (number(i, j + 1), number(i + 1, j), number(i + 1, j + 1)) for i, j in cells
  ]
  return np.array(first + second)
