import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import bootstrap


def test_intervals_of_a_mean_hold_it_as_often_as_they_say():
  rng = np.random.default_rng(0)
  hits = 0
  for seed in range(200):
    values = rng.normal(3, 2, 80)
    found = bootstrap.interval(values, None, num=400, seed=seed)
    hits += found.low <= 3 <= found.high
  # 95 % of 200 with a deviation of 1.5 %; percentiles run a little short.
  assert 0.88 <= hits / 200 <= 0.99


def test_the_width_is_that_of_the_standard_error():
  values = np.random.default_rng(0).normal(0, 1, 400)
  value, low, high = bootstrap.interval(values, None)
  assert value == values.mean() and low < value < high
  # 1.96 standard errors each way; 1000 draws place a quantile to about 5 %.
  want = 2 * 1.96 * values.std() / 20
  np.testing.assert_allclose(high - low, want, rtol=0.1)
  narrow = bootstrap.interval(values, None, level=0.5)
  np.testing.assert_allclose(narrow.high - narrow.low, want * 0.344, rtol=0.1)


def test_people_widen_the_interval():
  rng = np.random.default_rng(0)
  group = np.repeat(np.arange(40), 10)
  values = rng.normal(size=40)[group] + 0.1 * rng.normal(size=400)
  alone = bootstrap.interval(values, None)
  people = bootstrap.interval(values, group)
  ratio = (people.high - people.low) / (alone.high - alone.low)
  # Ten rows that say the same thing: a tenth of the evidence.
  np.testing.assert_allclose(ratio, np.sqrt(10), rtol=0.2)


def test_a_function_of_weights_gives_what_values_give():
  rng = np.random.default_rng(0)
  values, group = rng.normal(size=60), rng.integers(0, 15, 60).astype(str)
  mean = lambda w: np.sum(w * values) / np.sum(w)
  np.testing.assert_allclose(
    bootstrap.interval(mean, group), bootstrap.interval(values, group)
  )
  alone = bootstrap.interval(mean, None, num_rows=60)
  np.testing.assert_allclose(alone, bootstrap.interval(values, None))


def test_draws_without_a_value_are_left_out():
  group = np.arange(3)
  # Undefined unless the first row is drawn: else 5.
  found = bootstrap.interval(lambda w: 5.0 if w[0] else np.nan, group)
  assert found == (5, 5, 5)
  assert np.isnan(bootstrap.interval(lambda w: np.nan, group)).all()


def test_a_single_person_has_no_interval():
  value, low, high = bootstrap.interval(np.array([1.0, 3.0]), np.zeros(2))
  assert value == 2 and np.isnan(low) and np.isnan(high)


def test_draws_are_the_same_for_all_statistics():
  rng = np.random.default_rng(0)
  hard, group = rng.normal(0, 5, 100), np.arange(100) // 2
  value, first = bootstrap.drawn(hard + 1, group)
  assert value == np.mean(hard + 1) and first.shape == (1000,)
  _, second = bootstrap.drawn(lambda w: np.sum(w * hard) / np.sum(w), group)
  np.testing.assert_allclose(first - second, 1)
  found = bootstrap.interval(hard + 1, group)
  assert bootstrap.ends(first) == (found.low, found.high)


def test_draws_of_a_single_person_have_no_value():
  value, found = bootstrap.drawn(np.ones(3), np.zeros(3))
  assert value == 1 and np.isnan(found).all()
  assert np.isnan(bootstrap.ends(found)).all()


def test_scores_draw_people_not_their_images():
  values, group = np.repeat([0.0, 1.0], 50), np.repeat(["a", "b"], 50)
  mean = lambda w: np.sum(w * values) / np.sum(w)
  for statistic in (values, mean):
    found = bootstrap.score(statistic, group, "", True)
    # A quarter of the draws are of one person alone; of 100 images drawn one
    # by one, 95 % have means of 0.4 to 0.6.
    assert found[:3] == (0.5, 0, 1)


def test_scores_carry_their_unit_and_refuse_nothing_to_measure():
  found = bootstrap.score(np.ones(5), np.arange(5), "%", True)
  assert found == (1, 1, 1, "%", True)
  with pytest.raises(errors.InputError, match="no rows"):
    bootstrap.interval(np.ones(0), None)
  with pytest.raises(errors.InputError, match="values: expected"):
    bootstrap.interval(np.ones(3), np.arange(4))


def test_draws_that_are_kept_are_those_that_are_not(monkeypatch):
  values = np.random.default_rng(0).normal(size=50)
  kept = [bootstrap.drawn(values, None, 40, seed=3)[1] for _ in range(2)]
  monkeypatch.setattr(bootstrap, "_MOST_KEPT", 0)
  _, anew = bootstrap.drawn(values, None, 40, seed=3)
  np.testing.assert_array_equal(kept, [anew, anew])
  assert np.ptp(anew) > 0
