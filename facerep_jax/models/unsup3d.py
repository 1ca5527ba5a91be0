"""The five networks of the 3D-aware autoencoder."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.models import layers, resize_decoder

Dtype = Any
MIN_SIZE_PX = 64
# Of the outermost layers in the published code, whose width is 64.
NUM_GROUPS = 16


def num_extra_stages(size_px: int) -> int:
  """Counts the stages that images above 64 px add to each network.

  Args:
    size_px: Side of the images, 64 times a power of two.

  Returns:
    0 for 64 px, 1 for 128, 2 for 256 and so on.

  Raises:
    InputError: The size is another one.
  """
  extra = size_px.bit_length() - MIN_SIZE_PX.bit_length()
  if extra < 0 or size_px != MIN_SIZE_PX << extra:
    raise errors.InputError(
      f"size_px: expected {MIN_SIZE_PX} or that times a power of two, got "
      f"{size_px}. Resize the images, to 64 or 128 for example."
    )
  return extra


class Encoder(nn.Module):
  """Encodes images with stride-2 convolutions, then one over all that is left.

  Attributes:
    size_px: Side of the images.
    width: Channels after the first convolution; they grow to 8 * width.
    code_dim: D, length of the code.
    use_norm: Whether the first three convolutions are normalised.
    slope: Of the activation below zero; the code's own is ReLU.
    dtype: Type of the computation.
    num_groups: As of the network.
  """

  size_px: int
  width: int
  code_dim: int
  use_norm: bool
  slope: float
  dtype: Dtype
  num_groups: int = NUM_GROUPS

  @nn.compact
  def __call__(self, images11: jax.Array) -> jax.Array:
    """Maps [N, S, S, 3] float, [-1, 1], to [N, D] in `dtype`."""
    extra = num_extra_stages(self.size_px)
    errors.check_shape(
      "images11", images11, f"N {self.size_px} {self.size_px} 3", "Use NHWC."
    )
    x = images11
    for i, scale in enumerate((1, 2, 4, 8) + (8,) * extra):
      x = layers.Conv(
        scale * self.width, 4, 2, dtype=self.dtype, name=f"conv{i}"
      )(x)
      if self.use_norm and i < 3:
        x = layers.GroupNorm(
          scale * self.num_groups, dtype=self.dtype, name=f"norm{i}"
        )(x)
      x = nn.leaky_relu(x, self.slope)
    x = layers.ToVector(self.code_dim, self.dtype, name="code")(x)
    return nn.relu(x)


class MapDecoder(nn.Module):
  """Decodes a code to a map as large as the images.

  Attributes:
    size_px: S, side of the map.
    width: Channels before the last convolution.
    out_channels: Channels of the map.
    dtype: Type of the computation.
    num_groups: As of the network.
  """

  size_px: int
  width: int
  out_channels: int
  dtype: Dtype
  num_groups: int

  @nn.compact
  def __call__(self, code: jax.Array) -> jax.Array:
    """Maps [N, D] float to [N, S, S, out_channels] in `dtype`."""
    extra = num_extra_stages(self.size_px)
    width = self.width
    x = nn.relu(layers.FromVector(8 * width, self.dtype, name="seed")(code))
    x = nn.relu(self._conv(8 * width, 3, "conv0")(x))
    for i, scale in enumerate((4,) + (4,) * extra + (2, 1), 1):
      up = layers.TransposedConv(scale * width, self.dtype, name=f"up{i}")
      x = nn.relu(self._norm(scale, f"up_norm{i}")(up(x)))
      conv = self._conv(scale * width, 3, f"conv{i}")
      x = nn.relu(self._norm(scale, f"norm{i}")(conv(x)))
    last_up = layers.NearestConv(width, self.dtype, name="last_up")
    x = nn.relu(self._norm(1, "last_up_norm")(last_up(x)))
    x = nn.relu(self._norm(1, "last_norm")(self._conv(width, 5, "last")(x)))
    return self._conv(self.out_channels, 5, "out")(x)

  def _conv(self, features, size, name):
    """A convolution that keeps the size of the map."""
    return layers.Conv(features, size, dtype=self.dtype, name=name)

  def _norm(self, scale, name):
    """The normalisation of scale * width channels."""
    groups = scale * self.num_groups
    return layers.GroupNorm(groups, dtype=self.dtype, name=name)


class MapNet(nn.Module):
  """Predicts a map, the depth or the albedo of a face, through a code.

  Source: Unsup3D (Wu, Rupprecht, Vedaldi, CVPR 2020), networks.py, EDDeconv.
  Differs: the extra stages of images above 128 px have weights of their own.

  Attributes:
    size_px: S, side of images and map, 64 times a power of two.
    width: Channels of the layers next to the pixels, a multiple of
      `num_groups`.
    code_dim: D, length of the code.
    out_channels: 1 for depth, 3 for albedo.
    use_tanh: Whether the map goes through tanh, as albedo does.
    dtype: Type of the computation. Parameters, statistics of the
      normalisation and outputs are float32.
    num_groups: In which the layers next to the pixels are normalised; wider
      layers have as many more. With as many as channels, what is left of a
      picture's colours is their differences from place to place.
    decoder_kind: "transposed", the published one; or "resize", see
      `resize_decoder.ResizeDecoder`.
    resampled_from_px: Of the "resize" decoder; 0 for `size_px`.
  """

  size_px: int = 64
  width: int = 64
  code_dim: int = 256
  out_channels: int = 1
  use_tanh: bool = False
  dtype: Dtype = jnp.float32
  num_groups: int = NUM_GROUPS
  decoder_kind: str = "transposed"
  resampled_from_px: int = 0

  def setup(self):
    """Names the two parts, the top level of the parameters."""
    _check_width(self.width, self.num_groups)
    sizes = (self.size_px, self.width)
    self.encoder = Encoder(
      *(*sizes, self.code_dim, True, 0.2, self.dtype, self.num_groups)
    )
    rest = (self.out_channels, self.dtype, self.num_groups)
    if self.decoder_kind == "resize":
      self.decoder = resize_decoder.ResizeDecoder(
        *sizes, *rest, self.resampled_from_px or self.size_px
      )
    else:
      self.decoder = MapDecoder(*sizes, *rest)

  def __call__(self, images11: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Predicts the code and the map.

    Args:
      images11: [N, S, S, 3] float, [-1, 1].

    Returns:
      [N, D] float32, non-negative, and [N, S, S, out_channels] float32.

    Raises:
      InputError: The size, the width or the shape does not fit.
    """
    code = self.encode(images11)
    return code, self.decode(code)

  def encode(self, images11: jax.Array) -> jax.Array:
    """Maps [N, S, S, 3] float, [-1, 1], to the code [N, D] float32."""
    return self.encoder(images11).astype(jnp.float32)

  def decode(self, code: jax.Array) -> jax.Array:
    """Maps [N, D] float to the map [N, S, S, out_channels] float32."""
    errors.check_shape("code", code, f"N {self.code_dim}")
    out = self.decoder(code).astype(jnp.float32)
    return jnp.tanh(out) if self.use_tanh else out


class VectorNet(nn.Module):
  """Predicts a few numbers in (-1, 1), light or viewpoint.

  Source: Unsup3D, networks.py, Encoder.
  Differs: the extra stages of images above 128 px have weights of their own.

  Attributes:
    size_px: S, side of the images, 64 times a power of two.
    width: Channels after the first convolution; they grow to 8 * width.
    num_out: 4 for light, 6 for viewpoint.
    hidden_dim: Length of the last hidden vector.
    dtype: Type of the computation. Parameters and output are float32.
  """

  size_px: int = 64
  width: int = 32
  num_out: int = 4
  hidden_dim: int = 256
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, images11: jax.Array) -> jax.Array:
    """Predicts the numbers.

    Args:
      images11: [N, S, S, 3] float, [-1, 1].

    Returns:
      [N, num_out] float32, (-1, 1).

    Raises:
      InputError: The size or the shape does not fit.
    """
    x = Encoder(
      self.size_px,
      self.width,
      self.hidden_dim,
      False,
      0.0,
      self.dtype,
      name="encoder",
    )(images11)
    x = layers.ToVector(self.num_out, self.dtype, name="out")(x[:, None, None])
    return jnp.tanh(x.astype(jnp.float32))


class ConfidenceNet(nn.Module):
  """Predicts how far to trust each pixel and each feature.

  Source: Unsup3D, networks.py, ConfNet.
  Differs: the extra stages of images above 128 px have weights of their own.

  Attributes:
    size_px: S, side of the images, 64 times a power of two.
    width: Channels of the layers next to the pixels, a multiple of
      `num_groups`.
    code_dim: Length of the code.
    dtype: Type of the computation. Parameters, statistics of the
      normalisation and outputs are float32.
    num_groups: As of `MapNet`.
  """

  size_px: int = 64
  width: int = 64
  code_dim: int = 128
  dtype: Dtype = jnp.float32
  num_groups: int = NUM_GROUPS

  @nn.compact
  def __call__(self, images11: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Predicts both pairs of maps; channel 0 is for images, 1 for mirrors.

    Args:
      images11: [N, S, S, 3] float, [-1, 1].

    Returns:
      [N, S, S, 2] and [N, S / 4, S / 4, 2] float32, positive.

    Raises:
      InputError: The size, the width or the shape does not fit.
    """
    _check_width(self.width, self.num_groups)
    width, dtype = self.width, self.dtype
    sizes = (self.size_px, width, self.code_dim)
    x = Encoder(*sizes, True, 0.2, dtype, self.num_groups, name="encoder")(
      images11
    )
    x = nn.relu(layers.FromVector(8 * width, dtype, name="seed")(x))
    extra = num_extra_stages(self.size_px)
    for i, scale in enumerate((4,) + (4,) * extra + (2,), 1):
      x = self._up(x, scale, i)
    quarter = layers.Conv(2, 3, dtype=dtype, name="out_quarter")(x)
    for i in (1, 2):
      x = self._up(x, 1, extra + 2 + i)
    full = layers.Conv(2, 5, dtype=dtype, name="out_full")(x)
    return tuple(nn.softplus(y.astype(jnp.float32)) for y in (full, quarter))

  def _up(self, x, scale, i):
    """Doubles the resolution."""
    x = layers.TransposedConv(scale * self.width, self.dtype, name=f"up{i}")(x)
    groups = scale * self.num_groups
    return nn.relu(
      layers.GroupNorm(groups, dtype=self.dtype, name=f"norm{i}")(x)
    )


def _check_width(width: int, num_groups: int) -> None:
  """Raises InputError unless the channels divide into the groups."""
  if width < 1 or num_groups < 1 or width % num_groups:
    raise errors.InputError(
      f"width: expected a multiple of {num_groups}, the number of groups that "
      f"the narrowest layer is normalised in, got {width}."
    )
