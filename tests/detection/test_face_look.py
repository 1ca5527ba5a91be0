import numpy as np
import pytest

from facerep_jax.detection import face_look

pytest.importorskip("cv2")


def pattern(seed, side=64):
  """A coarse random picture with soft edges."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(40, 200, (8, 8, 3))
  return np.kron(coarse, np.ones((side // 8, side // 8, 1))).astype(np.uint8)


def test_edges_ignore_brightness_and_colours_tell_it():
  face = pattern(0)
  dark = (face * 0.6).astype(np.uint8)
  same = face_look.distance(face_look.edges(face), face_look.edges(dark))
  other = face_look.distance(face_look.edges(face), face_look.edges(pattern(1)))
  assert same < 0.01 and other > 0.1
  tint = face_look.distance(face_look.colours(face), face_look.colours(dark))
  assert tint > 0.1


def test_edges_have_an_angle_and_a_place():
  face = np.full((64, 64, 3), 50, np.uint8)
  face[:, 36:] = 150  # An upright edge in the fifth column of cells.
  cells = face_look.edges(face).reshape(8, 8, 9)
  assert cells[:, 4, 0].min() > 0.3
  assert np.isclose((cells[:, 4, 0] ** 2).sum(), 1)
  flat = face_look.edges(np.full((64, 64, 3), 50, np.uint8))
  assert not flat.any()
  assert face_look.distance(flat, flat) == 0
  assert face_look.distance(flat, face_look.edges(face)) == 1


def test_colours_do_not_see_where_they_are():
  face = pattern(2)
  a, b = (face_look.colours(x) for x in (face, face[::-1, ::-1].copy()))
  np.testing.assert_allclose(a, b, atol=1e-6)
  assert np.isclose((a**2).sum(), 1)


def test_faces_are_taken_from_where_they_are_at_any_size():
  image = np.full((300, 400, 3), 90, np.uint8)
  image[100:164, 200:264] = pattern(3)
  image = np.kron(image, np.ones((3, 3, 1), np.uint8))  # 1200 px wide.
  looks = face_look.Looks()
  box = 3 * np.array([[200, 100, 264, 164, 1.0], [20, 20, 84, 84, 0.5]])
  looks.add(image, box)
  looks.add(image, np.zeros((0, 5)))
  assert [len(x) for x in looks.edges] == [2, 0]
  # Of the reduced image: blurred, but in place.
  found = face_look.distance(looks.edges[0][0], face_look.edges(pattern(3)))
  assert found < 0.06
  assert not looks.edges[0][1].any()  # Nothing but grey.
  assert looks.pictures[0].shape == (16, 24, 3)
