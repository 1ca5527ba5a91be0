"""The denoiser of codes, a U-Net on a single pixel, as dense layers."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.models import layers

Dtype = Any
# Layers of the down and of the up block.
NUM_DOWN, NUM_UP = 2, 3
_MAX_PERIOD = 1e4
# The published convolutions are 3x3.
_NUM_TAPS = 9


def time_features(t: jax.Array, width: int) -> jax.Array:
  """Encodes steps as cosines, then sines, of falling frequencies.

  Source: `diffusers.models.embeddings.get_timestep_embedding`, cosines first.

  Args:
    t: [N] int, steps of the schedule.
    width: W, even.

  Returns:
    [N, W] float32, [-1, 1].
  """
  half = width // 2
  # In float64: a frequency's rounding error is multiplied by the step.
  frequency = np.exp(-math.log(_MAX_PERIOD) * np.arange(half) / half)
  angle = t.astype(jnp.float32)[:, None] * frequency.astype(np.float32)[None]
  return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)


class ResidualBlock(nn.Module):
  """Two normalised layers with the time in between, added to the input.

  Attributes:
    features: Output channels.
    num_groups: Of the normalisation.
    dtype: Type of the computation.
  """

  features: int
  num_groups: int
  dtype: Dtype

  @nn.compact
  def __call__(self, x: jax.Array, time: jax.Array) -> jax.Array:
    """Maps [N, C] and the time, [N or 1, E], to [N, features] in `dtype`."""
    out = nn.silu(self._norm("norm0")(x))
    out = self._dense("conv0", _NUM_TAPS)(out) + self._dense("time")(time)
    out = nn.silu(self._norm("norm1")(out))
    out = self._dense("conv1", _NUM_TAPS)(out)
    if x.shape[-1] != self.features:
      x = self._dense("shortcut")(x)
    return x + out

  def _dense(self, name, num_taps=1):
    return layers.Dense(self.features, num_taps, self.dtype, name=name)

  def _norm(self, name):
    return layers.GroupNorm(self.num_groups, dtype=self.dtype, name=name)


class Attention(nn.Module):
  """Self-attention of a single token, which is a projection of its value.

  Attributes:
    num_groups: Of the normalisation.
    dtype: Type of the computation.
  """

  num_groups: int
  dtype: Dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, C] to [N, C] in `dtype`."""
    out = layers.GroupNorm(self.num_groups, dtype=self.dtype, name="norm")(x)
    for name in ("value", "out"):
      out = layers.Dense(x.shape[-1], dtype=self.dtype, name=name)(out)
    return x + out


class CodeUNet(nn.Module):
  """Predicts the clean code from a noisy one, given another code as condition.

  The published network works on maps of 1x1 pixel, on which a 3x3 convolution
  only uses its centre tap, and attention over the one token is a projection of
  its value. These dense layers compute the same numbers with a ninth of the
  weights in the convolutions. They start like the published centre taps:
  uniform within 1 / sqrt(9 C) for 3x3 kernels of C input channels, biases too,
  and within 1 / sqrt(C) for the dense layers.

  Source: LatentFace, model_diffusion.py, netEA and netED: UNet2DModel of
  diffusers with one DownBlock2D and one UpBlock2D.
  Differs: no weights that have no effect (other taps, queries, keys).

  Attributes:
    code_dim: D, length of the codes.
    width: W, channels of the hidden layers, even and a multiple of the groups;
      published: 128 for evaluation, 1024 for training.
    num_groups: Groups of the normalisations.
    dtype: Type of the computation. Parameters, statistics of the
      normalisation, time features and output are float32.
  """

  code_dim: int = 256
  width: int = 128
  num_groups: int = 32
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(
    self, noisy: jax.Array, code: jax.Array, t: jax.Array
  ) -> jax.Array:
    """Denoises codes.

    Args:
      noisy: [N, D] float.
      code: [N, D] float, the condition.
      t: [N] int, steps of the schedule; or [1], the same for all, which costs
        less.

    Returns:
      [N, D] float32, what is predicted.

    Raises:
      InputError: A shape or a size does not fit.
    """
    self._check(noisy, code, t)
    time = self._time(t)
    pair = noisy.astype(self.dtype), code.astype(self.dtype)
    x = jnp.concatenate(pair, axis=1)
    x = layers.Dense(self.width, _NUM_TAPS, self.dtype, name="first")(x)
    skips = [x]
    for i in range(NUM_DOWN):
      x = self._block(f"down{i}")(x, time)
      skips.append(x)
    x = self._block("middle0")(x, time)
    x = Attention(self.num_groups, self.dtype, name="attention")(x)
    x = self._block("middle1")(x, time)
    for i in range(NUM_UP):
      x = jnp.concatenate([x, skips.pop()], axis=1)
      x = self._block(f"up{i}")(x, time)
    norm = layers.GroupNorm(self.num_groups, dtype=self.dtype, name="last_norm")
    x = nn.silu(norm(x))
    x = layers.Dense(self.code_dim, _NUM_TAPS, self.dtype, name="last")(x)
    return x.astype(jnp.float32)

  def _block(self, name):
    return ResidualBlock(self.width, self.num_groups, self.dtype, name=name)

  def _time(self, t):
    """Embeds the steps, [N] to [N, 4 W], up to what all blocks share."""
    time = time_features(t, self.width)
    for i in range(2):
      name = f"time{i}"
      time = layers.Dense(4 * self.width, dtype=self.dtype, name=name)(time)
      time = nn.silu(time)
    return time

  def _check(self, noisy, code, t):
    if self.width % 2 or self.width % self.num_groups or self.width < 1:
      raise errors.InputError(
        f"width: expected an even multiple of num_groups={self.num_groups}, "
        f"got {self.width}. Use another width, or other groups."
      )
    errors.check_shape("noisy", noisy, f"N {self.code_dim}")
    num = noisy.shape[0]
    errors.check_shape("code", code, f"{num} {self.code_dim}")
    errors.check_shape("t", t, f"{1 if t.shape == (1,) else num}")
