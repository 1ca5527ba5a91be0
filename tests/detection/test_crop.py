import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import transforms
from facerep_jax.detection import crop


def ramp(height, width):
  """An image whose channels 0 and 1 tell x and y."""
  rows, columns = np.indices((height, width))
  return np.stack([columns, rows, 0 * rows], -1).astype(np.uint8)


def test_square_is_scaled_about_the_box():
  square = crop.square_box(np.array([10, 20, 30, 50]))
  top = 35 - 48 * 103 / 256
  np.testing.assert_allclose(square, [20 - 24, top, 20 + 24, top + 48])


def test_the_run_crop_is_about_the_box():
  x0, y0, x1, _ = crop.square_box(np.array([100, 200, 180, 280]))
  left, top, side = (
    value * (x1 - x0) / 256 for value in transforms.Crop().middle()
  )
  assert x0 + left + side / 2 == pytest.approx(140)
  assert y0 + top + side / 2 == pytest.approx(240)
  assert side > 80  # All of the box is in it.


def test_crop_takes_the_pixels_of_the_square():
  image = ramp(200, 200)
  # A box of 20 px makes a square of 32: x 50..82, y 93.125..125.125.
  got = crop.crop_box(image, np.array([56, 96, 76, 116]), 32)
  np.testing.assert_array_equal(got[..., 0], image[90:122, 50:82, 0])
  assert np.abs(got[..., 1] - (image[93:125, 50:82, 1] + 0.125)).max() <= 0.5


def test_crop_places_fractions_of_pixels():
  image = ramp(200, 200)
  got = crop.crop_box(image, np.array([56.5, 96, 76.5, 116]), 32)
  # Rounded to a byte; half a pixel further right.
  want = image[90:122, 50:82, 0] + 0.5
  assert np.abs(got[..., 0] - want).max() <= 0.5


def test_crop_resizes_in_place():
  got = crop.crop_box(ramp(200, 200), np.array([56, 96, 76, 116]), 64)
  # Centre of output pixel i lies at 50 + (i + 0.5) / 2 - 0.5.
  want = 50 + (np.arange(64) + 0.5) / 2 - 0.5
  assert np.abs(got[32, :, 0] - want).max() <= 1  # Rounding, cubic overshoot.


def test_border_repeats_the_last_pixel():
  image = ramp(100, 100) + 100
  got = crop.crop_box(image, np.array([-10, 40, 10, 60]), 32)  # x -16..16.
  np.testing.assert_array_equal(got[:, :14, 0], 100)
  np.testing.assert_array_equal(got[0, 16:, 0], 100 + np.arange(16))


@pytest.mark.parametrize(
  "box",
  [[10, 10, 10, 20], [0, 0, np.nan, 5], [500, 0, 520, 20], [-90, 0, -70, 20]],
)
def test_impossible_boxes_are_refused(box):
  with pytest.raises(errors.InputError, match="face box"):
    crop.crop_box(ramp(100, 100), np.array(box, float), 32)


def test_whole_image_is_the_central_square():
  image = ramp(60, 100)
  got = crop.whole_image(image, 60)
  np.testing.assert_array_equal(got, image[:, 20:80])
  assert crop.whole_image(image, 24).shape == (24, 24, 3)


def test_main_face_weighs_area_and_place():
  corner = [0, 0, 30, 30, 9.0]
  centre = [40, 40, 60, 60, 1.0]
  large = [60, 60, 98, 98, 1.0]
  pick = lambda *faces: crop.main_face(np.array(faces), 100, 100).tolist()
  # 30^2 exp(-2 * 0.7^2) = 338 < 20^2, although the corner's score is higher.
  # Over the whole diagonal it would be 30^2 exp(-2 * 0.35^2) = 704.
  assert pick(corner, centre) == centre
  assert pick(centre, large) == large  # 38^2 exp(-2 * 0.58^2) > 20^2.
  assert crop.main_face(np.zeros((0, 5)), 100, 100) is None
  # 200 px wide: the second face would be in the middle of 200 px of height.
  faces = np.array([[90, 40, 110, 60, 1.0], [38, 88, 62, 112, 1.0]])
  assert crop.main_face(faces, 200, 100).tolist() == faces[0].tolist()


def test_find_and_crop_says_which():
  image = ramp(100, 100)
  face = lambda _: np.array([[40, 40, 60, 60, 1.0]])
  got, kind, found, others = crop.find_and_crop(image, face, 32)
  assert others == ()
  assert kind == "face" and found.tolist() == [40, 40, 60, 60, 1]
  np.testing.assert_array_equal(got, crop.crop_box(image, [40, 40, 60, 60], 32))
  got, kind, found, _ = crop.find_and_crop(
    image, lambda _: np.zeros((0, 5)), 100
  )
  assert kind == "whole" and found is None
  np.testing.assert_array_equal(got, image)


def test_all_faces_are_the_main_one_and_others_from_left_to_right():
  image = ramp(100, 100)
  boxes = [[70, 40, 80, 50, 9.0], [40, 40, 60, 60, 5.0], [5, 5, 15, 15, 2.0]]
  find = lambda _: np.array(boxes)
  cut = crop.find_and_crop(image, find, 32, is_all=True)
  found = [cut, *cut.others]
  assert [x.face.tolist() for x in found] == [boxes[1], boxes[2], boxes[0]]
  for one in found:
    want = crop.crop_box(image, one.face[:4], 32)
    np.testing.assert_array_equal(one.image, want)
  assert [x.others for x in cut.others] == [(), ()]
  assert crop.find_and_crop(image, find, 32).others == ()


def test_find_and_crop_takes_colour_images_only():
  with pytest.raises(errors.InputError, match="H, W, 3"):
    crop.find_and_crop(np.zeros((50, 50), np.uint8), lambda _: [], 32)
