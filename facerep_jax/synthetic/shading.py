"""Light on the skin: Lambert, ambient with baked occlusion, a little gloss."""

import dataclasses

import numpy as np

from facerep_jax.synthetic import motion


@dataclasses.dataclass(frozen=True)
class Light:
  """One directional light and an ambient one, over a track.

  Attributes:
    direction: [T, 3] float64, unit, camera axes, from the face to the light.
    ambient: Share of the ambient light, (0, 1).
    sun: [3] float64, linear RGB of the directional light.
    sky: [3] float64, linear RGB of the ambient light.
    wrap: How far the directional light reaches round, [0, 1); a large source.
    from_above: How much stronger the ambient light is from above, [-1, 1].
    soft: Width of cast shadows' edges, units of 100 mm.
  """

  direction: np.ndarray
  ambient: float
  sun: np.ndarray
  sky: np.ndarray
  wrap: float = 0.1
  from_above: float = 0.25
  soft: float = 0.1

  def label(self) -> np.ndarray:
    """Returns [T, 4]: direction x, y, z and the ambient share."""
    share = np.full((len(self.direction), 1), self.ambient)
    return np.concatenate([self.direction, share], axis=1)


def draw(rng: np.random.Generator, num_frames: int) -> Light:
  """Draws a light that at most drifts a little over the track."""
  kind = rng.choice(4, p=[0.5, 0.27, 0.16, 0.07])
  side = rng.choice([-1.0, 1.0])
  about, up = motion.bounded_normal(rng, 2)
  azimuth, height = (
    (0.4 * about, 0.4 + 0.2 * up),  # From the front.
    (side * (0.95 + 0.18 * about), 0.25 + 0.2 * up),  # From a side.
    (0.5 * about, 1.0 + 0.12 * up),  # From the ceiling.
    (0.5 * about, -0.3 + 0.12 * up),  # From below.
  )[kind]
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
  ambient = float(rng.uniform(0.08, 0.72))
  return Light(
    direction,
    ambient,
    sun=(1 - ambient) * 1.5 * tints[0],
    sky=ambient * 1.1 * tints[1],
    wrap=float(rng.uniform(0.02, 0.4)),
    from_above=float(rng.uniform(0.0, 0.6)),
    soft=float(rng.uniform(0.02, 0.22)),
  )


def face_level(light: Light) -> float:
  """Returns the luminance of white skin in the middle of a frontal face."""
  facing = np.maximum(-light.direction[:, 2].mean(), 0.0)
  facing = facing * (1 - light.wrap) + light.wrap
  return float((light.sun * facing + 0.8 * light.sky).mean())


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
  normal: np.ndarray,
  cavity: np.ndarray,
  light: Light,
  frame: int,
  sunlit: np.ndarray | float = 1.0,
) -> np.ndarray:
  """Lights vertices.

  Args:
    normal: [V, 3] float32, unit, camera axes, outward.
    cavity: [V] float32, ambient light that arrives, (0, 1].
    light: The light.
    frame: Which frame of the track.
    sunlit: [V] float32, how much of the directional light is not cut off.

  Returns:
    [V, 4] float32: RGB irradiance and the strength of the gloss.
  """
  toward = light.direction[frame].astype(np.float32)
  half = toward - np.array([0, 0, 1], np.float32)  # The camera is at -z.
  half /= np.sqrt((half * half).sum())
  nx, ny, nz = normal.T
  facing = nx * toward[0] + ny * toward[1] + nz * toward[2]
  wrap, tilt = np.float32(light.wrap), np.float32(light.from_above)
  direct = np.maximum(facing * (1 - wrap) + wrap, 0) * (0.35 + 0.65 * cavity)
  direct *= sunlit
  above = (np.float32(0.8) - tilt * ny) * cavity
  out = np.empty((len(normal), 4), np.float32)
  for i in range(3):
    out[:, i] = light.sun[i] * direct + light.sky[i] * above
  shine = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0)
  shine = shine * shine
  shine = shine * shine
  shine = shine * shine
  out[:, 3] = shine * shine * (facing > 0) * cavity * sunlit  # The 16th power.
  return out
