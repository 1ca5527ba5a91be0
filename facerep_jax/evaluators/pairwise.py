"""How well groups of rows are people: precision and recall of pairs."""

from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import bootstrap


class Pairs(NamedTuple):
  """What became of pairs of rows.

  Attributes:
    num_rows: How many rows there are.
    num_people: Of how many people.
    num_of_one: Pairs of one person.
    num_joined: Pairs in one group.
    precision: Share of the pairs in one group that are of one person; NaN
      without such a pair.
    recall: Share of the pairs of one person that are in one group; NaN without
      such a pair.
  """

  num_rows: int
  num_people: int
  num_of_one: int
  num_joined: int
  precision: bootstrap.Interval
  recall: bootstrap.Interval


def compare(
  person: np.ndarray, group: np.ndarray, num: int = 1000, seed: int = 0
) -> Pairs:
  """Counts pairs, with bootstrap intervals over people.

  People are drawn with replacement, groups stay as they are. A person who is
  drawn twice counts twice, but never together with the copy.

  Args:
    person: [N], whom each row is of.
    group: [N], the group that it was put into.
    num: Draws.
    seed: Of the draws.

  Returns:
    Shares and numbers of pairs.

  Raises:
    InputError: Both differ in length, or are empty.
  """
  person, group = np.asarray(person), np.asarray(group)
  errors.check_shape("group", group, str(len(person)), "One per row.")
  people, who = np.unique(person, return_inverse=True)
  groups, where = np.unique(group, return_inverse=True)
  counts = np.zeros((len(people), len(groups)))
  np.add.at(counts, (who, where), 1)
  right = (counts * (counts - 1)).sum(1) / 2
  sizes = counts.sum(1)
  of_one = sizes * (sizes - 1) / 2
  shared = counts @ counts.T
  np.fill_diagonal(shared, 0)

  def precision(weight):
    wrong = weight @ shared @ weight / 2
    return _share(weight @ right, weight @ right + wrong)

  def recall(weight):
    return _share(weight @ right, weight @ of_one)

  precise, complete = (
    bootstrap.interval(x, None, num, seed, num_rows=len(people))
    for x in (precision, recall)
  )
  joined = int(right.sum() + shared.sum() / 2)
  return Pairs(
    len(person), len(people), int(of_one.sum()), joined, precise, complete
  )


def _share(part, whole):
  return float(part / whole) if whole else np.nan
