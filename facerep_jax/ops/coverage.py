"""How much of a pixel a triangle covers."""

import functools

import jax
import jax.numpy as jnp

from facerep_jax.ops import fragments

# Of a square's side: edges that are level, or upright, to within it.
_LEVEL = 1e-4
_STILL = 1e-6


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def triangle_in_square(corners: fragments.Corners, side: float) -> jax.Array:
  """Computes the area that triangles and a square have in common.

  The area is the integral over rows of the length covered, which is a sum over
  the triangle's edges. Shares of triangles that tile a surface add up to that
  of the surface.

  Args:
    corners: Of P triangles, relative to the middle of the square.
    side: Of the square, more than 0.

  Returns:
    [P] float, share of the square, [0, 1]. It has reverse-mode derivatives.
  """
  return jnp.abs(_signed(corners, side))


def _signed(corners, side):
  # In units of the square, which reaches from 0 to 1.
  x, y = jax.tree.map(lambda column: column / side + 0.5, corners)
  return sum(
    _under_edge(x[i], y[i], x[j], y[j]) for i, j in ((0, 1), (1, 2), (2, 0))
  )


def _forward(corners, side):
  signed = _signed(corners, side)
  return jnp.abs(signed), (corners, jnp.sign(signed))


def _backward(side, kept, grad):
  """Moves each edge: the area gained is its part in the square times the way.

  XLA's CPU code for its own derivative of the forward pass was measured to
  take over ten times as long.
  """
  corners, sign = kept
  scale = grad * sign / side**2
  zero = jnp.zeros_like(grad)
  grad_x, grad_y = [zero] * 3, [zero] * 3
  for i, j in ((0, 1), (1, 2), (2, 0)):
    xi, yi = corners.x[i], corners.y[i]
    dx, dy = corners.x[j] - xi, corners.y[j] - yi
    enter_x, leave_x = _inside(xi, dx, side / 2)
    enter_y, leave_y = _inside(yi, dy, side / 2)
    enter = jnp.maximum(jnp.maximum(enter_x, enter_y), 0.0)
    leave = jnp.minimum(jnp.minimum(leave_x, leave_y), 1.0)
    leave = jnp.maximum(leave, enter)
    far = (leave**2 - enter**2) / 2 * scale  # Share of the second end.
    near = (leave - enter) * scale - far
    grad_x[i] += dy * near
    grad_x[j] += dy * far
    grad_y[i] -= dx * near
    grad_y[j] -= dx * far
  return (fragments.Corners(tuple(grad_x), tuple(grad_y)),)


triangle_in_square.defvjp(_forward, _backward)


def _inside(start, step, half):
  """Returns where start + t step, t from 0, is within half of 0."""
  is_still = jnp.abs(step) < _STILL * half
  inverse = 1.0 / jnp.where(is_still, 1.0, step)
  one, other = (-half - start) * inverse, (half - start) * inverse
  is_in = jnp.abs(start) <= half
  enter = jnp.where(is_in, -1.0, 2.0)
  leave = jnp.where(is_in, 2.0, -1.0)
  return (
    jnp.where(is_still, enter, jnp.minimum(one, other)),
    jnp.where(is_still, leave, jnp.maximum(one, other)),
  )


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
