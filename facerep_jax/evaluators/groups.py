"""Figures by group, and how much each group differs from one of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, statistics


class Row(NamedTuple):
  """What was measured in one group.

  Attributes:
    group: Its name.
    value: With its 95 % interval over people.
    difference: From the reference, with its own interval, of the same draws of
      people; None for the reference.
  """

  group: str
  value: bootstrap.Interval
  difference: bootstrap.Interval | None

  @property
  def is_apart(self) -> bool:
    """Whether the interval of the difference leaves out 0."""
    if self.difference is None:
      return False
    return self.difference.low > 0 or self.difference.high < 0


def compare(
  measured: Mapping[str, base.Statistic],
  person: np.ndarray,
  reference: str,
  seed: int = 0,
) -> list[Row]:
  """Compares groups that hold the same rows, one thing about them changed.

  People are drawn anew once for all groups, so that what makes one person
  harder than another leaves the differences alone.

  Args:
    measured: Of each group, [N] float values whose mean is meant, or a function
      of [N] float weights. Row i of one group and of another belong together.
    person: [N], whose row each is.
    reference: Name of the group that others are compared with.
    seed: Of the draws.

  Returns:
    A row a group, the reference first.

  Raises:
    InputError: There is no such group, or lengths differ.
  """
  if reference not in measured:
    raise errors.InputError(
      f"group {reference!r}: expected one of {', '.join(measured)}."
    )
  whole = {
    name: bootstrap.drawn(statistic, person, seed=seed)
    for name, statistic in measured.items()
  }
  base_value, base_draws = whole[reference]
  rows = []
  for name in sorted(whole, key=lambda name: name != reference):
    value, draws = whole[name]
    found = bootstrap.Interval(value, *bootstrap.ends(draws))
    apart = bootstrap.Interval(
      value - base_value, *bootstrap.ends(draws - base_draws)
    )
    rows.append(Row(name, found, None if name == reference else apart))
  return rows


def verification_area(first: np.ndarray, second: np.ndarray) -> base.Statistic:
  """Prepares the ROC area of telling people by two recordings of each.

  Pairs are the first recording of anyone and the second of anyone; scores are
  cosines.

  Args:
    first: [P, D] float, a feature of each person's first recording.
    second: [P, D] float, of the second.

  Returns:
    A function of weights [P], how often each person is drawn, that gives the
    area in [0, 1]. A person who is drawn twice makes no false pair with
    himself.

  Raises:
    InputError: Shapes differ.
  """
  errors.check_shape("first", first, "P D", "One row per person.")
  errors.check_shape("second", second, " ".join(map(str, first.shape)))
  unit = [
    x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    for x in (np.asarray(first, np.float64), np.asarray(second, np.float64))
  ]
  same = np.eye(len(first), dtype=bool).ravel()
  area = statistics.auc((unit[0] @ unit[1].T).ravel(), same)

  def statistic(weights):
    pairs = np.outer(weights, weights)
    np.fill_diagonal(pairs, weights)
    return area(pairs.ravel())

  return statistic
