"""Bootstrap intervals over people."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base

# Values [N], whose mean is meant; or a function of weights [N], how often each
# row counts, that returns a number.
Statistic = np.ndarray | Callable[[np.ndarray], float]


class Interval(NamedTuple):
  """A number with a percentile interval; NaN ends where none can be given."""

  value: float
  low: float
  high: float


def interval(
  statistic: Statistic,
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
  found = np.array(found)
  found = found[~np.isnan(found)]
  if len(people) < 2 or not len(found):
    return Interval(value, np.nan, np.nan)
  low, high = np.quantile(
    found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf"
  )
  return Interval(value, float(low), float(high))


def _draws(num_people: int, num: int, seed: int) -> Iterator[np.ndarray]:
  """Yields how often each person is drawn, [num_people] float64."""
  rng = np.random.default_rng(seed)
  for _ in range(num):
    drawn = rng.integers(num_people, size=num_people)
    yield np.bincount(drawn, minlength=num_people).astype(np.float64)


def paired_difference(
  first: Statistic,
  second: Statistic,
  group: np.ndarray | None,
  num: int = 1000,
  seed: int = 0,
  level: float = 0.95,
  *,
  num_rows: int | None = None,
) -> Interval:
  """Gives the interval of first - second on the same draws of people.

  Where it leaves out 0, the two differ, even if their own intervals overlap.

  Args:
    first: As in `interval`, of one representation.
    second: Of another, on the same rows; both values or both functions.
    group: As in `interval`, and so are the rest.
    num: Draws.
    seed: Of the draws.
    level: Share of the draws that the interval holds.
    num_rows: N; needed for functions where `group` is None.

  Returns:
    The difference on all rows, and its interval.

  Raises:
    InputError: One is values and the other a function, or as in `interval`.
  """
  if callable(first) != callable(second):
    raise errors.InputError("a difference needs two functions or two arrays.")
  if callable(first):
    difference = lambda weights: first(weights) - second(weights)
  else:
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
  return interval(difference, group, num, seed, level, num_rows=num_rows)


def score(
  statistic: Statistic,
  group: np.ndarray,
  unit: str,
  is_higher_better: bool,
  seed: int = 0,
) -> base.Score:
  """Makes a `Score` with its interval; arguments as in `interval`."""
  found = interval(statistic, group, seed=seed)
  return base.Score(*found, unit, is_higher_better)
