import dataclasses

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import transforms

CROP = transforms.Crop()


def noise(height, width, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_default_window_is_the_published_one():
  left = CROP.centre_x_px - CROP.window_px / 2
  top = CROP.centre_y_px - CROP.window_px / 2
  # First and last row and column, counted from 0.
  assert (top, top + CROP.window_px - 1) == (8, 197)
  assert (left, left + CROP.window_px - 1) == (33, 222)


def test_default_window_follows_from_the_published_steps():
  # Pad left 20, top 80, right 20, bottom 30, then cut the middle 190 px.
  rows, columns = np.mgrid[:256, :256]
  padded = np.pad(np.stack([rows, columns]), ((0, 0), (80, 30), (20, 20)))
  height, width = padded.shape[1:]
  top, left = (height - 190) // 2, (width - 190) // 2
  cut = padded[:, top : top + 190, left : left + 190]
  assert (cut[0].min(), cut[0].max()) == (8, 197)
  assert (cut[1].min(), cut[1].max()) == (33, 222)


def test_middle_crop():
  left, top, side = CROP.middle()
  assert (top, top + side - 1) == (18, 187)
  assert (left, left + side - 1) == (43, 212)


@pytest.mark.parametrize("side", [170, 180, 189, 190])
def test_jittered_crops_fill_the_window(side):
  rng = np.random.default_rng(0)
  squares = np.array([CROP.jittered(side, rng) for _ in range(1000)])
  assert (squares[:, 2] == side).all()
  assert (squares == np.rint(squares)).all()
  # Every place from one end to the other: with 21 and 1,000 draws, one that
  # is left out has a chance of 1e-21.
  for axis, start in ((0, 33), (1, 8)):
    want = np.arange(start, start + 190 - side + 1)
    np.testing.assert_array_equal(np.unique(squares[:, axis]), want)
  if side < 190:
    assert np.corrcoef(squares[:, 0], squares[:, 1])[0, 1] < 0.2


@pytest.mark.parametrize(
  "change",
  [
    {"min_side_px": 190},
    {"max_side_px": 191},
    {"centre_x_px": 94},
    {"centre_y_px": 162},
    {"frame_px": 197},
  ],
)
def test_crop_refuses(change):
  with pytest.raises(errors.InputError, match="inside the frame"):
    dataclasses.replace(CROP, **change)


@pytest.mark.parametrize("name", ["window_px", "min_side_px"])
def test_crop_refuses_sides_of_0(name):
  with pytest.raises(errors.InputError, match=f"crop.{name}: expected .* 1 "):
    dataclasses.replace(CROP, **{name: 0})


@pytest.fixture(params=[True, False], ids=["opencv", "pillow"])
def opencv(request, monkeypatch):
  """Whether OpenCV is there; skips where it should be and is not."""
  if request.param:
    pytest.importorskip("cv2")
  else:
    monkeypatch.setattr(transforms, "_opencv", lambda: None)
  return request.param


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("square", [(43, 18, 170), (33, 8, 189), (0, 0, 256)])
def test_crop_at_the_unit_is_a_cut_and_a_resize(square, size):
  image = noise(256, 256)
  left, top, side = square
  cut = image[top : top + side, left : left + side]
  want = Image.fromarray(cut).resize((size, size), Image.Resampling.BILINEAR)
  got = transforms.crop_and_resize(image, square, 256, size)
  assert got.dtype == np.uint8
  # OpenCV rounds once where Pillow does twice; it enlarges alone.
  atol = 1 if size > side and transforms._opencv() else 0
  np.testing.assert_allclose(got.astype(int), np.asarray(want), atol=atol)


@pytest.mark.parametrize("side", [170, 189])
def test_enlarging_is_bilinear(side, opencv):
  image, square = noise(256, 256), (40, 20, side)
  got = transforms.crop_and_resize(image, square, 256, 256)
  cut = image[20 : 20 + side, 40 : 40 + side].astype(np.float64)
  place = (np.arange(256) + 0.5) * side / 256 - 0.5
  weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(side)))
  weights /= weights.sum(1, keepdims=True)  # The edge is clamped.
  want = np.einsum("yh,xw,hwc->yxc", weights, weights, cut)
  # Pillow rounds in both passes; OpenCV cuts off a quarter before it rounds.
  np.testing.assert_allclose(got, want, atol=0.76 if opencv else 1.0)


@pytest.mark.parametrize("frame", [96, 100, 256])
@pytest.mark.parametrize("size", [32, 64, 200])
def test_float_agrees_with_uint8(frame, size):
  image = noise(frame, frame)
  square = CROP.middle()
  whole = transforms.crop_and_resize(image, square, 256, size)
  exact = transforms.crop_and_resize(
    image.astype(np.float64) / 255, square, 256, size
  )
  assert whole.dtype == np.uint8
  assert exact.dtype == np.float32
  assert exact.shape == whole.shape == (size, size, 3)
  # Two passes round, each by half a step at most.
  np.testing.assert_allclose(exact * 255, whole, atol=1.01)


def test_crop_of_a_ramp_has_the_right_place_and_scale():
  # The value at a pixel's centre is its coordinate in units of the frame.
  for frame in (96, 128, 320):
    centre = (np.arange(frame) + 0.5) * 256 / frame
    ramp = np.stack(
      [*np.meshgrid(centre, centre), np.zeros((frame, frame))], axis=-1
    )
    square = (50.5, 30.25, 171.0)
    got = transforms.crop_and_resize(ramp, square, 256, 228)
    place = (np.arange(228) + 0.5) * 171 / 228
    inner = slice(2, -2)  # The first and last take the nearest pixel.
    # Values to 256 in float32, from places in float32, in two passes.
    np.testing.assert_allclose(
      got[5, inner, 0], (50.5 + place)[inner], atol=1e-3
    )
    np.testing.assert_allclose(
      got[inner, 5, 1], (30.25 + place)[inner], atol=1e-3
    )


@pytest.mark.parametrize("size", [64, 300])
def test_crop_sees_only_its_square(size):
  image = np.zeros((256, 256, 3), np.uint8)
  image[18:188, 43:213] = 255
  got = transforms.crop_and_resize(image, CROP.middle(), 256, size)
  assert got.min() == 255


@pytest.mark.parametrize(("height", "width"), [(60, 100), (100, 60), (61, 97)])
def test_image_that_is_not_square_gives_its_middle(height, width):
  image = noise(height, width)
  side = min(height, width)
  top, left = (height - side) // 2, (width - side) // 2
  cut = image[top : top + side, left : left + side]
  for square in ((0.0, 0.0, 256.0), CROP.middle()):
    np.testing.assert_array_equal(
      transforms.crop_and_resize(image, square, 256, 48),
      transforms.crop_and_resize(cut, square, 256, 48),
    )


@pytest.mark.parametrize("frame", range(16, 300, 7))
def test_whole_frame_of_any_size(frame):
  image = np.full((frame, frame + 5, 3), 77, np.uint8)
  for unit in (100, 112, 160, 256):
    got = transforms.crop_and_resize(image, (0.0, 0.0, unit), unit, 8)
    assert (got == 77).all()


def test_mirror():
  frames = noise(4, 5)[None]
  got = transforms.mirror(frames)
  np.testing.assert_array_equal(got[0, :, 0], frames[0, :, 4])
  np.testing.assert_array_equal(transforms.mirror(got), frames)


def test_no_colour_jitter_changes_nothing():
  frames = np.stack([noise(9, 9, seed) for seed in range(3)])
  rng = np.random.default_rng(0)
  got = transforms.jitter_colour(frames, 0.0, rng)
  np.testing.assert_array_equal(got, frames)


def test_colour_jitter_is_alike_for_all_frames():
  one = noise(9, 9)
  got = transforms.jitter_colour(
    np.stack([one] * 3), 0.4, np.random.default_rng(0)
  )
  assert (got != one).any()
  np.testing.assert_array_equal(got[1], got[0])
  np.testing.assert_array_equal(got[2], got[0])


def test_colour_jitter_matches_loop():
  frames = np.stack([noise(4, 5, seed) for seed in range(2)])
  got = transforms.jitter_colour(frames, 0.3, np.random.default_rng(5))
  factors = np.random.default_rng(5).uniform(0.7, 1.3, 3)
  brightness, contrast, saturation = factors
  bright = frames.astype(np.float64) * brightness
  luma = lambda p: 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]
  mean = np.mean([luma(p) for p in bright.reshape(-1, 3)])
  for place in np.ndindex(frames.shape[:3]):
    pixel = (bright[place] - mean) * contrast + mean
    pixel = (pixel - luma(pixel)) * saturation + luma(pixel)
    want = np.clip(pixel, 0, 255)
    # Rounding to whole numbers; float32 may tip it.
    np.testing.assert_allclose(got[place], want, atol=0.501)
