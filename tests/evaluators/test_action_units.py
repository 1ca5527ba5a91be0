import numpy as np
import pytest
from scipy import stats

from facerep_jax import errors
from facerep_jax.evaluators import action_units, base
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
GROUP = np.arange(80) // 2
TRUE = RNG.random((80, 5))
TRUE[:, 1] = 0.2
LABELS = {"action_units": TRUE}


def test_perfect_and_constant_predictions():
  found = action_units.measure(TRUE, LABELS, GROUP)
  values = [score.value for score in found.scores.values()]
  np.testing.assert_allclose(values, [1, 0, 100], atol=1e-12)
  assert list(found.details["per_class"]) == ["0", "2", "3", "4"]
  found = action_units.measure(np.full((80, 5), 0.1), LABELS, GROUP)
  used = TRUE[:, [0, 2, 3, 4]]
  assert found.scores["mean_r"].value == 0
  assert found.scores["mean_auc"].value == 50
  np.testing.assert_allclose(
    found.scores["mae"].value, np.abs(used - 0.1).mean()
  )
  np.testing.assert_allclose(found.quality, -np.abs(used - 0.1).mean(axis=1))


def test_r_is_that_of_scipy_whatever_the_scale():
  outputs = 100 * (TRUE + 0.3 * RNG.normal(size=TRUE.shape)) + 7
  found = action_units.measure(outputs, LABELS, GROUP)
  want = [stats.pearsonr(outputs[:, k], TRUE[:, k])[0] for k in (0, 2, 3, 4)]
  np.testing.assert_allclose(list(found.details["per_class"].values()), want)
  np.testing.assert_allclose(found.scores["mean_r"].value, np.mean(want))
  assert (
    found.scores["mean_r"].low < np.mean(want) < found.scores["mean_r"].high
  )


def test_a_unit_is_active_from_three_tenths():
  true = np.array([0.1, 0.2, 0.4, 0.6])[:, None]
  outputs = np.array([0.0, 2.0, 1.0, 3.0])[:, None]
  found = action_units.measure(outputs, {"action_units": true}, np.arange(4))
  # Of the pairs of an active image and another, 1 and 2 are the wrong way.
  assert found.scores["mean_auc"].value == 75


def test_units_are_read_out_of_what_holds_them():
  x = TRUE @ RNG.normal(size=(5, 6))
  part = base.Part(x[:60], {"action_units": TRUE[:60]}, GROUP[:60])
  outputs = action_units.fit(part).outputs(x[60:])
  found = action_units.measure(outputs, {"action_units": TRUE[60:]}, GROUP[60:])
  assert found.scores["mean_r"].value > 0.9999


def test_intervals_are_over_people():
  found = action_units.measure(TRUE**2, LABELS, np.zeros(80))
  assert list(found.scores) == ["mean_r", "mae", "mean_auc"]
  made_up.assert_no_interval(found)


def test_there_is_no_area_without_active_units():
  found = action_units.measure(TRUE, {"action_units": 0.3 * TRUE}, GROUP)
  assert list(found.scores) == ["mean_r", "mae"]
  with pytest.raises(errors.InputError, match="none varies"):
    action_units.measure(TRUE, {"action_units": 0 * TRUE}, GROUP)
