"""Upsampling, and convolutions that change the resolution by two.

Each convolution has equal forms. The plain form calls the platform's
convolution. The others are made of matrix products and sums of shifted slices,
which are several times faster on CPUs for some shapes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.ops import same_conv

_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Where products of patches and of blocks change places on a CPU, measured.
_FEW_CHANNELS, _MANY_CHANNELS = 4, 128
_FEW_PX = 8


def conv(
  x: jax.Array, kernel: jax.Array, *, stride: int, padding: int
) -> jax.Array:
  """Convolves with the same integer padding on all sides.

  Args:
    x: [N, H, W, C] float.
    kernel: [k, k, C, D] in the type of `x`.
    stride: Step in both directions.
    padding: Zeros added on each side.

  Returns:
    [N, H', W', D] in the type of `x`.
  """
  strides, pads = (stride, stride), [(padding, padding)] * 2
  return jax.lax.conv_general_dilated(
    x, kernel, strides, pads, dimension_numbers=_LAYOUT
  )


def downsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves 4x4 with stride 2 and padding 1, in the form that is faster.

  Source: `torch.nn.Conv2d(C, D, 4, stride=2, padding=1)`.
  Differs: on CPUs it is one matrix product, of patches or of blocks, whichever
  was measured to be faster for so many pixels and channels. The gradients of
  the platform's convolution take two to five times as long there.

  Args:
    x: [N, H, W, C] float, H and W even.
    kernel: [4, 4, C, D] in the type of `x`.

  Returns:
    [N, H / 2, W / 2, D] in the type of `x`.
  """
  few = _FEW_CHANNELS < x.shape[-1] < _MANY_CHANNELS
  by_product = (
    downsample_conv_by_blocks
    if few and x.shape[1] > _FEW_PX
    else downsample_conv_by_patches
  )
  return jax.lax.platform_dependent(
    x,
    kernel,
    cpu=by_product,
    default=lambda x, kernel: conv(x, kernel, stride=2, padding=1),
  )


def downsample_conv_by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `downsample_conv` as one matrix product of 4x4 patches.

  Args:
    x: [N, H, W, C] float, H and W even.
    kernel: [4, 4, C, D] in the type of `x`.

  Returns:
    [N, H / 2, W / 2, D] in the type of `x`.
  """
  blocks = _blocks(x)
  num, rows, columns = blocks.shape[0], x.shape[1] // 2, x.shape[2] // 2
  patches = jnp.concatenate(
    [blocks[:, i : rows + i, j : columns + j] for i in (0, 1) for j in (0, 1)],
    axis=-1,
  )
  # Patches hold block row, block column, then row and column in the block.
  weights = _block_kernel(kernel).reshape(patches.shape[-1], -1)
  out = patches.reshape(-1, patches.shape[-1]) @ weights
  return out.reshape(num, rows, columns, -1)


def downsample_conv_by_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `downsample_conv` with one matrix product of 2x2 blocks.

  Each block lies in four patches. Its products with the four quarters of the
  kernel are computed at once; what is left is to add four shifted maps. That
  reads each pixel once, where patches hold it four times.

  Args:
    x: [N, H, W, C] float, H and W even.
    kernel: [4, 4, C, D] in the type of `x`.

  Returns:
    [N, H / 2, W / 2, D] in the type of `x`.
  """
  blocks = _blocks(x)
  rows, columns = x.shape[1] // 2, x.shape[2] // 2
  weights = jnp.moveaxis(_block_kernel(kernel), (0, 1), (-3, -2))
  weights = weights.reshape(blocks.shape[-1], -1)
  out = blocks.reshape(-1, blocks.shape[-1]) @ weights
  quarters = jnp.split(out.reshape(*blocks.shape[:3], -1), 4, axis=-1)
  places = ((0, 0), (0, 1), (1, 0), (1, 1))
  shifted = [
    quarter[:, i : rows + i, j : columns + j]
    for quarter, (i, j) in zip(quarters, places)
  ]
  return sum(shifted[1:], shifted[0])


def _blocks(x):
  """Pads [N, H, W, C] by one, and joins 2x2 pixels: [.., .., 4 C]."""
  num, height, width, channels = x.shape
  rows, columns = height // 2 + 1, width // 2 + 1
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  blocks = x.reshape(num, rows, 2, columns, 2, channels).swapaxes(2, 3)
  return blocks.reshape(num, rows, columns, 4 * channels)


def _block_kernel(kernel):
  """Parts [4, 4, C, D] into quarters [2, 2, 2, 2, C, D], for 2x2 blocks.

  The axes are row and column of the block, then row and column in it.
  """
  return kernel.reshape(2, 2, 2, 2, *kernel.shape[2:]).swapaxes(1, 2)


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
    return upsample_bilinear_2x_by_products(x, align_corners=True)
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


def upsample_bilinear_2x_by_products(
  x: jax.Array, *, align_corners: bool = False
) -> jax.Array:
  """Computes `upsample_bilinear_2x` as a matrix product for each axis.

  By itself it is slower than slices. But a product is not computed again for
  each pixel of what follows, as CPUs do with a long chain of slices.

  Args:
    x: [N, H, W, C] float.
    align_corners: As for `upsample_bilinear_2x`.

  Returns:
    [N, 2 H, 2 W, C] in the type of `x`.
  """
  for axis in (1, 2):
    size = x.shape[axis]
    index = np.arange(2 * size)[:, None]
    if align_corners:
      position = index * ((size - 1) / (2 * size - 1))
    else:
      position = np.clip((index - 0.5) / 2, 0, size - 1)
    hat = np.maximum(0, 1 - np.abs(position - np.arange(size)[None]))
    hat = jnp.asarray(hat, x.dtype)
    out = jnp.tensordot(hat, x, axes=(1, axis), precision="highest")
    x = jnp.moveaxis(out, 0, axis)
  return x


def upsample_conv(
  x: jax.Array, kernel: jax.Array, *, align_corners: bool = False
) -> jax.Array:
  """Upsamples by two, then convolves 3x3 with padding 1; the faster form.

  Args:
    x: [N, H, W, C] float.
    kernel: [3, 3, C, D] in the type of `x`.
    align_corners: Kind of the upsampling, see `upsample_bilinear_2x`. The
      aligned kind has the plain form only.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  if align_corners:
    return upsample_conv_plain(x, kernel, align_corners=True)
  return jax.lax.platform_dependent(
    x, kernel, cpu=upsample_conv_by_taps, default=upsample_conv_plain
  )


def upsample_conv_plain(
  x: jax.Array, kernel: jax.Array, *, align_corners: bool = False
) -> jax.Array:
  """Computes `upsample_conv` as it is written, in two steps."""
  x = upsample_bilinear_2x(x, align_corners=align_corners)
  return same_conv.same_conv(x, kernel)


def upsample_conv_by_taps(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Computes `upsample_conv` with the product at the low resolution.

  The 3x3 convolution is a sum of nine shifted products by matrices; a matrix
  that acts on channels commutes with the upsampling, so it is applied before
  it, to a quarter of the pixels. What is left is to upsample, shift and add
  the nine results, along one axis after the other.

  Args:
    x: [N, H, W, C] float.
    kernel: [3, 3, C, D] in the type of `x`.

  Returns:
    [N, 2 H, 2 W, D] in the type of `x`.
  """
  num, height, width, channels = x.shape
  weights = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  taps = (x.reshape(-1, channels) @ weights).reshape(num, height, width, -1)
  # One product for all nine: its gradient is then one product as well.
  rows = spread_taps(*jnp.split(taps, 3, axis=-1), 1)
  return spread_taps(*jnp.split(rows, 3, axis=-1), 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def spread_taps(
  before: jax.Array, centre: jax.Array, after: jax.Array, axis: int
) -> jax.Array:
  """Upsamples three maps along an axis, shifts them by 1, 0, -1, and adds.

  The upsampling is bilinear with the edge clamped; the shifts bring in zeros,
  as the padding of a convolution does. Only reverse-mode derivatives exist.

  Args:
    before: [..., n, ...] float, the map that weighs the pixel before.
    centre: As `before`, for the pixel itself.
    after: As `before`, for the pixel after.
    axis: Axis of n, not the last.

  Returns:
    [..., 2 n, ...] in the type of the maps.
  """
  shifts = _Shifts(centre, axis)
  zero, size = shifts.zero, centre.shape[axis]
  inner_before = 0.75 * shifts.cut(before, 0, size - 1)
  inner_before += 0.25 * shifts.cut(before, 1, size)
  inner_after = 0.75 * shifts.cut(after, 1, size)
  inner_after += 0.25 * shifts.cut(after, 0, size - 1)
  even = (
    shifts.join(zero, inner_before)
    + 0.75 * (centre + after)
    + 0.25 * (shifts.right(centre) + shifts.left(after))
  )
  odd = (
    0.75 * (before + centre)
    + 0.25 * (shifts.right(before) + shifts.left(centre))
    + shifts.join(inner_after, zero)
  )
  shape = list(centre.shape)
  shape[axis] *= 2
  return jnp.stack([even, odd], axis + 1).reshape(shape)


class _Shifts:
  """Slices and shifts along one axis.

  XLA's CPU code for these sums of shifted slices is several times faster than
  for its own transpose of them, a sum of padded maps.
  """

  def __init__(self, x, axis):
    self.axis, self.size = axis, x.shape[axis]
    self.zero = jnp.zeros_like(self.cut(x, 0, 1))

  def cut(self, x, start, stop):
    return jax.lax.slice_in_dim(x, start, stop, axis=self.axis)

  def join(self, *parts):
    return jnp.concatenate(parts, self.axis)

  def right(self, x, first=None):
    """Moves `x` by one; `first`, or else its own edge, comes in."""
    first = self.cut(x, 0, 1) if first is None else first
    return self.join(first, self.cut(x, 0, self.size - 1))

  def left(self, x, last=None):
    """Moves `x` back by one; `last`, or else its own edge, comes in."""
    last = self.cut(x, self.size - 1, self.size) if last is None else last
    return self.join(self.cut(x, 1, self.size), last)


def _spread_taps_forward(before, centre, after, axis):
  """Keeps nothing: the operation is linear."""
  return spread_taps(before, centre, after, axis), None


def _spread_taps_backward(axis, _, grad):
  """Applies the transpose of `spread_taps`, written with slices again.

  Each map gets the transposed upsampling of the shifted gradient: pixels
  2 i - 1 to 2 i + 2 with weights 1/4, 3/4, 3/4, 1/4, the edge clamped after
  the zero that the shift brought in.
  """
  shape = list(grad.shape)
  shape[axis : axis + 1] = [shape[axis] // 2, 2]
  pairs = grad.reshape(shape)
  even = jax.lax.index_in_dim(pairs, 0, axis + 1, keepdims=False)
  odd = jax.lax.index_in_dim(pairs, 1, axis + 1, keepdims=False)
  shifts = _Shifts(even, axis)
  zero, size = shifts.zero, shifts.size
  first = functools.partial(shifts.cut, start=0, stop=1)
  last = functools.partial(shifts.cut, start=size - 1, stop=size)
  before = 0.75 * (odd + shifts.left(even, zero)) + 0.25 * (
    shifts.left(odd, zero) + shifts.join(first(odd), shifts.cut(even, 1, size))
  )
  centre = 0.75 * (even + odd) + 0.25 * (
    shifts.left(even, last(odd)) + shifts.right(odd, first(even))
  )
  after = 0.75 * (shifts.right(odd, zero) + even) + 0.25 * (
    shifts.right(even, zero)
    + shifts.join(shifts.cut(odd, 0, size - 1), last(even))
  )
  return before, centre, after


spread_taps.defvjp(_spread_taps_forward, _spread_taps_backward)
