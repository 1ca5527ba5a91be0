"""Resampling of images by fixed factors."""

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors


def upsample_bilinear_2x(
  x: jax.Array, *, align_corners: bool = False
) -> jax.Array:
  """Doubles height and width by bilinear interpolation.

  Source: `torch.nn.Upsample(scale_factor=2, mode="bilinear")`, whose default
  was the aligned-corner kind before PyTorch 0.4.

  Args:
    x: [N, H, W, C] float.
    align_corners: Whether the corner pixels keep their place; otherwise
      sample positions are pixel centres and the edge is clamped.

  Returns:
    [N, 2 H, 2 W, C] in the type of `x`.

  Raises:
    InputError: `x` does not have four axes.
  """
  errors.check_shape("x", x, "N H W C", "Use NHWC.")
  if align_corners:
    for axis in (1, 2):
      x = _double_aligned(x, axis)
    return x
  for axis in (1, 2):
    x = _double_centred(x, axis)
  return x


def _double_centred(x: jax.Array, axis: int) -> jax.Array:
  """Doubles one axis: weights 3/4 and 1/4, the edge clamped."""
  size = x.shape[axis]
  first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
  last = jax.lax.slice_in_dim(x, size - 1, size, axis=axis)
  before = jnp.concatenate(
    [first, jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis
  )
  after = jnp.concatenate(
    [jax.lax.slice_in_dim(x, 1, size, axis=axis), last], axis
  )
  pairs = jnp.stack(
    [0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1
  )
  shape = list(x.shape)
  shape[axis] = 2 * size
  return pairs.reshape(shape)


def _double_aligned(x: jax.Array, axis: int) -> jax.Array:
  """Doubles one axis, first and last pixel in place."""
  size = x.shape[axis]
  index = np.arange(2 * size)[:, None]
  position = index * ((size - 1) / (2 * size - 1))
  hat = np.maximum(0, 1 - np.abs(position - np.arange(size)[None]))
  hat = jnp.asarray(hat, x.dtype)
  out = jnp.tensordot(hat, x, axes=(1, axis), precision="highest")
  return jnp.moveaxis(out, 0, axis)
