"""Figures by group, on numbers whose answer is known."""

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import groups, statistics


def test_paired_differences_are_narrower_than_the_values():
  rng = np.random.default_rng(0)
  person = np.repeat(np.arange(40), 3)
  hard = 10 * rng.random(40)[person]
  measured = {
    "with": hard + 1 + 0.1 * rng.standard_normal(120),
    "without": hard,
    "again": hard.copy(),
  }
  without, with_it, again = groups.compare(measured, person, "without")
  assert without.group == "without" and without.difference is None
  assert not without.is_apart
  assert with_it.is_apart and with_it.difference.value == pytest.approx(1, 0.05)
  assert with_it.difference.low > 0.9 and with_it.difference.high < 1.1
  assert with_it.value.high - with_it.value.low > 1
  # The same numbers differ by nothing in any draw.
  assert again.difference == (0, 0, 0) and not again.is_apart


def test_functions_of_weights_are_compared_like_values():
  person = np.repeat(np.arange(30), 2)
  values = np.random.default_rng(1).random(60)
  mean = lambda shift: lambda w: float(w @ (values + shift) / w.sum())
  by_value = groups.compare({"a": values, "b": values + 2}, person, "a")
  by_weight = groups.compare({"a": mean(0), "b": mean(2)}, person, "a")
  for one, other in zip(by_value, by_weight):
    np.testing.assert_allclose(one.value, other.value)
  np.testing.assert_allclose(by_weight[1].difference, [2, 2, 2])


def test_unknown_reference_is_told():
  with pytest.raises(errors.InputError, match="'c': expected one of a, b"):
    groups.compare({"a": np.ones(2), "b": np.ones(2)}, np.arange(2), "c")


def test_verification_area_is_that_of_all_pairs():
  rng = np.random.default_rng(2)
  who = rng.standard_normal((7, 4))
  first, second = (who + rng.standard_normal((7, 4)) for _ in range(2))
  area = groups.verification_area(first, 3 * second)
  rows = {0: 2, 2: 1, 5: 1, 6: 3}
  weights = np.zeros(7)
  weights[list(rows)] = list(rows.values())
  # Pair by pair, each as often as it is drawn.
  scores, same = [], []
  for a, times_a in rows.items():
    for b, times_b in rows.items():
      cosine = first[a] @ second[b]
      cosine /= np.linalg.norm(first[a]) * np.linalg.norm(second[b])
      times = times_a if a == b else times_a * times_b
      scores += [cosine] * times
      same += [a == b] * times
  expected = statistics.auc(np.array(scores), np.array(same))
  assert area(weights) == pytest.approx(expected(np.ones(len(same))))
  perfect = groups.verification_area(np.eye(5), np.eye(5))
  assert perfect(np.ones(5)) == 1
  assert np.isnan(perfect(np.eye(5)[0]))


def test_recordings_of_other_numbers_of_people_are_refused():
  with pytest.raises(errors.InputError, match="second"):
    groups.verification_area(np.ones((3, 2)), np.ones((4, 2)))
