"""Searches the largest batch that fits, with few compilations."""

from collections.abc import Callable
from typing import Any

from facerep_jax import errors

# The search ends when it is known to within this share.
_TOLERANCE = 1 / 8
_MOST_ROWS = 2**20


def search(
  measure: Callable[[int], dict[str, Any]],
  fits: Callable[[dict[str, Any]], bool],
  start: int,
  step: int,
) -> dict[str, Any]:
  """Searches by doubling or halving, then by bisection.

  Args:
    measure: Compiles for a batch size.
    fits: Whether what `measure` found fits.
    start: Batch size at which to begin.
    step: The number of devices; every batch size is a multiple of it.

  Returns:
    What `measure` found at the largest batch size that fits, known to an
    eighth; 2**20 rows are the end.

  Raises:
    InputError: Not even one row a device fits.
  """
  low, high, best = 0, None, None  # In rows a device.
  count = max(1, start // step)
  while count and (high is None or high - low > max(1, _TOLERANCE * low)):
    row = measure(count * step)
    if fits(row):
      low, best = count, row
    else:
      high = count
    if high is not None:
      count = (low + high) // 2
    elif 2 * low * step <= _MOST_ROWS:
      count = 2 * low
    else:
      break
  if best is None:
    raise errors.InputError(
      f"--largest-batch: not even a batch of {step}, one row a device, fits."
    )
  return best
