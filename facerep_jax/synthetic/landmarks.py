"""The 68 iBUG points as points of the head's chart.

The outline and the brows, nose and lips are fixed points of the skin; the
lids' points follow the lids. "Right" is the person's right, at s < 0.
"""

import functools

import numpy as np

from facerep_jax.synthetic import chart

_OUTLINE_S = (1.45, 1.42, 1.33, 1.13, 0.75, 0.36, 0.0)
_OUTLINE_T = (0.02, 0.30, 0.55, 0.755, 0.925, 1.055, 1.105)


def locate(
  grid: chart.Chart, skin: np.ndarray, lids: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
  """Finds the 68 points on a skin.

  Args:
    grid: The chart of the head.
    skin: [V, 3] float, its vertices.
    lids: Heights of the upper and lower lids, [2] (right, left) float each,
      from `actions.lid_edges`.

  Returns:
    [68, 3] float64, in the skin's coordinates.
  """
  upper, lower = lids
  s, t = fixed_points()
  s, t = s.copy(), t.copy()
  s[36:48], t[36:48] = lid_points(upper[0], lower[0], upper[1], lower[1])
  vertices, weights = grid.weights(s, t)
  return (skin[vertices] * weights[..., None]).sum(axis=1)


@functools.cache
def fixed_points() -> tuple[np.ndarray, np.ndarray]:
  """Returns s and t of the 68 points, [68] float64; not to be changed."""
  s, t = np.zeros(68), np.zeros(68)
  # Outline: nine points of the right half by equal steps along the curve.
  steps = np.hypot(np.diff(_OUTLINE_S), np.diff(_OUTLINE_T))
  along = np.append(0, np.cumsum(steps))
  at = np.linspace(0, along[-1], 9)
  s[:9], t[:9] = (
    -np.interp(at, along, _OUTLINE_S),
    np.interp(at, along, _OUTLINE_T),
  )
  s[9:17], t[9:17] = -s[7::-1], t[7::-1]
  s[17:22] = -np.linspace(0.70, 0.15, 5)
  s[22:27] = np.linspace(0.15, 0.70, 5)
  t[17:27] = chart.brow_line(s[17:27])
  t[27:31] = (-0.02, 0.11, 0.24, 0.37)
  s[31:36] = (-0.155, -0.08, 0.0, 0.08, 0.155)
  t[31:36] = (0.465, 0.48, 0.49, 0.48, 0.465)
  s[48:68], t[48:68] = _lips()
  s[36:48], t[36:48] = lid_points(
    *[
      np.array(x)
      for x in (-chart.EYE_UP, chart.EYE_LOW, -chart.EYE_UP, chart.EYE_LOW)
    ]
  )
  return s, t


def lid_points(
  right_upper: np.ndarray,
  right_lower: np.ndarray,
  left_upper: np.ndarray,
  left_lower: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns s and t of points 36 to 47, [..., 12], for lids' heights [...]."""
  e = np.array([1.0, 0.36, -0.36, -1.0])  # From the outer corner inwards.
  across = chart.EYE_S + chart.EYE_HALF_S * e
  right_s = -np.concatenate([across, across[2:0:-1]])
  left_s = np.concatenate([across[::-1], across[1:3]])
  heights = []
  for s, upper, lower, is_upper in (
    (right_s, right_upper, right_lower, [1, 1, 1, 1, 0, 0]),
    (left_s, left_upper, left_lower, [1, 1, 1, 1, 0, 0]),
  ):
    top, bottom = chart.lid_lines(s, upper[..., None], lower[..., None])
    heights.append(np.where(is_upper, top, bottom))
  t = np.concatenate(heights, axis=-1)
  return np.broadcast_to(np.concatenate([right_s, left_s]), t.shape), t


def _lips():
  """Returns s and t of points 48 to 67."""
  outer = chart.MOUTH_S * np.array([-1, -0.58, -0.2, 0, 0.2, 0.58, 1])
  lower = chart.MOUTH_S * np.array([0.6, 0.27, 0, -0.27, -0.6])
  inner = chart.MOUTH_S * np.array([-0.86, -0.35, 0, 0.35, 0.86])
  back = inner[3:0:-1]
  s = np.concatenate([outer, lower, inner, back])
  t = np.concatenate(
    [
      chart.upper_lip_line(outer),
      chart.lower_lip_line(lower),
      chart.MOUTH_T - chart.slit_height(inner),
      chart.MOUTH_T + chart.slit_height(back),
    ]
  )
  t[[0, 6]] = chart.MOUTH_T
  t[[12, 16]] = chart.MOUTH_T
  return s, t
