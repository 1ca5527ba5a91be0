"""How much of a pixel a triangle covers."""

import jax
import jax.numpy as jnp

from facerep_jax.ops import fragments

# Of a square's side: edges that are level, or upright, to within it.
_LEVEL = 1e-4


def triangle_in_square(corners: fragments.Corners, side: float) -> jax.Array:
  """Computes the area that triangles and a square have in common.

  The area is the integral over rows of the length covered, which is a sum over
  the triangle's edges. Shares of triangles that tile a surface add up to that
  of the surface.

  Args:
    corners: Of P triangles, relative to the middle of the square.
    side: Of the square, more than 0.

  Returns:
    [P] float, share of the square, [0, 1]; differentiable.
  """
  # In units of the square, which reaches from 0 to 1.
  x, y = jax.tree.map(lambda column: column / side + 0.5, corners)
  area = sum(
    _under_edge(x[i], y[i], x[j], y[j]) for i, j in ((0, 1), (1, 2), (2, 0))
  )
  return jnp.abs(area)


def _under_edge(x0, y0, x1, y1):
  """Integrates clip(x, 0, 1) dy over the part of an edge with y in [0, 1]."""
  a, b = jnp.clip(y0, 0.0, 1.0), jnp.clip(y1, 0.0, 1.0)
  is_level = jnp.abs(y1 - y0) < _LEVEL
  slope = (x1 - x0) / jnp.where(is_level, 1.0, y1 - y0)
  xa = jnp.where(is_level, x0, x0 + (a - y0) * slope)
  xb = jnp.where(is_level, x1, x0 + (b - y0) * slope)
  return (b - a) * _mean_clipped(xa, xb)


def _mean_clipped(a, b):
  """Averages clip(x, 0, 1) over x from a to b."""
  low, high = jnp.minimum(a, b), jnp.maximum(a, b)
  low_in, high_in = jnp.clip(low, 0.0, 1.0), jnp.clip(high, 0.0, 1.0)
  inside = (high_in - low_in) * (high_in + low_in) / 2
  beyond = jnp.maximum(high, 1.0) - jnp.maximum(low, 1.0)
  is_upright = high - low < _LEVEL
  length = jnp.where(is_upright, 1.0, high - low)
  middle = jnp.clip((low + high) / 2, 0.0, 1.0)
  return jnp.where(is_upright, middle, (inside + beyond) / length)
