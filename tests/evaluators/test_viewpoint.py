import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import statistics, viewpoint
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
TRUE = RNG.uniform(-0.6, 0.6, (90, 3))
GROUP = np.arange(90) // 3
# As a model may turn: mirrored, weaker, and from another zero.
OWN = TRUE * [-0.5, 2.0, 1.0] + [0.3, 0.0, -0.1]


def test_lines_undo_scale_sign_and_zero():
  lines = viewpoint.fit(OWN[:60], TRUE[:60])
  np.testing.assert_allclose(lines.slope, [-2, 0.5, 1])
  np.testing.assert_allclose(lines.offset, [0.6, 0, 0.1], atol=1e-12)
  found = viewpoint.measure(OWN[60:], TRUE[60:], lines, GROUP[60:])
  got = {name: score.value for name, score in found.scores.items()}
  assert next(iter(got)) == "yaw_r"
  for name in ("yaw", "pitch", "roll"):
    assert got[f"{name}_r"] == pytest.approx(1)
    assert got[f"{name}_deg"] < 1e-10
  # How far the model turns, not what undoes it.
  slopes = [got[f"{name}_slope"] for name in ("yaw", "pitch", "roll")]
  np.testing.assert_allclose(slopes, [0.5, 2, 1])


def test_errors_are_those_of_the_training_line():
  noisy = OWN + RNG.normal(0, 0.1, OWN.shape)
  lines = viewpoint.fit(noisy[:60], TRUE[:60])
  x, y, group = noisy[60:], TRUE[60:], GROUP[60:]
  found = viewpoint.measure(x, y, lines, group)
  for k, name in enumerate(("yaw", "pitch", "roll")):
    slope, offset = np.polyfit(noisy[:60, k], TRUE[:60, k], 1)
    want = np.degrees(np.abs(slope * x[:, k] + offset - y[:, k]).mean())
    score = found.scores[f"{name}_deg"]
    np.testing.assert_allclose(score.value, want)
    assert score.low < score.value < score.high
    r = found.scores[f"{name}_r"]
    np.testing.assert_allclose(r.value, abs(np.corrcoef(x.T, y.T)[k, 3 + k]))
    assert r.low < r.value < r.high <= 1
    slope = found.scores[f"{name}_slope"]
    want = abs(np.polyfit(y[:, k], x[:, k], 1)[0])
    np.testing.assert_allclose(slope.value, want)
    assert slope.low < slope.value < slope.high
    assert slope.unit == "" and slope.is_higher_better
  spread = np.degrees(np.abs(y - y.mean(axis=0)).mean(axis=0))
  np.testing.assert_allclose(
    list(found.details["mae_of_mean"].values()), spread
  )
  want = np.degrees(np.abs(lines.slope * x + lines.offset - y))
  np.testing.assert_allclose(found.quality, -want[:, 0])
  offset = list(found.details["offset_deg"].values())
  np.testing.assert_allclose(offset, np.degrees(lines.offset))
  assert list(found.details["slope"].values()) == lines.slope.tolist()


def test_a_view_that_never_turns_knows_nothing():
  still = np.full((90, 3), 0.2)
  lines = viewpoint.fit(still[:60], TRUE[:60])
  np.testing.assert_allclose(lines.slope, 0)
  np.testing.assert_allclose(lines.offset, TRUE[:60].mean(axis=0))
  found = viewpoint.measure(still[60:], TRUE[60:], lines, GROUP[60:])
  assert found.scores["yaw_r"].value == 0
  assert found.scores["yaw_slope"].value < 1e-12


def test_slope_counts_rows_as_often_as_they_are_drawn():
  noisy = OWN + RNG.normal(0, 0.1, OWN.shape)
  weights = RNG.integers(0, 4, 90).astype(float)
  rows = np.repeat(np.arange(90), weights.astype(int))
  found = statistics.slope(noisy, TRUE)(weights)
  for k in range(3):
    x, y = noisy[rows, k], TRUE[rows, k]
    want = np.sum((y - y.mean()) * (x - x.mean())) / np.sum((y - y.mean()) ** 2)
    np.testing.assert_allclose(found[k], want)
  still = statistics.slope(noisy, np.full_like(TRUE, 0.1))(weights)
  assert np.isnan(still).all()


def test_intervals_are_over_people():
  found = viewpoint.measure(OWN, TRUE, viewpoint.fit(OWN, TRUE), np.zeros(90))
  made_up.assert_no_interval(found)


def test_refuses_other_shapes():
  with pytest.raises(errors.InputError, match="predicted angles: expected"):
    viewpoint.fit(OWN[:, :2], TRUE)
  with pytest.raises(errors.InputError, match="true angles: expected"):
    viewpoint.fit(OWN, TRUE[:80])
