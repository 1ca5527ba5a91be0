"""Convolutions that double the resolution, in two equal forms each.

The plain form is what the papers write. The other form computes each of the
four kinds of output pixels, even or odd row and column, by a 2x2 convolution
of the small map. XLA's CPU code for the gradients of the plain forms is many
times slower.
"""

import jax
import jax.numpy as jnp

from facerep_jax.ops import same_conv

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def transposed_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves transposed, 4x4 with stride 2 and padding 1; the faster form.

  Output pixel 2 i + k - 1 gets input pixel i times tap k.

  Args:
    x: [N, H, W, C] float.
    kernel: [4, 4, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  return jax.lax.platform_dependent(
    x, kernel, cpu=transposed_conv_by_phases, default=transposed_conv_plain
  )


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


def transposed_conv_by_phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `transposed_conv` as four convolutions 2x2, interleaved.

  Even pixels see the input before with tap 3 and their own with tap 1, odd
  pixels their own with tap 2 and the one after with tap 0.

  Args:
    x: [N, H, W, C] float.
    kernel: [4, 4, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  num, height, width, _ = x.shape

  def phase(row, column):
    taps = kernel[3 - row :: -2, 3 - column :: -2]
    pads = [(1 - row, row), (1 - column, column)]
    return jax.lax.conv_general_dilated(
      x, taps, (1, 1), pads, dimension_numbers=_LAYOUT
    )

  rows = [jnp.stack([phase(row, 0), phase(row, 1)], 3) for row in (0, 1)]
  return jnp.stack(rows, 2).reshape(num, 2 * height, 2 * width, -1)


def nearest_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Repeats each pixel 2x2, then convolves 3x3, padding 1; the faster form.

  Args:
    x: [N, H, W, C] float.
    kernel: [3, 3, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  return jax.lax.platform_dependent(
    x, kernel, cpu=nearest_conv_by_phases, default=nearest_conv_plain
  )


def nearest_conv_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `nearest_conv` as it is written, in two steps."""
  x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
  return same_conv.same_conv(x, kernel)


def nearest_conv_by_phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `nearest_conv` as a transposed convolution.

  Of the three pixels that a tap row meets, two are the same one: their taps
  add up.

  Args:
    x: [N, H, W, C] float.
    kernel: [3, 3, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  for axis in (0, 1):
    first, middle, last = jnp.split(kernel, 3, axis)
    kernel = jnp.concatenate([last, middle + last, first + middle, first], axis)
  return transposed_conv_by_phases(x, kernel)
