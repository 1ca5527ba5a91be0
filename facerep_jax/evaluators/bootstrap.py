"""Bootstrap intervals over people."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base

# Numbers that are kept of draws, 2 bytes each.
_MOST_KEPT = 20_000_000


class Interval(NamedTuple):
  """A number with a percentile interval; NaN ends where none can be given."""

  value: float
  low: float
  high: float


def interval(
  statistic: base.Statistic,
  group: np.ndarray | None,
  num: int = 1000,
  seed: int = 0,
  level: float = 0.95,
  *,
  num_rows: int | None = None,
) -> Interval:
  """Gives the percentile interval of a statistic, with people drawn anew.

  Whole people are drawn with replacement, since images of one person are not
  independent. Draws for which the statistic is undefined (NaN) are left out;
  with a single person there is no interval.

  Args:
    statistic: [N] float, for their mean; or a function of [N] float weights,
      how often each row counts (whole numbers).
    group: [N], the person of each row; None: each row is its own.
    num: Draws.
    seed: Of the draws. Equal seeds and groups give equal draws.
    level: Share of the draws that the interval holds.
    num_rows: N; needed where `statistic` is a function and `group` None.

  Returns:
    The statistic on all rows, and the interval.

  Raises:
    InputError: Values and groups differ in length, or there are no rows.
  """
  value, found = drawn(statistic, group, num, seed, num_rows=num_rows)
  return Interval(value, *ends(found, level))


def ends(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
  """Returns the ends of the percentile interval of what `drawn` gave.

  Args:
    values: [num] float, a statistic on each draw; NaN is left out.
    level: Share of the draws between the ends.

  Returns:
    The ends; NaN where no draw has a value.
  """
  found = values[~np.isnan(values)]
  if not len(found):
    return np.nan, np.nan
  low, high = np.quantile(
    found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf"
  )
  return float(low), float(high)


def drawn(
  statistic: base.Statistic,
  group: np.ndarray | None,
  num: int = 1000,
  seed: int = 0,
  *,
  num_rows: int | None = None,
) -> tuple[float, np.ndarray]:
  """Computes a statistic on people drawn anew; arguments as in `interval`.

  Returns:
    The statistic on all rows; [num] float64, on each draw, NaN where it is
    undefined, and everywhere with a single person.

  Raises:
    InputError: As in `interval`.
  """
  is_mean = not callable(statistic)
  if group is None:
    group = np.arange(len(statistic) if is_mean else num_rows)
  people, person = np.unique(np.asarray(group), return_inverse=True)
  if is_mean:
    values = np.asarray(statistic, np.float64)
    errors.check_shape("values", values, str(len(person)), "One per row.")
  if not len(people):
    raise errors.InputError("there are no rows to measure. Check the split.")
  draws = _draws(len(people), num, seed)
  if is_mean:
    # Per person once, so that a draw costs people and not rows.
    sums, sizes = np.bincount(person, values), np.bincount(person)
    value = float(values.mean())
    found = [(count @ sums) / (count @ sizes) for count in draws]
  else:
    value = float(statistic(np.ones(len(person))))
    found = [statistic(count[person]) for count in draws]
  if len(people) < 2:
    return value, np.full(num, np.nan)
  return value, np.array(found, np.float64)


def _draws(num_people: int, num: int, seed: int) -> Iterator[np.ndarray]:
  """Yields how often each person is drawn, [num_people] float64."""
  if num_people * num > _MOST_KEPT:
    yield from _drawn_now(num_people, num, seed)
    return
  for counts in _kept(num_people, num, seed):
    yield counts.astype(np.float64)


def _drawn_now(num_people, num, seed):
  rng = np.random.default_rng(seed)
  for _ in range(num):
    drawn = rng.integers(num_people, size=num_people)
    yield np.bincount(drawn, minlength=num_people).astype(np.float64)


@functools.lru_cache(maxsize=2)
def _kept(num_people, num, seed):
  """Returns all draws, since every score of a task is drawn alike."""
  found = np.empty((num, num_people), np.uint16)
  for row, counts in zip(found, _drawn_now(num_people, num, seed)):
    row[:] = counts
  return found


def score(
  statistic: base.Statistic,
  group: np.ndarray,
  unit: str,
  is_higher_better: bool,
  seed: int = 0,
) -> base.Score:
  """Makes a `Score` with its interval; arguments as in `interval`."""
  found = interval(statistic, group, seed=seed)
  return base.Score(*found, unit, is_higher_better)
