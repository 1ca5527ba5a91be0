"""ICT-FaceKit's heads on the built-in head's chart.

ICT's skin is laid out by azimuth and height, and a thin-plate spline moves
this layout so that its 68 landmark vertices fall on the chart's points of
those names. Every vertex of the chart's grid is then a point of an ICT
triangle, and all of ICT's shapes carry over to the grid. So colours, lids,
lips and labels, which are functions of the chart, fit both heads alike.

Differs: the lids' motion is the chart's, as on the built-in head (ICT's lid
shapes only move the skin about them a little); eyeballs, teeth and
ears are the built-in ones; below the neck it is the built-in trunk.

Source: ICT-FaceKit (MIT), https://github.com/ICT-VGL/ICT-FaceKit.
"""

import dataclasses
import functools

import numpy as np

from facerep_jax import errors
from facerep_jax.synthetic import (
  actions,
  chart,
  head,
  ict_read,
  landmarks,
  rasterise,
)

NUM_VERTICES = 26719
# Vertices of face, head and neck, both eyeballs: first, after the last.
_SKIN, _EYEBALLS = (0, 11248), (21451, 24591)
# Source: vertex_indices.json, idx_to_landmark_verts.
_LANDMARKS = (
  1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924,
  2608, 3272, 4088, 3443, 268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734,
  2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537,
  1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0,
  4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216,
  6207, 6470, 5517, 5966,
)  # fmt: skip
# The origin of head coordinates in ICT's, cm: between the eyes, and as far
# behind them as in the built-in head.
_ORIGIN = np.array([0.0, 3.44, 1.69])
_AXES = np.array([0.1, -0.1, -0.1])  # To 100 mm, y down, z away.
_EVENINGS = 6  # Passes over the ears.
# ICT's shapes, both sides, for each action unit, and how strongly. Lids (5, 7,
# 45) move by the chart, so that their shapes are weak here.
UNITS = {
  1: {"browInnerUp": 1.0},
  2: {"browOuterUp": 1.0},
  4: {"browDown": 1.0},
  5: {"eyeWide": 0.25},
  6: {"cheekRaiser": 0.8, "cheekSquint": 0.5},
  7: {"eyeSquint": 0.3},
  9: {"noseSneer": 1.0},
  10: {"mouthUpperUp": 0.9},
  12: {"mouthSmile": 1.0},
  14: {"mouthDimple": 1.0},
  15: {"mouthFrown": 1.0},
  16: {"mouthLowerDown": 0.9},
  17: {"mouthShrugLower": 0.8, "mouthShrugUpper": 0.2},
  18: {"mouthPucker": 1.0},
  20: {"mouthStretch": 1.0},
  23: {"mouthRollLower": 0.4, "mouthRollUpper": 0.4},
  24: {"mouthPress": 1.0},
  25: {"mouthLowerDown": 0.4, "mouthUpperUp": 0.3},
  26: {"jawOpen": 0.8},
  45: {"eyeBlink": 0.2},
}


@functools.lru_cache(maxsize=2)
def model(path: str) -> head.Head:
  """Returns ICT's head; the same object each time, not to be changed.

  Args:
    path: As for `ict_read.read`.

  Returns:
    The head; its identity numbers are ICT's, in their order.

  Raises:
    InputError: The data cannot be read, or is of another mesh.
  """
  data = ict_read.read(path)
  if len(data.neutral) != NUM_VERTICES:
    raise errors.InputError(
      f"{path}: its meshes have {len(data.neutral)} vertices, expected "
      f"ICT-FaceKit's {NUM_VERTICES}."
    )
  base = head.built_in()
  corners, weights = _place(data, base.chart)

  def carry(field):
    """Takes a field over ICT's vertices [V, 3] to the grid's."""
    out = (field[corners] * weights[..., None]).sum(axis=1) * _AXES
    out = _fill(out.reshape(*base.chart.shape, 3), weights)
    return _soften(out, soft).reshape(-1, 3)

  # Seen from the head's axis an ear hides most of itself, and what is left is
  # torn: it is evened out, and the built-in ear put there.
  soft = chart.bump(base.s, base.t, 1.75, 0.16, 0.13, 0.24) > 0.1
  soft = soft.reshape(base.chart.shape)

  # ICT's bust ends soon below the neck.
  keep = 1 - chart.ramp(base.t, 1.35, 1.7)[:, None]
  template = carry(data.neutral - _ORIGIN)
  outward = np.stack([np.sin(base.s), 0 * base.s, -np.cos(base.s)], axis=-1)
  template += head.ears(base.s, base.t)[:, None] * outward
  return dataclasses.replace(
    base,
    template=base.template + keep * (template - base.template),
    shape_basis=np.stack(
      [(keep * carry(x)).astype(np.float32) for x in data.identity]
    ),
    action_basis=np.stack(
      [
        (keep * carry(_unit(path, data, number))).astype(np.float32)
        for number in actions.UNITS
      ]
    ),
  )


def _unit(path, data, number):
  """Returns the displacement of an action unit on ICT's mesh, [V, 3]."""
  out = np.zeros_like(data.neutral)
  for name, strength in UNITS[number].items():
    found = [
      x for x in (name, name + "_L", name + "_R") if x in data.expression
    ]
    if found not in ([name], [name + "_L", name + "_R"]):
      raise errors.InputError(
        f"{path}: lacks the expression {name}, or {name}_L and {name}_R."
      )
    for x in found:
      out += np.float32(strength) * data.expression[x]
  return out


def _place(data, grid):
  """Finds the grid's vertices on ICT's skin.

  Returns:
    [V, 3] int vertices of ICT's and [V, 3] float64 weights; weights are zero
    where ICT has nothing.
  """
  first, last = np.array([_SKIN, _EYEBALLS]).T
  corners = data.triangles[:, :, None]
  is_skin = ((corners >= first) & (corners < last)).all(axis=1).any(axis=1)
  triangles = data.triangles[is_skin][:, ::-1]  # Front sides clockwise.
  points = (data.neutral - _ORIGIN) * _AXES
  x, y, z = points.T
  azimuth, height = np.arctan2(x, -z), y / chart.HEIGHT
  around = azimuth[triangles]
  # Triangles across the back are drawn at both ends of the chart.
  crosses = np.ptp(around, axis=1) > np.pi
  around = np.where(crosses[:, None] & (around < 0), around + 2 * np.pi, around)
  around = np.concatenate([around, around[crosses] - 2 * np.pi])
  triangles = np.concatenate([triangles, triangles[crosses]])
  centres, wanted = _anchors(azimuth, height)
  s, t = _spline(
    centres, wanted, np.stack([around, height[triangles]], -1).reshape(-1, 2)
  ).T
  # On an image whose pixels are the grid's vertices, outermost skin in front.
  columns, rows = np.arange(grid.s.size), np.arange(grid.t.size)
  xy = np.stack([_extend(s, grid.s, columns), _extend(t, grid.t, rows)], -1)
  depth = 1000 - np.hypot(x, z)[triangles].ravel()
  raster = rasterise.rasterise(
    xy, depth, np.arange(len(xy)).reshape(-1, 3), rows.size, columns.size
  )
  found = np.zeros((rows.size * columns.size, 3), np.int64)
  weights = np.zeros(found.shape)
  found[raster.pixel] = triangles[raster.face]
  weights[raster.pixel] = raster.barycentric
  return found, weights


def _extend(values, knots, numbers):
  """Interpolates, going on in a straight line beyond the ends."""
  out = np.interp(values, knots, numbers)
  out += np.minimum(values - knots[0], 0) / (knots[1] - knots[0])
  return out + np.maximum(values - knots[-1], 0) / (knots[-1] - knots[-2])


def _anchors(azimuth, height):
  """Returns points of ICT's layout and the chart points they go to, [N, 2]."""
  marks = np.array(_LANDMARKS)
  centres = [np.stack([azimuth[marks], height[marks]], -1)]
  wanted = [np.stack(landmarks.fixed_points(), -1)]
  # Elsewhere the layouts agree, but for the height of the crown.
  crown = height[: _SKIN[1]].min()
  for t in (chart.TOP_T, -0.75, 1.6, 2.3):
    at = t * crown / chart.TOP_T if t < 0 else t
    s = np.linspace(-np.pi, np.pi, 9)
    centres.append(np.stack([s, np.full(9, at)], -1))
    wanted.append(np.stack([s, np.full(9, t)], -1))
  for t in (-0.3, 0.2, 0.7, 1.1):
    s = np.array([-3.5, -2.8, -2.1, 2.1, 2.8, 3.5])
    at = t * crown / chart.TOP_T if t < 0 else t
    centres.append(np.stack([s, np.full(6, at)], -1))
    wanted.append(np.stack([s, np.full(6, t)], -1))
  return np.concatenate(centres), np.concatenate(wanted)


def _spline(centres, wanted, points):
  """Maps points [N, 2] by the thin-plate spline through some pairs."""

  def terms(p):
    square = ((p[:, None] - centres) ** 2).sum(-1)
    bent = square * np.log(np.maximum(square, 1e-300))
    return np.concatenate([bent, np.ones((len(p), 1)), p], axis=1)

  count = len(centres)
  rows = terms(centres)
  system = np.zeros((count + 3, count + 3))
  system[:count] = rows
  system[count:, :count] = rows[:, count:].T
  right = np.concatenate([wanted, np.zeros((3, 2))])
  return terms(points) @ np.linalg.solve(system, right)


def _fill(field, weights):
  """Fills the grid's vertices that ICT does not cover, row by row.

  Args:
    field: [R, C, 3] float.
    weights: [R * C, 3] float, zero where there is nothing.

  Returns:
    [R, C, 3] float64.
  """
  covered = weights.any(axis=1).reshape(field.shape[:2])
  # First and last column are the same points; one of them may be seen alone.
  field, covered = field.copy(), covered.copy()
  for one, other in ((0, -1), (-1, 0)):
    lone = covered[:, other] & ~covered[:, one]
    field[lone, one], covered[lone, one] = field[lone, other], True
  # At the crown's pole rounding decides whether a vertex is seen.
  rows = np.flatnonzero(covered.mean(axis=1) > 0.5)
  out = np.empty(field.shape)
  columns = np.arange(field.shape[1])
  for row in rows:
    some = np.flatnonzero(covered[row])
    for i in range(3):
      out[row, :, i] = np.interp(columns, some, field[row, some, i])
  out[:, -1] = out[:, 0]  # The same points of the head.
  for row in range(rows[0]):  # The crown.
    out[row] = out[rows[0]].mean(axis=0)
  out[rows[-1] + 1 :] = out[rows[-1]]  # Of the trunk, which is replaced.
  return out


def _soften(field, where):
  """Evens a field [R, C, 3] out where [R, C] says; the same shape."""
  out = field.copy()
  for _ in range(_EVENINGS):
    mean = out.copy()
    mean[1:-1, 1:-1] = (
      out[:-2, 1:-1] + out[2:, 1:-1] + out[1:-1, :-2] + out[1:-1, 2:]
    ) / 4
    out[where] = mean[where]
  return out
