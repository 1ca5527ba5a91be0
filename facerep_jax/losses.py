"""Losses: pure functions of arrays, one value per example where they can."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.ops import laplacian as pyramid_ops

_EPSILON = 1e-7
_NUM_BANDS = 3  # Of the Laplacian pyramid.


def l1_per_example(predicted: jax.Array, target: jax.Array) -> jax.Array:
  """Averages absolute differences over all but the first axis.

  Args:
    predicted: [B, ...] float.
    target: The same shape.

  Returns:
    [B] float32.

  Source: arXiv 1808.06882, equation 1, averaged over pixels and channels.
  """
  if predicted.shape != target.shape:
    raise errors.InputError(
      f"l1_per_example: shapes {predicted.shape} and {target.shape} differ."
    )
  difference = jnp.abs(
    predicted.astype(jnp.float32) - target.astype(jnp.float32)
  )
  return jnp.mean(difference, axis=tuple(range(1, difference.ndim)))


def in_band(
  per_example: jax.Array, start: jax.Array, stop: jax.Array
) -> jax.Array:
  """Marks the losses ranked [start, stop), easiest first.

  Args:
    per_example: [B] float, as of `band_mean`.
    start: int32 scalar, as of `band_mean`.
    stop: int32 scalar, as of `band_mean`.

  Returns:
    [B] float32, 1 in the band and 0 outside; no gradient.
  """
  order = jnp.argsort(jax.lax.stop_gradient(per_example))
  rank = jnp.argsort(order)
  return ((rank >= start) & (rank < stop)).astype(jnp.float32)


def band_mean(
  per_example: jax.Array, start: jax.Array, stop: jax.Array
) -> jax.Array:
  """Averages the losses ranked [start, stop), easiest first.

  Args:
    per_example: [B] float, one value per row of the global batch.
    start: int32 scalar, rank of the first loss that counts; traced, so that
      moving the band does not recompile.
    stop: int32 scalar, greater than `start`, at most B.

  Returns:
    float scalar; rows outside the band get zero gradient.

  Source: arXiv 1808.06882, section 3.3 (curriculum), and the authors'
    published training script.
  """
  rank = jnp.arange(per_example.shape[0])
  keep = (rank >= start) & (rank < stop)
  return jnp.mean(jnp.sort(per_example), where=keep)


class Sums(NamedTuple):
  """A weighted mean over the pixels of each image, before the division.

  Attributes:
    total: [N] float32, sum of the weighted values.
    weight: [N] float32, sum of the weights.
  """

  total: jax.Array
  weight: jax.Array

  def mean(self, keep: jax.Array | None = None) -> jax.Array:
    """Averages over all images, or those that `keep` [N] weighs.

    Returns:
      float32 scalar; 0 with zero gradients where the weights are.
    """
    total, weight = self
    if keep is not None:
      total, weight = total * keep, weight * keep
    return _divide(jnp.sum(total), jnp.sum(weight))

  def each(self) -> jax.Array:
    """Averages over the pixels of each image, [N] float32."""
    return _divide(self.total, self.weight)


def photometric(
  predicted11: jax.Array,
  target11: jax.Array,
  sigma: jax.Array | None,
  mask: jax.Array,
) -> Sums:
  """Sums the L1 error of images over a mask, given its expected size.

  With a confidence this is the negative logarithm of a Laplace density, up
  to a constant: large `sigma` discounts an error, and costs log(sigma).

  Source: arXiv 1911.11130, the published `photometric_loss`, which is the mean
    of the sums.

  Args:
    predicted11: [N, H, W, C] float, [-1, 1].
    target11: The same shape and range.
    sigma: [N, H, W] positive float, expected error of each pixel; None for
      the plain absolute difference.
    mask: [N, H, W] float, [0, 1], weight of each pixel. Gradients flow into
      it: stop them where it is not to be learnt.

  Returns:
    The sums over pixels and channels.

  Raises:
    InputError: A shape does not fit.
  """
  _check("photometric", predicted11, target11, sigma)
  _check_map("photometric: mask", mask, predicted11)
  error = jnp.abs(_float32(predicted11) - _float32(target11))
  if sigma is not None:
    spread = _float32(sigma)[..., None] + _EPSILON
    error = math.sqrt(2) * error / spread + jnp.log(spread)
  return _masked_sums(error, _float32(mask))


def perceptual(
  predicted: jax.Array,
  target: jax.Array,
  sigma: jax.Array | None,
  mask: jax.Array,
) -> Sums:
  """Sums the squared error of features over a mask, given its spread.

  With a confidence this is the negative logarithm of a Gaussian density, up
  to a constant.

  Source: arXiv 1911.11130, the published `PerceptualLoss`, which is the mean
    of the sums.

  Args:
    predicted: [N, h, w, D] float features of the reconstruction.
    target: The same shape, of the image.
    sigma: [N, h, w] positive float, expected deviation of the features; None
      for the plain squared difference.
    mask: [N, H, W] float, [0, 1], weight of each pixel, H and W multiples of
      h and w; averaged over the pixels of each feature. Gradients flow into
      it: stop them where it is not to be learnt.

  Returns:
    The sums over places and channels.

  Raises:
    InputError: A shape does not fit.
  """
  _check("perceptual", predicted, target, sigma)
  error = jnp.square(_float32(predicted) - _float32(target))
  if sigma is not None:
    spread = _float32(sigma)[..., None]
    error = error / (2 * jnp.square(spread) + _EPSILON)
    error = error + jnp.log(spread + _EPSILON)
  return _masked_sums(error, _pool(_float32(mask), error.shape[:3]))


def laplacian(
  predicted11: jax.Array, target11: jax.Array, mask: jax.Array
) -> Sums:
  """Sums the L1 errors of the bands of a Laplacian pyramid.

  A shift by a few pixels hardly changes a pixel's error where pictures are
  smooth; coarse bands still say in which direction to go.

  Args:
    predicted11: [N, H, W, C] float, [-1, 1].
    target11: The same shape and range.
    mask: [N, H, W] float, [0, 1]. Both pictures are multiplied by it, so that
      its edge is the same in both. Gradients flow into it: stop them where it
      is not to be learnt.

  Returns:
    The sums over pixels and channels of the errors, each band's brought to the
    number of pixels of the picture; the weight is that number.

  Raises:
    InputError: A shape does not fit.
  """
  _check("laplacian", predicted11, target11, None)
  _check_map("laplacian: mask", mask, predicted11)
  inside = _float32(mask)[..., None]
  difference = (_float32(predicted11) - _float32(target11)) * inside
  bands = pyramid_ops.pyramid(difference, _NUM_BANDS)
  total = sum(jnp.mean(jnp.abs(x), axis=(1, 2, 3)) for x in bands)
  count = math.prod(predicted11.shape[1:])
  return Sums(total * count, jnp.full_like(total, count))


def _masked_sums(values: jax.Array, mask: jax.Array) -> Sums:
  """Weighs [N, H, W, C] by [N, H, W], once per channel."""
  total = jnp.sum(values * mask[..., None], axis=(1, 2, 3))
  return Sums(total, jnp.sum(mask, axis=(1, 2)) * values.shape[-1])


def _divide(total: jax.Array, weight: jax.Array) -> jax.Array:
  """Divides; 0 where the weight is."""
  # The division must be safe even where its result is not used: the gradient
  # of a discarded 0 / 0 is still NaN.
  is_empty = weight == 0
  return jnp.where(is_empty, 0.0, total / jnp.where(is_empty, 1.0, weight))


def _pool(mask: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
  """Averages [N, H, W] over the blocks that make it `shape`."""
  num, rows, columns = shape
  fits = mask.ndim == 3 and mask.shape[0] == num
  if not fits or mask.shape[1] % rows or mask.shape[2] % columns:
    raise errors.InputError(
      f"perceptual: mask: expected [{num}, H, W] with H a multiple of {rows} "
      f"and W of {columns}, got {list(mask.shape)}. Crop the images to whole "
      "features."
    )
  height, width = mask.shape[1] // rows, mask.shape[2] // columns
  blocks = mask.reshape(num, rows, height, columns, width)
  return jnp.mean(blocks, axis=(2, 4))


def _check(name, predicted, target, sigma):
  """Refuses arrays that do not belong together."""
  if predicted.shape != target.shape or predicted.ndim != 4:
    raise errors.InputError(
      f"{name}: expected two arrays [N, H, W, C] of one shape, got "
      f"{list(predicted.shape)} and {list(target.shape)}. Use NHWC."
    )
  if sigma is not None:
    _check_map(f"{name}: sigma", sigma, predicted)


def _check_map(name, x, like):
  """Refuses a map that does not have one value per place of `like`."""
  spec = " ".join(map(str, like.shape[:3]))
  errors.check_shape(name, x, spec, "Drop the axis of channels.")


def _float32(x: jax.Array) -> jax.Array:
  """Widens low precision; leaves float64 be."""
  return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
