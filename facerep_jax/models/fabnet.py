"""FAb-Net: an encoder of face attributes, learned by warping frames."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.models import layers
from facerep_jax.ops import warp

Dtype = Any
MIN_SIZE = 32


def channel_scales(size: int) -> tuple[int, ...]:
  """Channels of the encoder's layers but the last, in units of the width.

  Args:
    size: Side of the images in pixels, a power of two from 32.

  Returns:
    log2(size) - 1 numbers: 1, 2, 4, then 8 for all the rest.

  Raises:
    InputError: The size is not a power of two, or below 32.
  """
  num_layers = size.bit_length() - 1
  if size < MIN_SIZE or size != 1 << num_layers:
    raise errors.InputError(
      f"size: expected a power of two from {MIN_SIZE}, got {size}. "
      "Resize the frames, to 64 or 256 for example."
    )
  return (1, 2, 4) + (8,) * (num_layers - 4)


class Encoder(nn.Module):
  """Encodes each face frame to one vector with stride-2 convolutions.

  Source: models_multiview.py, FrontaliseModelMasks_wider, encoder.

  Attributes:
    size: Side of the frames in pixels.
    width: Channels after the first convolution; they grow to 8 * width.
    embed_dim: D, length of the code.
    dtype: Type of the computation.
    norm_groups: Groups of rows, see `layers.BatchNorm`.
  """

  size: int
  width: int
  embed_dim: int
  dtype: Dtype = jnp.float32
  norm_groups: int = 1

  @nn.compact
  def __call__(
    self, images01: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Maps [N, H, W, 3] float, [0, 1], to code and feature map.

    Returns:
      [N, D] float32, and the map of four by four places that the last two
      layers make it of, [N, 4, 4, C] in `dtype`; C is 8 * width, or 4 * width
      for frames of 32 px.
    """
    errors.check_shape(
      "images01", images01, f"N {self.size} {self.size} 3", "Use NHWC."
    )
    x = images01
    scales = channel_scales(self.size)
    for i, scale in enumerate(scales):
      x = layers.DownsampleConv(
        scale * self.width, self.dtype, name=f"conv{i}"
      )(x)
      if i:
        x = layers.BatchNorm(
          num_groups=self.norm_groups, dtype=self.dtype, name=f"norm{i}"
        )(x, train=train)
      x = nn.leaky_relu(x, 0.2)
      if x.shape[1] == 4:
        feature_map = x
    x = layers.DownsampleConv(
      self.embed_dim, self.dtype, name=f"conv{len(scales)}"
    )(x)
    return x[:, 0, 0].astype(jnp.float32), feature_map


class Decoder(nn.Module):
  """Decodes a pair of codes to a map as large as the frames.

  Source: models_multiview.py, FrontaliseModelMasks_wider, decoder and mask.

  Attributes:
    size: Side of the map in pixels.
    width: Channels before the last convolution.
    features: Channels of the map.
    align_corners: Kind of the upsampling, see
      `conv.upsample_bilinear_2x`.
    dtype: Type of the computation.
    norm_groups: Groups of rows, see `layers.BatchNorm`.
  """

  size: int
  width: int
  features: int
  align_corners: bool = False
  dtype: Dtype = jnp.float32
  norm_groups: int = 1

  @nn.compact
  def __call__(self, codes: jax.Array, *, train: bool) -> jax.Array:
    """Maps [N, 2 D] float to [N, H, W, features] float32, [-1, 1]."""
    x = codes[:, None, None].astype(self.dtype)
    scales = channel_scales(self.size)
    for i, scale in enumerate(reversed(scales)):
      x = layers.UpsampleConv(
        scale * self.width, self.align_corners, self.dtype, name=f"conv{i}"
      )(nn.relu(x))
      x = layers.BatchNorm(
        num_groups=self.norm_groups, dtype=self.dtype, name=f"norm{i}"
      )(x, train=train)
    x = layers.UpsampleConv(
      self.features, self.align_corners, self.dtype, name=f"conv{len(scales)}"
    )(nn.relu(x))
    return jnp.tanh(x.astype(jnp.float32))


def _blend(attention, warped):
  """Puts one image [B, H, W, 3] together from those of S sources."""
  if warped.shape[1] == 1:
    # Attention is one and its gradient zero; written so, the compiler can
    # leave out the backward pass of the mask decoder.
    return warped[:, 0]
  return jnp.sum(attention[..., None] * warped, axis=1)


class FabNet(nn.Module):
  """Rebuilds a target frame by warping source frames of the same track.

  Source: arXiv:1808.06882, section 3; models_multiview.py,
  FrontaliseModelMasks_wider.

  Attributes:
    size: Side of the frames in pixels, a power of two from 32. The extra or
      missing layers of other sizes than 256 are those of 8 * width channels.
    width: Channels of the layer next to the pixels.
    embed_dim: D, length of the code.
    align_corners: Convention of the sampler, see `ops.warp`.
    upsample_align_corners: Kind of the decoders' upsampling, see
      `conv.upsample_bilinear_2x`.
    dtype: Type of the computation. Parameters, statistics of the
      normalisation, sampling coordinates and outputs are float32.
    norm_groups: Groups of rows, see `layers.BatchNorm`.
  """

  size: int = 256
  width: int = 32
  embed_dim: int = 256
  align_corners: bool = True
  upsample_align_corners: bool = False
  dtype: Dtype = jnp.float32
  norm_groups: int = 1

  def setup(self):
    """Names the three parts, the top level of the parameters."""
    up, last = self.upsample_align_corners, (self.dtype, self.norm_groups)
    self.encoder = Encoder(self.size, self.width, self.embed_dim, *last)
    self.flow_decoder = Decoder(self.size, self.width, 2, up, *last)
    self.mask_decoder = Decoder(self.size, self.width, 1, up, *last)

  def encode(self, images01: jax.Array, *, train: bool) -> jax.Array:
    """Encodes frames.

    Args:
      images01: [N, H, W, 3] float, [0, 1].
      train: Whether batch normalisation uses the statistics of these frames.

    Returns:
      [N, D] float32.
    """
    return self.encoder(images01, train=train)[0]

  def represent(
    self, images01: jax.Array, *, train: bool
  ) -> dict[str, jax.Array]:
    """Computes features of frames.

    Args:
      images01: As for `encode`.
      train: Likewise.

    Returns:
      `embedding` [N, D] float32, the code; `spatial` [N, 16 C + D] float32,
      the encoder's last map of four by four places, and the code.
    """
    code, feature_map = self.encoder(images01, train=train)
    local = feature_map.reshape(code.shape[0], -1).astype(jnp.float32)
    return {
      "embedding": code,
      "spatial": jnp.concatenate([local, code], axis=-1),
    }

  def __call__(
    self,
    target: jax.Array,
    sources: jax.Array,
    *,
    train: bool,
    use_mask: bool = True,
  ) -> dict[str, jax.Array]:
    """Rebuilds each target from its sources.

    Running statistics move once per call of a part: target first, then each
    source in order.

    Args:
      target: [B, H, W, 3] float, [0, 1].
      sources: [B, S, H, W, 3] float, [0, 1].
      train: Whether batch normalisation uses, and records, the statistics of
        each call.
      use_mask: Whether to run the mask decoder. With one source it has no
        effect on the image, and False saves its work; the statistics of its
        normalisation then stay as they are and `mask_logits` is zero.

    Returns:
      A dict, all float32: `image` [B, H, W, 3]; `warped` [B, S, H, W, 3];
      `flow_ndc` [B, S, H, W, 2], the offset from the identity grid, x before
      y; `mask_logits` and `attention` [B, S, H, W]; `target_code` [B, D];
      `source_codes` [B, S, D].

    Raises:
      InputError: A shape does not fit, or `use_mask` is False with several
        sources.
    """
    self._check(target, sources, use_mask)
    num_sources = sources.shape[1]
    target_code = self.encode(target, train=train)
    codes = [
      self.encode(sources[:, s], train=train) for s in range(num_sources)
    ]
    flows, masks = [], []
    for code in codes:
      pair = jnp.concatenate([code, target_code], axis=-1)
      flows.append(self.flow_decoder(pair, train=train))
      if use_mask or self.is_initializing():
        masks.append(self.mask_decoder(pair, train=train)[..., 0])
      else:
        masks.append(jnp.zeros_like(flows[-1][..., 0]))
    flow_ndc = jnp.stack(flows, axis=1)
    mask_logits = jnp.stack(masks, axis=1)
    warped = self._warp(sources, flow_ndc)
    attention = nn.softmax(mask_logits, axis=1)
    return {
      "image": _blend(attention, warped),
      "warped": warped,
      "flow_ndc": flow_ndc,
      "mask_logits": mask_logits,
      "attention": attention,
      "target_code": target_code,
      "source_codes": jnp.stack(codes, axis=1),
    }

  def _check(self, target: jax.Array, sources: jax.Array, use_mask: bool):
    """Raises InputError for what `__call__` cannot take."""
    frame = f"{self.size} {self.size} 3"
    errors.check_shape("target", target, f"B {frame}")
    errors.check_shape("sources", sources, f"{target.shape[0]} S {frame}")
    if sources.shape[1] > 1 and not use_mask:
      raise errors.InputError(
        f"use_mask: expected True with {sources.shape[1]} sources, got False. "
        "Only a single source can do without the mask decoder."
      )

  def _warp(self, sources: jax.Array, flow_ndc: jax.Array) -> jax.Array:
    """Samples each source [B, S, H, W, 3] at the identity grid plus flow."""
    identity = warp.identity_grid_ndc(self.size, self.size)
    grid = jnp.clip(identity[None, None] + flow_ndc, -1.0, 1.0)
    flat = warp.bilinear_sample(
      sources.astype(jnp.float32).reshape(-1, *sources.shape[2:]),
      grid.reshape(-1, *grid.shape[2:]),
      align_corners=self.align_corners,
    )
    return flat.reshape(sources.shape)
