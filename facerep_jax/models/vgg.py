"""The first half of VGG16, whose features compare pictures."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from facerep_jax import errors

Dtype = Any
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Vgg16Features(nn.Module):
  """Features of VGG16 after the last rectifier of its third block, relu3_3.

  Convolutions of 3x3 with padding 1 and a rectifier after each, named conv0
  to conv6 over all blocks; the largest of 2x2 after each block but the last.

  Source: arXiv 1409.1556, table 1, column D; the normalisation of
    `torchvision.models.vgg16`, whose images are those of ImageNet.

  Attributes:
    widths: Channels of each convolution of each block.
    dtype: Type of the computation; parameters are float32.
  """

  widths: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256, 256))
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images11: jax.Array) -> jax.Array:
    """Computes the features.

    Args:
      images11: [N, S, S, 3] float, [-1, 1], S a multiple of 4 (of 2 to the
        number of blocks less one).

    Returns:
      [N, S / 4, S / 4, D] float32, not negative.

    Raises:
      InputError: The shape does not fit.
    """
    errors.check_shape("images11", images11, "N S S 3", "Use NHWC.")
    cell = 2 ** (len(self.widths) - 1)
    if images11.shape[1] % cell:
      raise errors.InputError(
        f"images11: expected a side that is a multiple of {cell} px, got "
        f"{images11.shape[1]}. Resize the images."
      )
    x = _normalise(images11)
    count = 0
    for i, block in enumerate(self.widths):
      x = _largest_of_four(x) if i else x
      for features in block:
        x = nn.Conv(
          features, (3, 3), padding=1, dtype=self.dtype, name=f"conv{count}"
        )(x)
        x, count = nn.relu(x), count + 1
    return x.astype(jnp.float32)


def _normalise(images11: jax.Array) -> jax.Array:
  """Brings the mean and deviation of ImageNet's channels to 0 and 1."""
  mean, std = (
    jnp.asarray(x, jnp.float32).reshape(1, 1, 1, 3) for x in (_MEAN, _STD)
  )
  images01 = images11.astype(jnp.float32) / 2 + 0.5
  return (images01 - mean) / std


def _largest_of_four(x: jax.Array) -> jax.Array:
  """Halves height and width of [N, H, W, C], keeping the largest of 2x2.

  Where values tie, they share the gradient; torch gives it to the first. The
  values here are rectified, and those that tie are all but always zeros,
  which pass no gradient on.
  """
  num, height, width, channels = x.shape
  x = x.reshape(num, height // 2, 2, width // 2, 2, channels)
  x = jnp.maximum(x[:, :, 0], x[:, :, 1])
  return jnp.maximum(x[:, :, :, 0], x[:, :, :, 1])
