import jax
import numpy as np
import pytest

from facerep_jax.data import transforms
from facerep_jax.ops import resample


@pytest.fixture(autouse=True)
def _without_opencv(monkeypatch):
  monkeypatch.setattr(transforms, "_opencv", lambda: None)


def pictures(count, height, width, seed=0):
  """Noise, and a photo-like ramp with all levels, in turn."""
  rng = np.random.default_rng(seed)
  out = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
  ramp = np.linspace(0, 255, height * width).reshape(height, width, 1)
  out[1::2] = ramp.astype(np.uint8)
  return out


def pillow(frames, squares, size_px):
  return np.stack(
    [
      transforms.crop_and_resize(frame, square, 256, size_px)
      for frame, square in zip(frames, squares, strict=True)
    ]
  )


def on_device(frames, squares, size_px, *more):
  shape = frames.shape[1:3]
  boxes = [transforms.box(*shape, square, 256) for square in squares]
  step = jax.jit(resample.crop_and_resize, static_argnums=2)
  return np.asarray(step(frames, np.float32(boxes), size_px, *more))


def assert_within_a_level(got, want):
  """Some may be rounded to the other one of two levels, up as often as down."""
  assert got.dtype == want.dtype == np.uint8 and got.shape == want.shape
  difference = got.astype(int) - want
  assert np.abs(difference).max() <= 1
  assert (difference != 0).mean() < 0.1
  assert abs(difference.mean()) < 0.02


@pytest.mark.parametrize(
  ("height", "width", "size_px"),
  [
    (256, 256, 256),  # Enlarged by 1.35 to 1.5.
    (96, 96, 64),  # About the same size.
    (128, 128, 32),  # Shrunk by 2.7 to 3.
    (90, 131, 48),  # Not square; boxes between pixels.
    (33, 33, 64),
  ],
)
def test_pixels_are_those_of_pillow(height, width, size_px):
  rng = np.random.default_rng(1)
  crop = transforms.Crop()
  sides = rng.integers(crop.min_side_px, crop.max_side_px + 1, 6)
  squares = [crop.jittered(int(side), rng) for side in sides] + [crop.middle()]
  squares.append((0.0, 0.0, 256.0))
  frames = pictures(len(squares), height, width)
  got = on_device(frames, squares, size_px)
  assert_within_a_level(got, pillow(frames, squares, size_px))


def test_nothing_beyond_the_square_is_seen():
  frames = np.zeros((1, 64, 64, 3), np.uint8)
  frames[:, 16:48, 8:40] = 200
  # Units of 256: 4 to a pixel.
  got = on_device(frames, [(32.0, 64.0, 128.0)], 48)
  assert (got == 200).all()


def test_mirrored_rows_are_turned_and_no_others():
  frames = pictures(3, 40, 40)
  squares = [transforms.Crop().middle()] * 3
  plain = on_device(frames, squares, 24)
  got = on_device(frames, squares, 24, np.array([True, False, True]))
  np.testing.assert_array_equal(got[1], plain[1])
  np.testing.assert_array_equal(got[::2], plain[::2, :, ::-1])


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_colours_change_as_on_the_host(strength):
  frames = pictures(8, 20, 20).reshape(4, 2, 20, 20, 3)
  want, factors = [], []
  for i, sample in enumerate(frames):
    rng = np.random.default_rng(i)
    want.append(transforms.jitter_colour(sample, strength, rng))
    factors.append(
      transforms.colour_factors(strength, np.random.default_rng(i))
    )
  got = jax.jit(resample.change_colour)(frames, np.stack(factors))
  assert_within_a_level(np.asarray(got), np.stack(want))


def test_shapes_are_checked():
  with pytest.raises(ValueError, match=r"boxes: expected \[N, 7\]"):
    resample.crop_and_resize(
      np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 4), np.float32), 8
    )
