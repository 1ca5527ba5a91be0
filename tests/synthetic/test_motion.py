import numpy as np
import pytest

from facerep_jax.synthetic import actions, motion


def _tracks(count, num_frames=16):
  for seed in range(count):
    yield motion.draw(np.random.default_rng(seed), num_frames, 1.0, 0)


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


def test_poses_stay_in_range_and_half_of_the_frames_are_near_the_front():
  tracks = list(_tracks(400))
  yaw = np.rad2deg([m.yaw_rad for m in tracks])
  assert np.abs(yaw).max() <= 60 + 1e-9
  assert np.abs(np.rad2deg([m.pitch_rad for m in tracks])).max() <= 30
  assert np.abs(np.rad2deg([m.roll_rad for m in tracks])).max() <= 25
  assert 0.45 < (np.abs(yaw) < 20).mean() < 0.65
  assert (np.abs(yaw) > 40).mean() > 0.1  # And many are seen from a side.
  spread = np.ptp(yaw, axis=1)
  assert (spread > 50).mean() > 0.25
  assert (spread < 25).mean() > 0.3  # And many hardly turn.
  assert abs(yaw.mean()) < 5  # No side is preferred.


def test_turns_scale_the_pose_and_nothing_of_the_face():
  for seed in range(20):
    full, half, still = (
      motion.draw(np.random.default_rng(seed), 16, turns, 0)
      for turns in (1.0, 0.5, 0.0)
    )
    for name in ("yaw_rad", "pitch_rad", "roll_rad"):
      np.testing.assert_array_equal(
        getattr(half, name), getattr(full, name) / 2
      )
      assert not getattr(still, name).any()
    for name in ("left", "right", "expression", "aim", "zoom", "drift"):
      np.testing.assert_array_equal(getattr(half, name), getattr(full, name))


def test_tracks_can_show_many_expressions_one_after_the_other():
  for count in (2, 5):
    found = [
      motion.draw(np.random.default_rng(seed), 160, 1.0, count)
      for seed in range(40)
    ]
    # Between two of them the face is neutral.
    episodes = [
      np.sum(np.diff((m.intensity > 0).astype(int)) == 1) for m in found
    ]
    assert max(episodes) <= count and np.mean(episodes) > 0.6 * count
    shown = [len(set(m.expression)) for m in found]
    assert np.mean(shown) > {2: 2.0, 5: 3.5}[count]
    assert all(m.left.max() <= 1 and m.left.min() >= 0 for m in found)
  # The pose does not depend on it.
  one, many = (
    motion.draw(np.random.default_rng(3), 16, 1.0, k) for k in (0, 5)
  )
  np.testing.assert_array_equal(one.yaw_rad, many.yaw_rad)


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


def test_tracks_show_expressions_at_their_peak():
  peaks, at_peak, kinds = [], [], []
  for m in _tracks(400):
    assert m.intensity.max() <= 1
    if m.expression.any():
      peaks.append(m.intensity.max())
      at_peak.append((m.intensity > 0.9 * m.intensity.max()).mean())
      kinds.append(len(set(m.expression) - {0}))
  assert np.median(peaks) > 0.7
  assert np.mean(at_peak) > 0.25  # Held, not only passed.
  assert 0.15 < np.mean(np.array(kinds) == 2) < 0.5


@pytest.mark.parametrize(
  ("kind", "units"),
  [(1, (6, 12)), (2, (1, 15)), (3, (1, 2, 26)), (4, (1, 5, 20)), (5, (9, 10)),
   (6, (4, 7))],
)  # fmt: skip
def test_recipes_peak_in_their_own_units(kind, units):
  seen, others = [], []
  for m in _tracks(500):
    frame = int(np.argmax(m.intensity))
    both = (m.left + m.right)[frame] / 2
    if m.intensity[frame] < 0.7:
      continue
    own = np.mean([both[actions.INDEX[n]] for n in units])
    (seen if m.expression[frame] == kind else others).append(own)
  assert np.mean(seen) > 0.7
  assert np.mean(seen) > 2 * np.mean(others)


def test_speech_moves_the_lips_without_an_expression():
  still, moving = 0, 0
  for m in _tracks(300):
    if m.expression.any():
      continue
    units = (m.left + m.right)[:, [actions.INDEX[n] for n in (18, 25, 26)]]
    moving += np.ptp(units, axis=0).max() > 0.3
    still += np.ptp(units, axis=0).max() < 0.1
  assert still > 5 and moving > 5


def test_contempt_is_of_one_side_and_others_are_nearly_even():
  differences = {kind: [] for kind in range(1, 8)}
  for m in _tracks(400):
    if m.intensity.max() >= motion.EXPRESSION_FLOOR:
      at = int(np.argmax(m.intensity))
      unit = actions.INDEX[12]
      gap = abs(m.left[at, unit] - m.right[at, unit])
      differences[m.expression[at]].append(gap / m.intensity[at])
  assert np.mean(differences[7]) > 0.4
  assert 0.01 < np.mean(differences[1]) < 0.2
