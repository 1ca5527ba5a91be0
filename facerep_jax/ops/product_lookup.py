"""Rows of a table, found by matrix products in place of lookups.

TPUs look up one number after another, but multiply matrices at once. The
gradient is a product too, where that of a lookup is a scatter.
"""

import math

import jax
import jax.numpy as jnp

# Numbers between the two products, at most, for one part of the rows.
_MOST_NUMBERS = 1 << 19


def take(table: jax.Array, index: jax.Array) -> jax.Array:
  """Computes table[index].

  The number of a row is split into two digits. A product with a matrix of
  zeros and ones finds the first digit, and one for each row the second.

  Args:
    table: [F, K] float. All of it must be finite: a NaN would go into every
      result.
    index: [P] int32, in 0 .. F - 1.

  Returns:
    [P, K], to the bit.
  """
  num_rows, width = table.shape
  base = math.isqrt(num_rows - 1) + 1
  num_blocks = -(-num_rows // base)
  table = jnp.pad(table, ((0, num_blocks * base - num_rows), (0, 0)))
  blocks = table.reshape(num_blocks, base * width)

  def part(index):
    block, place = jnp.divmod(index, base)
    found = _product(_one_hot(block, num_blocks, table.dtype), blocks)
    found = found.reshape(-1, base, width)
    is_place = _one_hot(place, base, table.dtype)
    return jnp.sum(found * is_place[:, :, None], axis=1)

  length = max(1, _MOST_NUMBERS // (base * width))
  num_parts = -(-index.shape[0] // length)
  length = -(-index.shape[0] // num_parts)
  padded = jnp.pad(index, (0, num_parts * length - index.shape[0]))
  # What is between the products is computed again for the gradient.
  parts = jax.lax.map(jax.checkpoint(part), padded.reshape(num_parts, length))
  return parts.reshape(-1, width)[: index.shape[0]]


def _one_hot(index, count, dtype):
  places = jnp.arange(count, dtype=index.dtype)
  return (index[:, None] == places[None]).astype(dtype)


def _product(a, b):
  """Multiplies without rounding numbers to bfloat16, as TPUs else would."""
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
