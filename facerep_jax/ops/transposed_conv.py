"""Transposed convolutions that double the resolution."""

import jax
import jax.numpy as jnp

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves transposed, 4x4 with stride 2 and padding 1.

  Output pixel 2 i + k - 1 gets input pixel i times tap k.

  Args:
    x: [N, H, W, C] float.
    kernel: [4, 4, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  return transposed_conv_plain(x, kernel)


def transposed_conv_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `transposed_conv` by the platform's convolution."""
  return jax.lax.conv_general_dilated(
    x,
    kernel[::-1, ::-1],
    (1, 1),
    [(2, 2), (2, 2)],
    lhs_dilation=(2, 2),
    dimension_numbers=_LAYOUT,
  )


def nearest_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Doubles by repeating pixels, then convolves 3x3 with padding 1.

  Args:
    x: [N, H, W, C] float.
    kernel: [3, 3, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  return nearest_conv_plain(x, kernel)


def nearest_conv_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `nearest_conv` as it is written, in two steps."""
  x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), [(1, 1), (1, 1)], dimension_numbers=_LAYOUT
  )
