import itertools

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import pairwise


def counted(person, group):
  """Precision and recall, pair by pair."""
  right = joined = of_one = 0
  for i, j in itertools.combinations(range(len(person)), 2):
    joined += group[i] == group[j]
    of_one += person[i] == person[j]
    right += group[i] == group[j] and person[i] == person[j]
  return right / joined, right / of_one, joined, of_one


def test_shares_are_those_of_all_pairs():
  rng = np.random.default_rng(0)
  person, group = rng.integers(0, 9, 60), rng.integers(0, 7, 60)
  found = pairwise.compare(person, group, num=50)
  want = counted(person, group)
  assert found.precision.value == pytest.approx(want[0])
  assert found.recall.value == pytest.approx(want[1])
  assert (found.num_joined, found.num_of_one) == want[2:]
  assert (found.num_rows, found.num_people) == (60, 9)


def test_right_groups_have_no_error():
  names = np.array(["a", "b", "a", "c", "b"])
  found = pairwise.compare(names, np.array([4, 2, 4, 0, 2]))
  assert found.precision == (1, 1, 1)
  # Of a draw of c alone there is no pair to find: it is left out.
  assert found.recall == (1, 1, 1)


def test_a_copy_of_a_person_makes_no_pair_with_itself():
  # All in one group: a draw of one person twice has right pairs alone.
  person = np.array([0, 0, 1, 1])
  found = pairwise.compare(person, np.zeros(4), num=200)
  assert found.precision.value == pytest.approx(2 / 6)
  assert found.precision.high == 1 and found.precision.low < 0.34
  assert found.recall == (1, 1, 1)


def test_without_pairs_there_are_no_shares():
  found = pairwise.compare(np.arange(3), np.arange(3), num=5)
  assert np.isnan(found.precision).all() and np.isnan(found.recall).all()
  assert found.num_joined == found.num_of_one == 0


def test_lengths_must_agree():
  with pytest.raises(errors.InputError, match="group"):
    pairwise.compare(np.arange(3), np.arange(4))
