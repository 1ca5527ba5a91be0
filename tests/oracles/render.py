"""Slow float64 references of the renderer: every pixel tries every triangle."""

import numpy as np


def clip_to_square(corners, centre, side):
  """Area that a triangle [3, 2] and a square have in common.

  The polygon is cut by one side of the square after another.
  """
  polygon = [np.float64(p) - centre for p in corners]
  for axis in (0, 1):
    for sign in (1, -1):
      height = [side / 2 - sign * p[axis] for p in polygon]
      kept = []
      for k, p in enumerate(polygon):
        q, above = polygon[k - 1], height[k - 1]
        if (above >= 0) != (height[k] >= 0):
          kept.append(q + (p - q) * above / (above - height[k]))
        if height[k] >= 0:
          kept.append(p)
      polygon = kept
  area = 0.0
  for k, p in enumerate(polygon):
    q = polygon[k - 1]
    area += (q[0] * p[1] - q[1] * p[0]) / 2
  return abs(area)


def _flat_weights(xy, faces, size):
  """Yields number, twice the area, and weights [S, S, 3] on the screen."""
  y, x = np.mgrid[:size, :size].astype(np.float64)
  for number, face in enumerate(faces):
    p = np.float64(xy)[face]
    total = np.linalg.det(np.concatenate([p.T, np.ones((1, 3))]))
    if abs(total) <= 1e-6:
      continue
    parts = []
    for k in range(3):
      (ax, ay), (bx, by) = p[(k + 1) % 3], p[(k + 2) % 3]
      parts.append(((ax - x) * (by - y) - (bx - x) * (ay - y)) / total)
    yield number, total, np.stack(parts, -1)


def hard(xy, depth, values, faces, size, background):
  """The nearest triangle at the centre of every pixel.

  Args:
    xy: [V, 2] px.
    depth: [V], more than 0.
    values: [V, C].
    faces: [F, 3].
    size: S.
    background: [C].

  Returns:
    face [S, S] (-1: none); values [S, S, C]; depth [S, S] (inf: none); and
    [S, S], distance in px to the nearest edge: about it, rounding decides.
  """
  depth, values = np.float64(depth), np.float64(values)
  winner = np.full((size, size), -1)
  nearest = np.full((size, size), np.inf)
  shown = np.broadcast_to(np.float64(background), (size, size, len(background)))
  shown, edge_px = shown.copy(), np.full((size, size), np.inf)
  for number, total, weights in _flat_weights(xy, faces, size):
    corners = np.float64(xy)[faces[number]]
    lengths = np.linalg.norm(corners[[2, 0, 1]] - corners[[1, 2, 0]], axis=1)
    away = weights * abs(total) / lengths
    edge_px = np.minimum(edge_px, np.abs(away.min(-1)))
    shares = weights / depth[faces[number]]
    here = 1 / np.where(weights.min(-1) >= 0, shares.sum(-1), 1.0)
    wins = (weights.min(-1) >= 0) & (here < nearest)
    winner[wins], nearest[wins] = number, here[wins]
    shares *= here[..., None]
    shown[wins] = (shares @ values[faces[number]])[wins]
  return winner, shown, nearest, edge_px


def soft(xy, depth, values, faces, size, background, edge, temperature):
  """The soft picture; arguments as `hard`, edge in px, depth temperature.

  Returns:
    values [S, S, C], mask [S, S].
  """
  depth, values = np.float64(depth), np.float64(values)
  lists = {at: [] for at in np.ndindex(size, size)}
  for number, total, weights in _flat_weights(xy, faces, size):
    face = faces[number]
    low = np.ceil(np.float64(xy)[face].min(0) - edge / 2).astype(int)
    high = np.floor(np.float64(xy)[face].max(0) + edge / 2).astype(int)
    for row in range(max(low[1], 0), min(high[1], size - 1) + 1):
      for column in range(max(low[0], 0), min(high[0], size - 1) + 1):
        share = clip_to_square(xy[face], (column, row), edge) / edge**2
        if share <= 1e-5:
          continue
        w = np.maximum(weights[row, column], 0) / depth[face]
        w /= w.sum()
        item = (share, total > 0, w @ depth[face], w @ values[face])
        lists[row, column].append(item)
  out, mask = np.zeros((size, size, len(background))), np.zeros((size, size))
  for at, items in lists.items():
    out[at], mask[at] = _blend(items, np.float64(background), temperature)
  return out, mask


def _blend(items, background, temperature):
  """One pixel: the nearest surface, over what is behind, over nothing."""
  if not items:
    return background, 0.0
  share, front, depth, values = map(np.array, zip(*items))
  first = np.minimum(2 * np.exp((depth.min() - depth) / temperature), 1)
  behind = 1 - first
  if behind.any():
    behind *= np.exp((depth[behind > 0].min() - depth) / temperature)
  both = lambda x: min(max(x[front].sum(), x[~front].sum()), 1.0)
  mask, over = both(share), both(share * first)
  mean = lambda w: (w[:, None] * values).sum(0) / max(w.sum(), 1e-300)
  out = over * mean(share * first) + (mask - over) * mean(share * behind)
  return out + (1 - mask) * background, mask
