"""Group normalisation."""

import math

import jax
import jax.numpy as jnp


def group_norm(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  num_groups: int,
  epsilon: float = 1e-5,
) -> jax.Array:
  """Normalises each image over its pixels and groups of its channels.

  Args:
    x: [N, H, W, C] float; or [N, C], images of a single pixel.
    scale: [C] float.
    bias: [C] float.
    num_groups: Groups of neighbouring channels, a divisor of C.
    epsilon: Added to the variance.

  Returns:
    float, as `x`.
  """
  if math.prod(x.shape[1:-1]) == 1:
    return _norm_of_pixel(x, scale, bias, num_groups, epsilon)
  # Sums over pixels first, with the channels kept apart: on a CPU this is the
  # order that vectorises.
  pixels = x.reshape(x.shape[0], -1, x.shape[-1])
  centred = pixels - _group_mean(pixels.mean(1), num_groups)[:, None]
  var = _group_mean(jnp.square(centred).mean(1), num_groups)
  factor = scale[None] * jax.lax.rsqrt(var + epsilon)
  out = centred * factor[:, None] + bias[None, None]
  return out.reshape(x.shape)


def _norm_of_pixel(x, scale, bias, num_groups, epsilon):
  """Normalises images of a single pixel, where this form is the faster one."""
  groups = x.reshape(x.shape[0], num_groups, -1)
  centred = groups - groups.mean(-1, keepdims=True)
  var = jnp.square(centred).mean(-1, keepdims=True)
  out = (centred * jax.lax.rsqrt(var + epsilon)).reshape(x.shape[0], -1)
  return (out * scale[None] + bias[None]).reshape(x.shape)


def _group_mean(values: jax.Array, num_groups: int) -> jax.Array:
  """Replaces each of [N, C] by the mean of its group."""
  num, channels = values.shape
  means = values.reshape(num, num_groups, -1).mean(-1)
  return jnp.repeat(means, channels // num_groups, axis=1)
