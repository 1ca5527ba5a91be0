"""Light on the skin: Lambert, ambient with baked occlusion, a little gloss."""

import dataclasses

import numpy as np

from facerep_jax.data.synthetic import motion


@dataclasses.dataclass(frozen=True)
class Light:
  """One directional light and an ambient one, over a track.

  Attributes:
    direction: [T, 3] float64, unit, camera axes, from the face to the light.
    ambient: Share of the ambient light, (0, 1).
    sun: [3] float64, linear RGB of the directional light.
    sky: [3] float64, linear RGB of the ambient light.
  """

  direction: np.ndarray
  ambient: float
  sun: np.ndarray
  sky: np.ndarray

  def label(self) -> np.ndarray:
    """Returns [T, 4]: direction x, y, z and the ambient share."""
    share = np.full((len(self.direction), 1), self.ambient)
    return np.concatenate([self.direction, share], axis=1)


def draw(rng: np.random.Generator, num_frames: int) -> Light:
  """Draws a light that at most drifts a little over the track."""
  azimuth = 0.45 * motion.bounded_normal(rng)
  height = 0.4 + 0.25 * motion.bounded_normal(rng)
  drift = motion.path(0.04 * motion.bounded_normal(rng, (3, 2)), num_frames)
  azimuth, height = azimuth + drift[:, 0], height + drift[:, 1]
  direction = np.stack(
    [
      np.sin(azimuth) * np.cos(height),
      -np.sin(height),
      -np.cos(azimuth) * np.cos(height),
    ],
    axis=-1,
  )
  warmth = 0.08 * motion.bounded_normal(rng, 2)
  tints = 1 + warmth[:, None] * np.array([1.0, 0.1, -1.1])
  ambient = float(rng.uniform(0.2, 0.6))
  level = rng.uniform(0.95, 1.35)
  return Light(
    direction,
    ambient,
    sun=level * (1 - ambient) * 1.25 * tints[0],
    sky=level * ambient * tints[1],
  )


def grid_normals(position: np.ndarray, rows: int, columns: int) -> np.ndarray:
  """Returns outward unit normals of a grid mesh that closes on itself.

  Args:
    position: [rows * columns, 3] float; first and last column coincide.
    rows: Rows of the grid.
    columns: Columns of the grid.

  Returns:
    [rows * columns, 3] float32.
  """
  p = position.astype(np.float32).reshape(rows, columns, 3)
  right = np.empty_like(p)
  right[:, 1:-1] = p[:, 2:] - p[:, :-2]
  right[:, 0] = right[:, -1] = p[:, 1] - p[:, -2]
  down = np.empty_like(p)
  down[1:-1] = p[2:] - p[:-2]
  down[0], down[-1] = p[1] - p[0], p[-1] - p[-2]
  x, y, z = (
    right[..., i] * down[..., j] - right[..., j] * down[..., i]
    for i, j in ((2, 1), (0, 2), (1, 0))
  )
  normal = np.stack([x, y, z], axis=-1).reshape(-1, 3)
  return normal / (np.sqrt((normal * normal).sum(-1, keepdims=True)) + 1e-12)


def irradiance(
  normal: np.ndarray, cavity: np.ndarray, light: Light, frame: int
) -> np.ndarray:
  """Lights vertices.

  Args:
    normal: [V, 3] float32, unit, camera axes, outward.
    cavity: [V] float32, ambient light that arrives, (0, 1].
    light: The light.
    frame: Which frame of the track.

  Returns:
    [V, 4] float32: RGB irradiance and the strength of the gloss.
  """
  toward = light.direction[frame].astype(np.float32)
  half = toward - np.array([0, 0, 1], np.float32)  # The camera is at -z.
  half /= np.sqrt((half * half).sum())
  nx, ny, nz = normal.T
  facing = nx * toward[0] + ny * toward[1] + nz * toward[2]
  direct = np.maximum(facing * 0.9 + 0.1, 0) * (0.35 + 0.65 * cavity)
  above = (0.8 - 0.2 * ny) * cavity
  out = np.empty((len(normal), 4), np.float32)
  for i in range(3):
    out[:, i] = light.sun[i] * direct + light.sky[i] * above
  shine = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0)
  shine = shine * shine
  shine = shine * shine
  shine = shine * shine
  out[:, 3] = shine * shine * (facing > 0) * cavity  # The 16th power.
  return out
