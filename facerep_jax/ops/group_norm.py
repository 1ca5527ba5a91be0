"""Group normalisation."""

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
    x: [N, H, W, C] float.
    scale: [C] float.
    bias: [C] float.
    num_groups: Groups of neighbouring channels, a divisor of C.
    epsilon: Added to the variance.

  Returns:
    [N, H, W, C] float.
  """
  grouped = x.reshape(*x.shape[:3], num_groups, -1)
  mean = grouped.mean((1, 2, 4), keepdims=True)
  var = jnp.square(grouped - mean).mean((1, 2, 4), keepdims=True)
  out = (grouped - mean) * jax.lax.rsqrt(var + epsilon)
  out = out.reshape(x.shape)
  return out * scale[None, None, None] + bias[None, None, None]
