"""The built-in head: template surface, and what deforms it.

Head coordinates are in units of 100 mm: x to the image's right, y down, z away
from the camera, for a head that faces the camera; the eyes are at y = 0 and
the vertical axis passes through the middle of the skull. All is symmetric
about x = 0.
"""

import dataclasses
import functools

import numpy as np

from facerep_jax.synthetic import actions, chart, shape_modes

NECK_PIVOT = np.array([0.0, 0.55, 0.25])  # The head turns about this point.


@dataclasses.dataclass(frozen=True)
class Head:
  """A head as a linear model, and what drawing it needs.

  Attributes:
    chart: The grid whose vertices these are; `chart.grid()`, for every head.
    s: [V] float64, azimuths of the vertices.
    t: [V] float64, heights of the vertices.
    template: [V, 3] float64, positions of the average neutral head.
    shape_basis: [K, V, 3] float32, displacement for each identity number.
    action_basis: [20, V, 3] float32, displacement at full activation.
    side: [V] float32, -1 on the head's right (s < 0), +1 on its left.
    follows: [V] float64, 1 where the skin turns with the head, 0 for the
      trunk.
    cavity: [V] float32, ambient light that reaches the skin, (0, 1].
  """

  chart: chart.Chart
  s: np.ndarray
  t: np.ndarray
  template: np.ndarray
  shape_basis: np.ndarray
  action_basis: np.ndarray
  side: np.ndarray
  follows: np.ndarray
  cavity: np.ndarray


@functools.cache
def built_in() -> Head:
  """Returns the built-in head; the same object each time, not to be changed."""
  grid = chart.grid()
  s, t = grid.mesh()
  template = _template(s, t)
  return Head(
    chart=grid,
    s=s,
    t=t,
    template=template,
    shape_basis=shape_modes.basis(s, t, template).astype(np.float32),
    action_basis=actions.basis(s, t, template).astype(np.float32),
    side=np.tanh(s / 0.06).astype(np.float32),
    follows=1.0 - chart.ramp(t, 1.0, 1.55),
    cavity=_cavity(s, t).astype(np.float32),
  )


def neutral(head: Head, shape: np.ndarray) -> np.ndarray:
  """Returns the resting skin of one person.

  Args:
    head: The model.
    shape: [K] float, identity numbers, about N(0, 1).

  Returns:
    [V, 3] float64, head coordinates.
  """
  # einsum's own loops: the same sums in the same order with any BLAS.
  return head.template + np.einsum("k,kvc->vc", shape, head.shape_basis)


def animate(
  head: Head, still: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
  """Adds the action units of a track to a resting skin.

  Args:
    head: The model.
    still: [V, 3] float, what `neutral` returned, or that with hair.
    left: [T, 20] float, activations of the face's left half, [0, 1].
    right: [T, 20] float, of its right half.

  Returns:
    [T, V, 3] float32, head coordinates.
  """
  both = ((left + right) / 2).astype(np.float32)
  differ = ((left - right) / 2).astype(np.float32)
  moved = np.einsum("ta,avc->tvc", differ, head.action_basis)
  moved *= head.side[:, None]
  moved += np.einsum("ta,avc->tvc", both, head.action_basis)
  moved += still.astype(np.float32)
  return moved


def _template(s, t):
  """Returns the average head's vertices, [V, 3]."""
  face = _cross_section(
    s,
    np.interp(
      t,
      [-0.4, -0.2, 0, 0.25, 0.5, 0.8, 1.0, 1.2],
      [0.88, 0.89, 0.85, 0.86, 0.87, 0.86, 0.87, 0.83],
    ),
    np.interp(
      t,
      [-0.4, 0, 0.25, 0.5, 0.75, 1.0, 1.2],
      [0.70, 0.695, 0.69, 0.67, 0.635, 0.55, 0.46],
    ),
    np.interp(t, [-0.4, 0, 0.4, 0.8, 1.2], [1.0, 0.98, 0.85, 0.62, 0.55]),
    2.15,
  )
  neck = _cross_section(
    s,
    np.interp(
      t,
      [0.6, 1.1, 1.25, 1.5, 1.65, 2.1, 2.6],
      [0.30, 0.28, 0.28, 0.38, 0.50, 0.70, 0.8],
    ),
    np.interp(
      t,
      [0.6, 1.1, 1.25, 1.4, 1.52, 1.7, 2.0, 2.6],
      [0.53, 0.52, 0.54, 0.66, 1.00, 1.45, 1.80, 1.95],
    ),
    np.interp(t, [0.6, 1.1, 1.5, 1.7, 2.6], [0.62, 0.60, 0.62, 0.75, 0.85]),
    2.0,
  )
  line = chart.jaw_line(s)
  radius = face + (neck - face) * chart.ramp(t, line - 0.03, line + 0.16)
  # The skull closes as an ellipsoid above the brows.
  up = np.clip((-0.33 - t) / (-0.33 - chart.TOP_T), 0.0, 1.0)
  radius = radius * np.sqrt(1 - up**2.1) + _features(s, t)
  # Lids at rest stand closer than the chart's heights, the nose is shorter
  # and the jaw lower.
  lids = chart.bump(s, t, chart.EYE_S, chart.EYE_T, 0.17, 0.1)
  nose = chart.bump(s, t, 0, 0.42, 0.25, 0.15)
  y = chart.HEIGHT * t - 0.16 * (t - chart.EYE_T) * lids - 0.03 * nose
  y += 0.04 * chart.ramp(t, 0.55, 1.05)
  y -= 0.02 * chart.bump(s, t, chart.MOUTH_S, chart.MOUTH_T, 0.12, 0.08)
  x = radius * np.sin(s) - 0.12 * s * chart.bump(s, t, 0, 0.42, 0.2, 0.1)
  return np.stack([x, y, -radius * np.cos(s)], axis=-1)


def _cross_section(s, front, half_width, back, power):
  """Returns the radius at azimuth s of two half superellipses."""
  depth = np.where(np.abs(s) < np.pi / 2, front, back)
  return (
    np.abs(np.sin(s) / half_width) ** power + np.abs(np.cos(s) / depth) ** power
  ) ** (-1 / power)


def _features(s, t):
  """Returns what eyes, nose, mouth, chin and ears add to the radius."""
  bump = chart.bump
  ridge = np.interp(
    t,
    [-0.2, -0.05, 0.1, 0.25, 0.36, 0.42, 0.49, 0.53],
    [0.0, 0.045, 0.105, 0.175, 0.245, 0.225, 0.045, 0.0],
  )
  width = np.interp(
    t, [-0.1, 0.1, 0.25, 0.38, 0.5], [0.115, 0.10, 0.11, 0.14, 0.155]
  )
  out = ridge * np.exp(-(np.abs(s / width) ** 1.9))
  out += 0.075 * bump(s, t, 0.175, 0.40, 0.06, 0.065)  # Wings of the nose.
  out -= 0.02 * bump(s, t, 0.27, 0.38, 0.05, 0.09)
  out += 0.03 * bump(s, t, 0.28, -0.17, 0.24, 0.08)  # Ridge of the brows.
  out -= 0.11 * bump(s, t, 0.36, -0.01, 0.18, 0.125)  # Sockets.
  out += 0.095 * bump(s, t, chart.EYE_S, 0.005, 0.12, 0.075)  # Lids.
  out += 0.05 * bump(s, t, 0.58, 0.27, 0.2, 0.14)  # Cheekbones.
  out += 0.03 * bump(s, t, 0.35, 0.62, 0.2, 0.2)
  out -= 0.015 * bump(s, t, 0.38, 0.52, 0.07, 0.12)  # Beside the lips.
  inside = np.clip(1 - (s / (1.3 * chart.MOUTH_S)) ** 2, 0, 1)
  upper = np.exp(-(((t - 0.640) / 0.045) ** 2))
  lower = np.exp(-(((t - 0.745) / 0.05) ** 2))
  out += inside * (0.055 * upper + 0.065 * lower)
  out += 0.04 * bump(s, t, 0, 0.66, 0.28, 0.14)  # Teeth push the lips out.
  out -= (
    0.012 * np.exp(-((s / 0.03) ** 2)) * np.exp(-(((t - 0.55) / 0.05) ** 2))
  )
  out -= 0.035 * bump(s, t, 0, 0.875, 0.2, 0.06)  # Below the lips.
  out += 0.055 * bump(s, t, 0, 1.02, 0.2, 0.09)  # Chin.
  return out + ears(s, t)


def ears(s: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Returns what the ears add to the head's radius."""
  rim = np.exp(-(((np.abs(s) - 1.72) / 0.10) ** 4))
  rim = rim * np.exp(-(((t - 0.16) / 0.33) ** 4))
  return rim * (0.13 + 0.09 * ((np.abs(s) - 1.72) / 0.1))


def _cavity(s, t):
  """Returns the share of ambient light that reaches each vertex."""
  bump = chart.bump
  dark = 0.30 * bump(s, t, 0.33, -0.05, 0.17, 0.09)  # Under the brows.
  dark += 0.25 * bump(s, t, 0.19, 0.03, 0.06, 0.08)
  dark += 0.40 * bump(s, t, 0.0, 0.52, 0.14, 0.035)  # Under the nose.
  dark += 0.25 * bump(s, t, 0.26, 0.41, 0.04, 0.07)
  dark += 0.30 * bump(s, t, 0.0, 0.85, 0.18, 0.035)
  dark += 0.25 * bump(s, t, chart.MOUTH_S, 0.685, 0.05, 0.03)
  dark += 0.30 * bump(s, t, 1.60, 0.15, 0.06, 0.2)  # Inside the ears.
  line = chart.jaw_line(s)
  neck = chart.ramp(t, line - 0.02, line + 0.2) * (1 - chart.ramp(t, 1.4, 2))
  dark += 0.5 * neck * chart.ramp(np.abs(s), 2.0, 1.0)
  return np.clip(1.0 - dark, 0.3, 1.0)
