import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import landmark_crop
from tests.data.labelled import tiny


def _dots(points, size=200):
  """A picture with a soft dot at each point."""
  y, x = np.mgrid[:size, :size]
  image = np.zeros((size, size))
  for px, py in points:
    image += np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8)
  return np.repeat(np.uint8(np.clip(image, 0, 1) * 255)[..., None], 3, -1)


def _middle(image, point, reach=6):
  """Centre of brightness around a point."""
  x0, y0 = np.round(point).astype(int) - reach
  part = image[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1, 0].astype(
    float
  )
  y, x = np.mgrid[: part.shape[0], : part.shape[1]]
  return np.array([(part * x).sum(), (part * y).sum()]) / part.sum() + (x0, y0)


def _points():
  """Far apart but for most, which lie upon each other in the middle."""
  points = np.full((68, 2), (90.0, 100.0))
  points[:4] = (60.3, 80.0), (121.0, 70.4), (75.2, 131.0), (110.0, 125.7)
  return points


@pytest.mark.parametrize("name", ["square", "box"])
def test_landmarks_stay_on_what_they_mark(name):
  points = _points()
  image = _dots(points[:5])
  cut, moved = landmark_crop.plan(name, points)
  out = cut(image)
  assert out.shape[0] == out.shape[1] and out.dtype == np.uint8
  # A pixel's grey values are rounded to whole numbers: a tenth of a pixel.
  for i in range(4):
    np.testing.assert_allclose(_middle(out, moved[i]), moved[i], atol=0.1)


def test_the_square_is_of_the_face_and_pixels_keep_their_size():
  points = tiny.face_points(60, 50, (20, 30))
  image = np.zeros((200, 200, 3), np.uint8)
  cut, moved = landmark_crop.plan_square(points, 1.6)
  out = cut(image)
  # 1.6 x 1.15 x 60 px; the face's middle lies at 103/256 of it, that of the
  # points 0.15 x 60 px below.
  assert out.shape == (110, 110, 3)
  middle = (moved.min(axis=0) + moved.max(axis=0)) / 2
  y = 110 * 103 / 256 - 0.5 + 9 * 110 / 110.4
  np.testing.assert_allclose(middle, (54.5, y), atol=1e-9)
  np.testing.assert_allclose(
    np.ptp(moved, axis=0), np.array([60, 50]) / 1.00363636
  )


def test_beyond_the_image_its_border_is_repeated():
  points = tiny.face_points(20, 20, (1, 1))
  image = np.zeros((40, 40, 3), np.uint8)
  image[:, 0] = 200
  cut, _ = landmark_crop.plan_square(points, 1.6)
  out = cut(image)
  assert (out[:, 0] == 200).all() and (out[:, -1] == 0).all()


def test_the_box_grows_by_a_tenth_and_becomes_square():
  points = tiny.face_points(100, 50, (20, 30))
  _, moved = landmark_crop.plan_box(points)
  # 120 x 60 px to 120 x 120 px: y grows twofold, the margin is a twelfth.
  np.testing.assert_allclose(moved.min(axis=0), (9.5, 9.5))
  np.testing.assert_allclose(np.ptp(moved, axis=0), (100, 100))


def test_no_crop_leaves_image_and_landmarks():
  image, points = _dots(_points()), _points()
  cut, moved = landmark_crop.plan("none", points)
  assert cut(image) is image
  np.testing.assert_array_equal(moved, points)


def test_refusals():
  with pytest.raises(errors.InputError, match="crop is 'tight'"):
    landmark_crop.plan("tight", _points())
  with pytest.raises(errors.InputError, match="span no box"):
    landmark_crop.plan("box", np.ones((68, 2)))
  away = tiny.face_points(10, 10, (500, 500))
  image = np.zeros((40, 40, 3), np.uint8)
  for name in ("square", "box"):
    with pytest.raises(errors.InputError, match="lies outside of the image"):
      landmark_crop.plan(name, away)[0](image)
