"""The order of the 68 points, as iBUG's figure numbers them from 1."""

import numpy as np

from facerep_jax.synthetic import actions, landmarks

# What each point becomes in a mirror.
MIRROR = np.array(
  [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
  + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
  + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
  + [64, 63, 62, 61, 60, 67, 66, 65]
)  # fmt: skip


def rises(values):
  return (np.diff(values) > 0).all()


def test_points_are_mirrored_onto_their_partners():
  s, t = landmarks.fixed_points()
  np.testing.assert_allclose(s[MIRROR], -s, atol=1e-12)
  np.testing.assert_allclose(t[MIRROR], t, atol=1e-12)


def test_lids_run_round_each_eye_from_the_image_s_left():
  s, t = landmarks.fixed_points()
  for first in (36, 42):
    eye = np.arange(first, first + 6)
    assert rises(s[eye[:4]])  # Along the upper lid to the right,
    assert rises(-s[eye[3:]])  # and back along the lower one,
    np.testing.assert_allclose(s[eye[[5, 4]]], s[eye[[1, 2]]])
    corners = t[eye[[0, 3]]]
    assert t[eye[1:3]].max() < corners.min()
    assert t[eye[4:]].min() > corners.max()
  # The person's right eye is on the image's left.
  assert s[36:42].max() < 0 < s[42:48].min()


def test_other_parts_run_from_the_image_s_left_and_down():
  s, t = landmarks.fixed_points()
  assert rises(s[:17]) and np.argmax(t[:17]) == 8  # The chin.
  assert rises(s[17:27])
  assert rises(t[27:31]) and rises(s[31:36])
  for upper, lower in (
    (range(48, 55), range(54, 60)),
    (range(60, 65), range(64, 68)),
  ):
    assert rises(s[upper]) and rises(-s[lower])
    assert t[upper[1:-1]].max() < t[lower[1:]].min()


def test_a_lid_moves_the_points_of_its_own_eye():
  rest = actions.lid_edges(np.zeros((2, 20)))
  half = np.zeros((2, 20))
  half[0, actions.INDEX[45]] = 1  # The right eye is shut.
  upper, lower = actions.lid_edges(half)
  _, open_ = landmarks.lid_points(
    rest[0][0], rest[1][0], rest[0][1], rest[1][1]
  )
  _, shut = landmarks.lid_points(upper[0], lower[0], upper[1], lower[1])
  down = shut - open_
  assert (down[[1, 2]] > 0.05).all()  # Upper lid of the right eye.
  np.testing.assert_allclose(down[[0, 3, *range(6, 12)]], 0, atol=1e-12)
