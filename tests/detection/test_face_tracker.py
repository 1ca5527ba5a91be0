import itertools

import numpy as np
import pytest

from facerep_jax.detection import face_tracker

NONE = np.zeros((0, 5))


def box(x, y, side=40):
  return [x, y, x + side, y + side, 1.0]


def run(faces, fps=10, cuts=()):
  times = np.arange(len(faces)) / fps
  is_cropped = np.isin(np.arange(len(faces)), cuts)
  return face_tracker.follow(
    times, [np.reshape(f, (-1, 5)) for f in faces], is_cropped
  )


def test_moving_face_is_one_track():
  faces = [[box(10 + 4 * i, 50)] for i in range(20)]
  (track,) = run(faces)
  np.testing.assert_array_equal(track.index, np.arange(20))
  np.testing.assert_array_equal(track.detected, 1)
  # Steady motion passes the smoothing unchanged, ends included.
  want = np.array([f[0][:4] for f in faces])
  np.testing.assert_allclose(track.box_px, want, atol=1e-3)


def test_gap_is_interpolated_linearly_in_time():
  faces = [[box(10 + 4 * i, 50)] for i in range(20)]
  faces[8:12] = [NONE] * 4
  (track,) = run(faces)
  assert track.detected.tolist() == [1] * 8 + [0] * 4 + [1] * 8
  np.testing.assert_allclose(
    track.box_px[:, 0], 10 + 4 * np.arange(20), atol=1e-3
  )


def test_frontal_is_told_per_frame_and_of_gaps_it_is_not():
  faces = [[[*box(10 + 4 * i, 50), float(i < 6)]] for i in range(12)]
  faces[2:4] = [np.zeros((0, 6))] * 2
  times, cuts = np.arange(12) / 10, np.zeros(12, bool)
  arrays = [np.reshape(x, (-1, 6)) for x in faces]
  (track,) = face_tracker.follow(times, arrays, cuts)
  assert track.frontal.tolist() == [1, 1, 0, 0, 1, 1] + [0] * 6
  assert track.frontal.dtype == np.int64
  labels = track.take(slice(4, 8)).labels()
  assert labels["frontal"].tolist() == [1, 1, 0, 0]
  np.testing.assert_array_equal(labels["box_px"], track.box_px[4:8])
  (track,) = face_tracker.follow(times, [x[:, :5] for x in arrays], cuts)
  assert track.frontal is None and "frontal" not in track.labels()


def test_long_gap_ends_the_track():
  faces = [[box(10, 50)]] * 8 + [NONE] * 12 + [[box(10, 50)]] * 8
  first, second = run(faces)  # 1.3 s between detections, limit 1 s.
  assert first.index.tolist() == list(range(8))
  assert second.index.tolist() == list(range(20, 28))


def test_cut_ends_the_track_even_if_a_face_is_there():
  first, second = run([[box(10, 50)]] * 10, cuts=[6])
  assert first.index[-1] == 5
  assert second.index[0] == 6


def test_two_faces_that_come_near_stay_apart():
  left = [box(10 + 2 * i, 50) for i in range(10)]
  right = [box(80 - 2 * i, 50) for i in range(10)]
  # Listed in alternating order: the order must not matter.
  faces = [
    [a, b] if i % 2 else [b, a] for i, (a, b) in enumerate(zip(left, right))
  ]
  one, two = run(faces)
  np.testing.assert_allclose(one.box_px[:, 0], 10 + 2 * np.arange(10), atol=0.1)
  np.testing.assert_allclose(two.box_px[:, 0], 80 - 2 * np.arange(10), atol=0.1)


def test_jump_starts_a_new_track():
  faces = [[box(10, 50)]] * 5 + [[box(200, 50)]] * 5
  first, second = run(faces)
  assert first.index.tolist() == [0, 1, 2, 3, 4]
  assert second.index.tolist() == [5, 6, 7, 8, 9]


def test_brief_false_alarms_are_dropped():
  faces = [[box(10, 50)]] * 10
  faces[3] = [box(10, 50), box(200, 200)]
  faces[4] = [box(10, 50), box(200, 200)]
  (track,) = run(faces)
  assert track.box_px[0, 0] == pytest.approx(10)


def test_no_faces_make_no_tracks():
  assert run([NONE] * 5) == []
  assert run([]) == []


def test_mostly_interpolated_track_is_dropped():
  faces = [[box(10, 50)] if i % 9 == 0 else NONE for i in range(40)]
  assert run(faces) == []


def test_jitter_is_reduced_and_the_mean_kept():
  rng = np.random.default_rng(0)
  noise = rng.normal(0, 3, (60, 4))
  faces = [[[*(np.array(box(100, 50)[:4]) + n), 1.0]] for n in noise]
  (track,) = run(faces, fps=25)
  sides = track.box_px[:, 2] - track.box_px[:, 0]
  raw = 40 + noise[:, 2] - noise[:, 0]
  assert sides.std() < 0.4 * raw.std()
  assert abs(sides.mean() - raw.mean()) < 0.5


def test_iou():
  a = np.array([[0, 0, 10, 10], [0, 0, 5, 5]])
  b = np.array([[5, 0, 15, 10], [20, 20, 30, 30.0]])
  np.testing.assert_allclose(face_tracker.iou(a, b), [[50 / 150, 0], [0, 0]])


def scene(seed):
  """A coarse random picture, as a thumbnail of a scene would be."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(60, 190, (8, 12, 3))
  return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)


def cuts_of(frames):
  changes = [
    face_tracker.frame_change(a, b) for a, b in itertools.pairwise(frames)
  ]
  return np.flatnonzero(face_tracker.find_cuts(np.array(changes))).tolist()


def test_cut_between_two_scenes_is_found():
  rng = np.random.default_rng(0)
  frames = [
    np.clip(x + rng.integers(-3, 4, x.shape), 0, 255).astype(np.uint8)
    for x in [scene(1)] * 6 + [scene(2)] * 6
  ]
  assert cuts_of(frames) == [5]


def test_cut_between_scenes_of_the_same_colours_is_found():
  frames = [scene(1)] * 6 + [scene(1)[::-1]] * 6
  change = face_tracker.frame_change(frames[5], frames[6])
  assert change[1] == 0  # The histogram alone would not tell.
  assert cuts_of(frames) == [5]


def test_caption_that_stays_does_not_hide_a_cut():
  frames = [x.copy() for x in [scene(1)] * 6 + [scene(2)] * 6]
  for frame in frames:
    frame[26:30, 6:42] = 0
    frame[27:29, 8:40:3] = 255  # Two lines of letters.
  assert cuts_of(frames) == [5]


def test_pan_and_light_are_no_cuts():
  wide = np.concatenate([scene(1), scene(2), scene(3)], 1)
  pan = [wide[:, 4 * i : 4 * i + 48] for i in range(20)]
  assert cuts_of(pan) == []
  brighter = [np.clip(scene(1) * g, 0, 255) for g in np.linspace(0.3, 1.3, 4)]
  assert cuts_of([x.astype(np.uint8) for x in brighter]) == []


def test_still_and_black_pictures_are_no_cuts():
  black = np.zeros((32, 48, 3), np.uint8)
  assert cuts_of([black] * 5) == []
  assert cuts_of([scene(1)] * 5) == []
  assert face_tracker.find_cuts(np.zeros((0, 3))).shape == (0,)
