"""The Laplacian pyramid: a picture as bands of detail, from fine to coarse."""

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.ops import conv


def pyramid(images: jax.Array, num_levels: int) -> list[jax.Array]:
  """Splits images into bands of detail and what is left of them.

  Source: Burt and Adelson, The Laplacian pyramid as a compact image code
    (1983).
  Differs: 2x2 means shrink and bilinear interpolation enlarges, in place of
    the Gaussian of five taps.

  Args:
    images: [N, H, W, C] float, H and W multiples of 2 ** num_levels.
    num_levels: Bands, at least 1.

  Returns:
    `num_levels` bands, the first [N, H, W, C] and each next one of half the
    side, and the coarse rest of half the side of the last band. The images are
    the sum of all, each enlarged to the side before and added.

  Raises:
    InputError: The shape does not fit.
  """
  errors.check_shape("images", images, "N H W C", "Use NHWC.")
  unit = 2**num_levels
  if num_levels < 1 or images.shape[1] % unit or images.shape[2] % unit:
    raise errors.InputError(
      f"images: expected sides that are multiples of {unit} for {num_levels} "
      f"levels, at least one, got {list(images.shape)}."
    )
  parts = []
  for _ in range(num_levels):
    num, height, width, channels = images.shape
    blocks = images.reshape(num, height // 2, 2, width // 2, 2, channels)
    coarse = jnp.mean(blocks, axis=(2, 4))
    parts.append(images - _enlarged(coarse))
    images = coarse
  return [*parts, images]


def _enlarged(coarse):
  """Doubles the sides of [N, H, W, C].

  Of slices a CPU would make one loop for the gradients of all levels, which
  computes the coarse ones again for every pixel; products part it.
  """
  return jax.lax.platform_dependent(
    coarse,
    cpu=conv.upsample_bilinear_2x_by_products,
    default=conv.upsample_bilinear_2x,
  )
