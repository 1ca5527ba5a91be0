"""How well a score tells pairs that belong together from the others."""

import jax
import jax.numpy as jnp

from facerep_jax import errors


def pair_auc(
  first: jax.Array, second: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Compares rows of two sets by their cosine.

  Row i of one set belongs to row i of the other. The area under the ROC curve
  is the share of comparisons, of a pair that belongs together with a pair that
  does not, in which the former has the larger cosine; equal ones count half.

  Args:
    first: [B, D] float.
    second: [B, D] float.
    weight: [B] float, 0 for rows that do not count.

  Returns:
    float32 scalars: the weighted sum over the comparisons, and their weight,
    0 where fewer than two rows count.

  Raises:
    InputError: A shape does not fit.
  """
  errors.check_shape("first", first, "B D")
  errors.check_shape("second", second, f"{len(first)} {first.shape[1]}")
  cosine = _normalised(first) @ _normalised(second).T
  own = jnp.diagonal(cosine)[:, None, None]
  tie = jnp.where(own == cosine[None], 0.5, 0.0)
  wins = jnp.where(own > cosine[None], 1.0, tie)
  pairs = weight[:, None] * weight[None, :] * (1 - jnp.eye(len(first)))
  counts = weight[:, None, None] * pairs[None]
  return jnp.sum(wins * counts), jnp.sum(counts)


def _normalised(x):
  """Scales rows to length 1; rows of zeros stay."""
  square = jnp.sum(jnp.square(x), axis=1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))
