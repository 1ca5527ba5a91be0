import numpy as np
import pytest

from facerep_jax.data.synthetic import actions, motion


def _tracks(count, num_frames=16):
  for seed in range(count):
    yield motion.draw(np.random.default_rng(seed), num_frames)


def test_path_passes_its_knots_at_rest():
  knots = np.array([0.0, 2.0, -1.0])
  path = motion.path(knots, 201)
  np.testing.assert_allclose(path[[0, 100, 200]], knots, atol=1e-12)
  speed = np.abs(np.diff(path))
  # Minimum jerk: at rest at the knots, 15 / 8 of the mean speed between.
  assert speed[[0, 99, 100, 199]].max() < 1e-4
  assert speed[:100].max() == pytest.approx(2.0 / 100 * 15 / 8, rel=0.01)


def test_bounded_normal_has_unit_deviation_and_bounds():
  x = motion.bounded_normal(np.random.default_rng(0), 20000)
  assert abs(x.mean()) < 0.03 and abs(x.std() - 1) < 0.02  # 1 / sqrt(20000).
  assert np.abs(x).max() <= 3


def test_poses_stay_in_range_and_many_tracks_turn_far():
  tracks = list(_tracks(300))
  yaw = np.rad2deg([m.yaw_rad for m in tracks])
  assert np.abs(yaw).max() <= 60 + 1e-9
  assert np.abs(np.rad2deg([m.pitch_rad for m in tracks])).max() <= 30
  assert np.abs(np.rad2deg([m.roll_rad for m in tracks])).max() <= 25
  spread = np.ptp(yaw, axis=1)
  assert (spread > 50).mean() > 0.4
  assert (spread < 25).mean() > 0.05  # And some hardly turn.
  assert abs(yaw.mean()) < 5  # No side is preferred.


def test_paths_are_smooth():
  # At 10 times as many frames the steps must shrink with the step of time,
  # and their differences with its square: no jumps, no kinks.
  for m in _tracks(60, 160):
    for path in (m.yaw_rad, m.pitch_rad, m.roll_rad, m.zoom, *m.aim.T):
      path = np.rad2deg(path)
      scale = max(np.ptp(path), 1e-3)
      assert np.abs(np.diff(path)).max() < 0.08 * scale
      assert np.abs(np.diff(path, 2)).max() < 0.01 * scale
  for m in _tracks(60):
    assert np.rad2deg(np.abs(np.diff(m.yaw_rad)).max()) < 31


def test_expressions_come_with_their_units_and_ease_in():
  classes = set()
  for m in _tracks(200):
    assert m.left.shape == (16, 20)
    assert min(m.left.min(), m.right.min()) >= 0
    assert max(m.left.max(), m.right.max()) <= 1
    strong = m.intensity >= motion.EXPRESSION_FLOOR
    assert ((m.expression > 0) <= strong).all()
    classes |= set(m.expression)
    frame = int(np.argmax(m.intensity))
    if m.expression[frame] == 1:  # Happiness.
      corner = (m.left + m.right)[frame, actions.INDEX[12]] / 2
      assert corner > 0.5 * m.intensity[frame]
    assert np.abs(np.diff(m.intensity)).max() < 0.95
  assert classes == set(range(8))


def test_contempt_is_of_one_side_and_others_are_nearly_even():
  differences = {kind: [] for kind in range(1, 8)}
  for m in _tracks(400):
    kind = m.expression.max()
    if kind:
      at = int(np.argmax(m.intensity))
      unit = actions.INDEX[12]
      gap = abs(m.left[at, unit] - m.right[at, unit])
      differences[kind].append(gap / m.intensity[at])
  assert np.mean(differences[7]) > 0.4
  assert 0.01 < np.mean(differences[1]) < 0.2
