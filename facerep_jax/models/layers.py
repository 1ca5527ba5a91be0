"""Layers with the constants and the initial values of their torch kin."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import errors as flax_errors

from facerep_jax import errors
from facerep_jax.models import initial
from facerep_jax.ops import conv as conv_ops
from facerep_jax.ops import group_norm, same_conv, transposed_conv

Dtype = Any


class DownsampleConv(nn.Module):
  """4x4 convolution with stride 2 and padding 1.

  Attributes:
    features: Output channels.
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] float to [N, H / 2, W / 2, features]."""
    kernel, bias = conv_params(self, 4, x.shape[-1], self.features)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    return conv_ops.downsample_conv(x, kernel) + _row(bias, 4)


class UpsampleConv(nn.Module):
  """Bilinear upsampling by two, then a 3x3 convolution with padding 1.

  Attributes:
    features: Output channels.
    align_corners: Kind of the upsampling, see
      `conv.upsample_bilinear_2x`.
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  align_corners: bool = False
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] float to [N, 2 H, 2 W, features]."""
    kernel, bias = conv_params(self, 3, x.shape[-1], self.features)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    out = conv_ops.upsample_conv(x, kernel, align_corners=self.align_corners)
    return out + _row(bias, 4)


class Conv(nn.Module):
  """Convolution without bias that keeps the size, or halves it.

  Attributes:
    features: Output channels.
    size: Side of the kernel; odd for stride 1, 4 for stride 2.
    stride: 1 or 2.
    dtype: Type of the computation; the kernel is float32.
  """

  features: int
  size: int
  stride: int = 1
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] float to [N, H / stride, W / stride, features]."""
    shape = (self.size, self.size, x.shape[-1], self.features)
    x, kernel = _kernel(self, x, shape)
    if self.stride == 2:
      return conv_ops.downsample_conv(x, kernel)
    return same_conv.same_conv(x, kernel)


class TransposedConv(nn.Module):
  """4x4 transposed convolution with stride 2, padding 1 and no bias.

  Attributes:
    features: Output channels.
    dtype: Type of the computation; the kernel is float32.
  """

  features: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] float to [N, 2 H, 2 W, features]."""
    shape = (4, 4, x.shape[-1], self.features)
    x, kernel = _kernel(self, x, shape, is_transposed=True)
    return transposed_conv.transposed_conv(x, kernel)


class NearestConv(nn.Module):
  """Repeats each pixel 2x2, then 3x3 convolution, padding 1 and no bias.

  Attributes:
    features: Output channels.
    dtype: Type of the computation; the kernel is float32.
  """

  features: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] float to [N, 2 H, 2 W, features]."""
    x, kernel = _kernel(self, x, (3, 3, x.shape[-1], self.features))
    return transposed_conv.nearest_conv(x, kernel)


class ToVector(nn.Module):
  """Convolution over a whole map without padding or bias: a vector.

  Attributes:
    features: D, length of the vector.
    dtype: Type of the computation; the kernel is float32.
  """

  features: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] float to [N, D]."""
    x, kernel = _kernel(self, x, (*x.shape[1:], self.features))
    return x.reshape(x.shape[0], -1) @ kernel.reshape(-1, self.features)


class FromVector(nn.Module):
  """4x4 transposed convolution of a single pixel, no padding or bias: a map.

  Attributes:
    features: Output channels.
    dtype: Type of the computation; the kernel is float32.
  """

  features: int
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, C] float to [N, 4, 4, features]."""
    shape = (4, 4, x.shape[-1], self.features)
    x, kernel = _kernel(self, x, shape, is_transposed=True)
    out = x @ kernel.transpose(2, 0, 1, 3).reshape(x.shape[-1], -1)
    return out.reshape(-1, 4, 4, self.features)


class Dense(nn.Module):
  """Dense layer; or a convolution of a single pixel, which is the same.

  Of a 3x3 kernel with padding 1 a single pixel only ever meets the centre tap;
  the others count in the initial values alone.

  Source: `torch.nn.Linear` and `torch.nn.Conv2d`: weights and biases start
  uniform within 1 / sqrt(fan_in), the fan-in being the channels times the taps
  of the whole kernel.

  Attributes:
    features: Output channels.
    num_taps: Of the convolution's kernel: 9 for 3x3.
    dtype: Type of the computation; parameters are float32.
  """

  features: int
  num_taps: int = 1
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, C] float to [N, features]."""
    channels = x.shape[-1]
    bound = (self.num_taps * channels) ** -0.5
    kernel = parameter(
      self, "kernel", initial.uniform, (channels, self.features), bound
    )
    bias = parameter(self, "bias", initial.uniform, (self.features,), bound)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    return x @ kernel + _row(bias, x.ndim)


class GroupNorm(nn.Module):
  """Group normalisation, groups of neighbouring channels.

  Source: `torch.nn.GroupNorm`.

  Attributes:
    num_groups: A divisor of the number of channels.
    epsilon: Added to the variance.
    dtype: Type of the output; statistics and parameters are float32.
  """

  num_groups: int
  epsilon: float = 1e-5
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises [N, H, W, C] or [N, C] float; gives `dtype`."""
    shape = x.shape[-1:]
    scale = parameter(self, "scale", nn.initializers.ones, shape)
    bias = parameter(self, "bias", nn.initializers.zeros, shape)
    out = group_norm.group_norm(
      x.astype(jnp.float32), scale, bias, self.num_groups, self.epsilon
    )
    return out.astype(self.dtype)


class BatchNorm(nn.Module):
  """Batch normalisation over all axes but the last.

  Under jit, over a batch that is sharded on a mesh, the statistics are those
  of the whole batch, or of each group of rows. Where a group is what the
  devices of a slice hold, no statistics pass between slices.

  Source: `torch.nn.BatchNorm2d`: biased variance to normalise, unbiased
  variance in the running average.
  Differs: flax's module keeps the biased variance.

  Attributes:
    momentum: Weight of the new statistics in the running ones.
    epsilon: Added to the variance.
    num_groups: Groups of neighbouring rows, each normalised by its own
      statistics in training; running ones take the mean over groups.
    dtype: Type of the output; statistics and parameters are float32.
  """

  momentum: float = 0.1
  epsilon: float = 1e-5
  num_groups: int = 1
  dtype: Dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Normalises [..., C] float.

    Args:
      x: [..., C] float.
      train: Whether to use, and to record, the statistics of `x`.

    Returns:
      [..., C] in `dtype`.

    Raises:
      InputError: Training with one value per channel, in a group, or with rows
        that do not divide among the groups.
    """
    shape = x.shape[-1:]
    scale = parameter(self, "scale", nn.initializers.ones, shape)
    bias = parameter(self, "bias", nn.initializers.zeros, shape)
    mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    var = self.variable("batch_stats", "var", jnp.ones, shape)
    x = x.astype(jnp.float32)
    if not train:
      factor = scale * jax.lax.rsqrt(var.value + self.epsilon)
      return _affine(x, mean.value, factor, bias).astype(self.dtype)
    num = self._count(x)
    out, batch_mean, batch_var = self._normalise(x, scale, bias)
    if not self.is_initializing():
      keep, unbiased = 1 - self.momentum, batch_var * (num / (num - 1))
      mean.value = keep * mean.value + self.momentum * batch_mean
      var.value = keep * var.value + self.momentum * unbiased
    return out.astype(self.dtype)

  def _normalise(self, x, scale, bias):
    """Returns [N, ..., C], and the statistics [C] that go into the running."""

    def normalise(x):
      mean, var = _mean_and_variance(x)
      factor = scale * jax.lax.rsqrt(var + self.epsilon)
      return _affine(x, mean, factor, bias), mean, var

    if self.num_groups == 1:
      return normalise(x)
    groups = x.reshape(self.num_groups, -1, *x.shape[1:])
    out, mean, var = jax.vmap(normalise)(groups)
    return out.reshape(x.shape), mean.mean(0), var.mean(0)

  def _count(self, x):
    """Returns the values per channel of a group."""
    place = "/".join(self.path)
    if x.shape[0] % self.num_groups:
      raise errors.InputError(
        f"{place}: a batch of {x.shape[0]} does not divide among "
        f"{self.num_groups} groups of batch normalisation. Use a multiple."
      )
    num = x.size // x.shape[-1] // self.num_groups
    if num == 1:
      raise errors.InputError(
        f"{place}: batch normalisation in training needs more than one value "
        f"per channel, got {list(x.shape)} for {self.num_groups} group(s). Use "
        "a larger batch."
      )
    return num


def _mean_and_variance(x):
  """Returns mean and biased variance [C] of [..., C]."""
  axes = tuple(range(x.ndim - 1))
  mean = x.mean(axes)
  return mean, jnp.square(x - _row(mean, x.ndim)).mean(axes)


def _affine(x, mean, factor, bias):
  """Maps [..., C] by the statistics and parameters [C] of its channels."""
  ndim = x.ndim
  return (x - _row(mean, ndim)) * _row(factor, ndim) + _row(bias, ndim)


def parameter(
  module: nn.Module,
  name: str,
  init: Callable[..., jax.Array],
  shape: tuple[int, ...],
  *args: Any,
) -> jax.Array:
  """Returns a parameter of a module, as `Module.param` does.

  Differs: flax traces `init` whenever a network is applied, for the shape
  alone. That is a third of the time in which FAb-Net's loss is traced.

  Args:
    module: Whose method runs.
    name: Of the parameter.
    init: (key, shape, *args) -> its initial value.
    shape: Shape of the parameter.
    *args: More that `init` is given.

  Returns:
    The array.

  Raises:
    flax.errors.ScopeParamShapeError: It is there, with another shape.
  """
  if not module.has_variable("params", name):
    return module.param(name, init, shape, *args)
  value = module.get_variable("params", name)
  if value.shape != shape:
    raise flax_errors.ScopeParamShapeError(
      name, "/" + "/".join(module.path), value.shape, shape
    )
  return value


def conv_params(
  module: nn.Module, size: int, channels: int, features: int
) -> tuple[jax.Array, jax.Array]:
  """Declares `kernel` [size, size, channels, features] and `bias`.

  Source: `torch.nn.Conv2d`: both start uniform within 1 / sqrt(fan_in).
  """
  bound = (size * size * channels) ** -0.5
  shape = (size, size, channels, features)
  kernel = parameter(module, "kernel", initial.uniform, shape, bound)
  return kernel, parameter(module, "bias", initial.uniform, (features,), bound)


def _kernel(module, x, shape, *, is_transposed=False):
  """Declares `kernel`; gives it and the input in the module's type.

  torch takes the second axis of a weight for its inputs when it draws initial
  values; in a transposed convolution that axis is the outputs.
  """
  fan_in = shape[0] * shape[1] * shape[3 if is_transposed else 2]
  kernel = parameter(module, "kernel", initial.uniform, shape, fan_in**-0.5)
  return nn.dtypes.promote_dtype(x, kernel, dtype=module.dtype)


def _row(values: jax.Array, ndim: int) -> jax.Array:
  """Gives [C] the leading axes that strict rank promotion asks for."""
  return values.reshape((1,) * (ndim - 1) + values.shape)
