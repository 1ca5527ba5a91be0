"""A decoder of maps that enlarges by interpolation."""

from typing import Any

import flax.linen as nn
import jax

from facerep_jax import errors
from facerep_jax.models import layers
from facerep_jax.ops import conv

Dtype = Any
_FIRST_PX = 4


class ResizeDecoder(nn.Module):
  """Decodes a code to a map with bilinear enlargements and 3x3 convolutions.

  Transposed convolutions leave a grid in what they draw, because neighbouring
  pixels meet different taps. Here every pixel meets the same ones.

  Source: Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts
    (2016).

  Attributes:
    size_px: S, side of the map, a power of two from 8.
    width: Channels at the two greatest sides; 8 * width at the smallest.
    out_channels: Channels of the map.
    dtype: Type of the computation.
    num_groups: In which `width` channels are normalised; wider layers have as
      many more.
    resampled_from_px: Side of the last convolution, a power of two from 8 to S;
      from there on the map is only enlarged. A smooth map needs no more.
  """

  size_px: int
  width: int
  out_channels: int
  dtype: Dtype
  num_groups: int
  resampled_from_px: int

  @nn.compact
  def __call__(self, code: jax.Array) -> jax.Array:
    """Maps [N, D] float to [N, S, S, out_channels] in `dtype`.

    Raises:
      InputError: A side is no power of two, or too small.
    """
    _check(self.size_px, self.resampled_from_px)
    seed = layers.FromVector(8 * self.width, self.dtype, name="seed")
    x = nn.relu(seed(code))
    side = _FIRST_PX
    while side < self.resampled_from_px:
      side *= 2
      scale = max(1, min(4, self.size_px // (2 * side)))
      up = layers.UpsampleConv(
        scale * self.width, dtype=self.dtype, name=f"up{side}"
      )
      norm = layers.GroupNorm(
        scale * self.num_groups, dtype=self.dtype, name=f"norm{side}"
      )
      x = nn.relu(norm(up(x)))
    out = layers.Conv(self.out_channels, 3, dtype=self.dtype, name="out")
    x = out(x)
    while side < self.size_px:
      x, side = conv.upsample_bilinear_2x(x), 2 * side
    return x


def _check(size_px, resampled_from_px):
  for name, side in (
    ("size_px", size_px),
    ("resampled_from_px", resampled_from_px),
  ):
    if side < 2 * _FIRST_PX or side & (side - 1) or side > size_px:
      raise errors.InputError(
        f"{name}: expected a power of two from {2 * _FIRST_PX} to {size_px}, "
        f"got {side}."
      )
