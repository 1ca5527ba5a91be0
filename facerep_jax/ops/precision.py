"""The least precision that geometry is computed in."""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
  """Converts half-precision numbers to float32 and leaves wider ones alone.

  Args:
    x: Array of any shape, float.

  Returns:
    The same numbers, float32 or float64.
  """
  return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
