"""Convolutions that keep the size, with a gradient that suits CPUs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def same_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves with stride 1 and zeros around, so that the size stays.

  Only reverse-mode derivatives exist. That to the kernel is made of matrix
  products on CPUs: the platform's form of it, a convolution whose kernel is as
  large as the image, took one and a half to three times as long there.

  Args:
    x: [N, H, W, C] float.
    kernel: [k, k, C, D] in the type of `x`, k odd.

  Returns:
    [N, H, W, D] in the type of `x`.
  """
  return _plain(x, kernel)


def _plain(x, kernel):
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT
  )


def _forward(x, kernel):
  return _plain(x, kernel), (x, kernel)


def _backward(kept, grad):
  x, kernel = kept
  _, to_x = jax.vjp(lambda x: _plain(x, kernel), x)
  to_kernel = jax.lax.platform_dependent(
    x, kernel, grad, cpu=_by_products, default=_by_platform
  )
  return to_x(grad)[0], to_kernel


same_conv.defvjp(_forward, _backward)


def _by_platform(x, kernel, grad):
  _, to_kernel = jax.vjp(lambda kernel: _plain(x, kernel), kernel)
  return to_kernel(grad)[0]


def _by_products(x, kernel, grad):
  """Computes the gradient to the kernel as a product for each of its rows.

  Shifted copies of one of the maps lie behind each other, of that with fewer
  channels, as they have to be made. All of them at once would take much memory.
  """
  size, _, channels, features = kernel.shape
  rows = []
  for row in range(size):
    if channels <= features:
      patches = _shifted(x, size, row, range(size))
      out = patches.T @ grad.reshape(-1, features)
      rows.append(out.reshape(size, channels, features))
    else:
      columns = range(size - 1, -1, -1)
      patches = _shifted(grad, size, size - 1 - row, columns)
      out = x.reshape(-1, channels).T @ patches
      out = out.reshape(channels, size, features)
      rows.append(out.transpose(1, 0, 2))
  return jnp.stack(rows)


def _shifted(x: jax.Array, size: int, row: int, columns: Sequence[int]):
  """Returns [N H W, k C]: maps shifted by some places of a padded one."""
  num, height, width, channels = x.shape
  pad = (size // 2, size // 2)
  x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))[:, row : row + height]
  parts = [x[:, :, column : column + width] for column in columns]
  return jnp.concatenate(parts, axis=-1).reshape(
    num * height * width, len(columns) * channels
  )
