"""The head's chart: where every feature lies before the head is deformed.

A point of the head's skin has two coordinates: `s`, the azimuth about the
head's vertical axis (rad; 0 in the middle of the face, positive towards the
image's right when the head faces the camera, +-pi at the back), and `t`, the
height (units of about 100 mm; 0 at the eyes, positive downwards). Geometry,
colour and landmarks are all functions of (s, t), so that they agree by
construction.
"""

import dataclasses
import functools

import numpy as np

EYE_S, EYE_T = 0.40, 0.0  # Middle of an eye; the other one is at -EYE_S.
EYE_HALF_S = 0.178  # Half the width of the lids' opening.
EYE_UP, EYE_LOW = 0.080, 0.048  # Its height above and below the middle.
MOUTH_T, MOUTH_S = 0.68, 0.32  # Height of the lips' line; half its width.
SLIT = 0.008  # Half the height of the closed mouth's opening.
HEIGHT = 0.92  # What a unit of t measures on the average head, 100 mm.
NUM_COLUMNS, NUM_ROWS = 73, 76
TOP_T, BOTTOM_T = -1.16, 2.6


@dataclasses.dataclass(frozen=True)
class Chart:
  """A grid over the chart; the columns at -pi and pi are the same points.

  Attributes:
    s: [C] float64, azimuths of the columns, rising.
    t: [R] float64, heights of the rows, rising.
    faces: [F, 3] int32, vertices numbered row by row, front sides clockwise
      in an image with y down.
  """

  s: np.ndarray
  t: np.ndarray
  faces: np.ndarray

  @property
  def shape(self) -> tuple[int, int]:
    """Rows and columns of the grid."""
    return self.t.size, self.s.size

  def mesh(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns s and t of every vertex, [V] float64 each."""
    t, s = np.meshgrid(self.t, self.s, indexing="ij")
    return s.ravel(), t.ravel()

  def weights(
    self, s: np.ndarray, t: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Finds chart points on the grid.

    Args:
      s: [N] float, azimuths.
      t: [N] float, heights within the grid.

    Returns:
      [N, 4] int vertices and [N, 4] float64 weights that sum to one.
    """
    i = np.clip(np.searchsorted(self.t, t) - 1, 0, self.t.size - 2)
    j = np.clip(np.searchsorted(self.s, s) - 1, 0, self.s.size - 2)
    v = (t - self.t[i]) / (self.t[i + 1] - self.t[i])
    u = (s - self.s[j]) / (self.s[j + 1] - self.s[j])
    first = i * self.s.size + j
    below = first + self.s.size
    vertices = np.stack([first, first + 1, below, below + 1], axis=-1)
    weights = np.stack(
      [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1
    )
    return vertices, weights


def bump(
  s: np.ndarray,
  t: np.ndarray,
  s0: float,
  t0: float,
  width_s: float,
  width_t: float,
) -> np.ndarray:
  """Returns a Gaussian hill at (s0, t0) and at (-s0, t0), height one."""
  return np.exp(
    -0.5 * (((np.abs(s) - s0) / width_s) ** 2 + ((t - t0) / width_t) ** 2)
  )


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
  """Rises smoothly from zero at `low` to one at `high` (any order)."""
  u = np.clip((x - low) / (high - low), 0.0, 1.0)
  return u * u * (3.0 - 2.0 * u)


def jaw_line(s: np.ndarray) -> np.ndarray:
  """Returns the height at which the face ends and the neck begins."""
  return 1.13 - 0.56 * (np.abs(s) / 1.5) ** 1.6


def brow_line(s: np.ndarray) -> np.ndarray:
  """Returns the height of the brows' middle, for |s| in [0.13, 0.72]."""
  u = (np.abs(s) - 0.13) / 0.59
  return -0.185 - 0.13 * u * (1.25 - u)


def upper_lip_line(s: np.ndarray) -> np.ndarray:
  """Returns the height of the upper lip's outer edge, for |s| <= MOUTH_S."""
  u = np.clip(np.abs(s) / MOUTH_S, 0.0, 1.0)
  bow = 0.018 * np.exp(-((u / 0.13) ** 2))
  return MOUTH_T - SLIT - 0.082 * (1 - u * u) ** 0.75 + bow


def lower_lip_line(s: np.ndarray) -> np.ndarray:
  """Returns the height of the lower lip's outer edge, for |s| <= MOUTH_S."""
  u = np.clip(np.abs(s) / MOUTH_S, 0.0, 1.0)
  return MOUTH_T + SLIT + 0.110 * (1 - u * u) ** 0.85


def slit_height(s: np.ndarray) -> np.ndarray:
  """Returns half the height of the lips' opening, zero beyond the corners."""
  u = np.clip(np.abs(s) / MOUTH_S, 0.0, 1.0)
  return SLIT * np.sqrt(1 - u * u)


def lid_lines(
  s: np.ndarray, upper: np.ndarray | float, lower: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the heights of the lids' edges over one eye or the other.

  Args:
    s: Azimuths.
    upper: Height of the upper lid's edge in the middle of the eye (negative:
      above `EYE_T`); broadcast against `s`.
    lower: The same for the lower lid.

  Returns:
    Upper and lower edge; they meet at the corners of the eye and beyond.
  """
  e = np.clip((np.abs(s) - EYE_S) / EYE_HALF_S, -1.0, 1.0)
  corner = EYE_T + 0.012 - 0.012 * e  # The outer corner lies higher.
  arch = 1 - e * e
  skew = 1 - 0.15 * e  # The upper lid is highest towards the nose.
  top = corner + (upper - 0.012) * arch**0.8 * skew
  return top, corner + (lower - 0.012) * arch


def _spread(low: float, high: float, count: int, density) -> np.ndarray:
  """Places `count` values so that they are as dense as `density` says."""
  fine = np.linspace(low, high, 8001)
  mass = np.cumsum(density(fine))
  mass = (mass - mass[0]) / (mass[-1] - mass[0])
  return np.interp(np.linspace(0, 1, count), mass, fine)


@functools.cache
def grid() -> Chart:
  """Returns the grid of the built-in head, finest in the face."""
  s = _spread(
    -np.pi,
    np.pi,
    NUM_COLUMNS,
    lambda x: (
      0.6 + 2.4 * np.exp(-((x / 0.75) ** 4)) + bump(x, 0, 1.62, 0, 0.16, 1)
    ),
  )
  s = (s - s[::-1]) / 2  # Exactly symmetric.
  t = _spread(
    TOP_T,
    BOTTOM_T,
    NUM_ROWS,
    lambda x: (
      0.5
      + 1.6 * np.exp(-(((x - 0.35) / 0.8) ** 4))
      + 1.2 * np.exp(-(((x - MOUTH_T) / 0.15) ** 2))
      + 3.0 * np.exp(-(((x - TOP_T) / 0.07) ** 2))
    ),
  )
  # No row inside the lips' opening, one on each of its edges.
  t = t[np.abs(t - MOUTH_T) > 2.2 * SLIT]
  t = np.sort(np.append(t, [MOUTH_T - SLIT, MOUTH_T + SLIT]))
  first = (
    np.arange(t.size - 1)[:, None] * s.size + np.arange(s.size - 1)
  ).ravel()
  below = first + s.size
  faces = np.concatenate(
    [
      np.stack([first, first + 1, below + 1], -1),
      np.stack([first, below + 1, below], -1),
    ]
  )
  return Chart(s, t, faces.astype(np.int32))
