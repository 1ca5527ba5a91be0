"""Losses: pure functions of arrays, one value per example where they can."""

import jax
import jax.numpy as jnp

from facerep_jax import errors


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
