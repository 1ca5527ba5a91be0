"""What is seen through the lids and the lips: eyeballs and teeth."""

import dataclasses
import functools

import numpy as np

from facerep_jax.synthetic import actions, chart

BALL_RADIUS = 0.135
RIGHT_EYE, LEFT_EYE, UPPER_TEETH, LOWER_TEETH = range(4)


@dataclasses.dataclass(frozen=True)
class Parts:
  """Meshes of eyeballs and teeth, each about its own origin.

  Attributes:
    local: [V, 3] float64; on the unit sphere for the eyeballs, in units of
      100 mm for the teeth.
    faces: [F, 3] int32.
    vertex_part: [V] int64, which part each vertex belongs to.
    face_part: [F] int64, which part each face belongs to.
  """

  local: np.ndarray
  faces: np.ndarray
  vertex_part: np.ndarray
  face_part: np.ndarray


def _grid_faces(rows: int, columns: int) -> np.ndarray:
  """Returns the triangles of a grid whose columns go right, rows down."""
  first = np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)
  first = first.ravel()
  below = first + columns
  upper = np.stack([first, first + 1, below + 1], -1)
  return np.concatenate([upper, np.stack([first, below + 1, below], -1)])


@functools.cache
def parts() -> Parts:
  """Returns the meshes; the same object each time, not to be changed."""
  across, down = np.meshgrid(*[np.linspace(-1.25, 1.25, 11)] * 2)
  ball = np.stack(
    [
      np.sin(across) * np.cos(down),
      np.sin(down),
      -np.cos(across) * np.cos(down),
    ],
    axis=-1,
  ).reshape(-1, 3)
  x, y = np.meshgrid(np.linspace(-0.27, 0.27, 9), np.linspace(0, 1, 3))
  arch = 1.6 * x**2
  upper = np.stack([x, -0.10 + 0.135 * y, arch], -1).reshape(-1, 3)
  lower = np.stack([x, 0.005 + 0.1 * y, arch], -1).reshape(-1, 3)
  meshes = [
    (ball, _grid_faces(11, 11)),
    (ball, _grid_faces(11, 11)),
    (upper, _grid_faces(3, 9)),
    (lower, _grid_faces(3, 9)),
  ]
  starts = np.cumsum([0] + [len(v) for v, _ in meshes])
  return Parts(
    local=np.concatenate([v for v, _ in meshes]),
    faces=np.concatenate([f + n for (_, f), n in zip(meshes, starts)]).astype(
      np.int32
    ),
    vertex_part=np.repeat(range(4), [len(v) for v, _ in meshes]),
    face_part=np.repeat(range(4), [len(f) for _, f in meshes]),
  )


def place(grid: chart.Chart, still: np.ndarray, skin: np.ndarray) -> np.ndarray:
  """Puts eyeballs and teeth into a head.

  Args:
    grid: The chart of the head.
    still: [V, 3] float, its resting skin.
    skin: [V, 3] float, its skin in this frame, not yet turned.

  Returns:
    [P, 3] float64, vertices of `parts` in head coordinates.
  """
  mesh = parts()
  points = np.array(
    [
      [-chart.EYE_S, chart.EYE_T],
      [chart.EYE_S, chart.EYE_T],
      [0.0, chart.MOUTH_T - chart.SLIT],
      [0.0, chart.MOUTH_T + chart.SLIT],
    ]
  )
  vertices, weights = grid.weights(points[:, 0], points[:, 1])
  rest = (still[vertices] * weights[..., None]).sum(axis=1)
  jaw = (skin[vertices[3]] * weights[3][:, None]).sum(axis=0) - rest[3]
  origin = rest + [0.0, 0.0, 0.06]
  origin[:2] = rest[:2] + [0.0, 0.0, 0.93 * BALL_RADIUS]
  origin[3] = origin[2] + [0.0, 0.015, 0.015] + 0.8 * jaw
  scale = np.array([BALL_RADIUS, BALL_RADIUS, 1.0, 1.0])[mesh.vertex_part]
  return origin[mesh.vertex_part] + scale[:, None] * mesh.local


def gaze_directions(gaze: np.ndarray) -> np.ndarray:
  """Returns where both eyes look, [3] float32, head coordinates.

  Args:
    gaze: [2] float, yaw and pitch, rad, signs as for the head's pose.
  """
  yaw, pitch = gaze
  return np.array(
    [
      -np.sin(yaw) * np.cos(pitch),
      np.sin(pitch),
      -np.cos(yaw) * np.cos(pitch),
    ],
    np.float32,
  )


def mouth_opening(units: np.ndarray) -> float:
  """Returns how wide the mouth stands open, about 0 to 1, for its shade."""
  return float(
    np.clip(
      units[actions.INDEX[26]]
      + 0.3 * units[actions.INDEX[25]]
      + 0.3 * units[actions.INDEX[16]],
      0,
      1,
    )
  )
