import dataclasses

import numpy as np

from facerep_jax.synthetic import photo

PLAIN = photo.Sensor(0.0, np.ones(3), 0.45, 0.0, 90)


def _scene(side=64):
  x, y = np.meshgrid(*[np.linspace(0, 1, side, dtype=np.float32)] * 2)
  return np.stack([0.6 * x, 0.4 * y, 0.3 + 0 * x], -1) + 0.02


def _expose(seed=0, linear=None, **changes):
  linear = _scene() if linear is None else linear
  sensor = dataclasses.replace(PLAIN, **changes)
  return photo.expose(linear, sensor, np.random.default_rng(seed))


def test_grey_pictures_have_equal_channels_even_when_noisy_and_small():
  image = _expose(is_mono=True, noise=0.05, resolution=40.0, small_quality=40)
  np.testing.assert_array_equal(image[..., 0], image[..., 1])
  np.testing.assert_array_equal(image[..., 0], image[..., 2])
  assert image.std() > 10
  assert np.abs(np.diff(_expose().astype(int), axis=-1)).max() > 30


def test_plain_camera_applies_its_gamma_alone():
  want = np.rint(_scene().astype(float) ** 0.45 * 255)
  assert np.abs(_expose().astype(float) - want).max() <= 1  # Rounding.


def test_saturation_scales_the_distance_from_grey():
  full, half = (_expose(saturation=x).astype(float) for x in (1.0, 0.5))
  luma = full @ [0.299, 0.587, 0.114]
  want = luma[..., None] + 0.5 * (full - luma[..., None])
  np.testing.assert_allclose(half, want, atol=1.5)  # Two roundings.


def test_black_white_and_curve():
  image = _expose(black=0.1, white=0.8)
  assert image.min() >= 0.1 * 255 and image.max() <= 0.8 * 255 + 1
  steep, flat = _expose(curve=0.8), _expose(curve=-0.3)
  assert steep.std() > _expose().std() > flat.std()


def test_vignette_darkens_corners_and_leaves_the_middle():
  even = np.full((64, 64, 3), 0.3, np.float32)
  image = _expose(linear=even, vignette=0.5).astype(float)
  plain = _expose(linear=even).astype(float)
  # Half of the light is lost: 0.5 ** 0.45 = 0.73 of the level.
  np.testing.assert_allclose(image[0, 0] / plain[0, 0], 0.73, atol=0.02)
  np.testing.assert_allclose(image[32, 32], plain[32, 32], atol=1)


def test_low_resolution_loses_what_is_fine_and_keeps_what_is_coarse():
  rng = np.random.default_rng(1)
  fine = np.repeat(rng.random((64, 64, 1), np.float32), 3, -1)
  sharp = _expose(linear=fine).astype(float)
  soft = _expose(linear=fine, resolution=16.0).astype(float)
  assert soft.shape == sharp.shape
  assert np.abs(np.diff(soft, axis=1)).mean() < 0.3 * (
    np.abs(np.diff(sharp, axis=1)).mean()
  )
  assert abs(soft.mean() - sharp.mean()) < 2
  smooth = np.abs(_expose(resolution=32.0).astype(float) - _expose())
  assert smooth.mean() < 3


def test_negative_blur_sharpens():
  def step(blur):
    return np.abs(np.diff(_expose(linear=edge, blur=blur).astype(float), 1, 1))

  edge = np.full((8, 8, 3), 0.2, np.float32)
  edge[:, 4:] = 0.4
  assert step(-0.08).max() > step(0.0).max() > step(0.2).max()


def test_drawn_cameras_expose_for_the_face():
  rng = np.random.default_rng(3)
  levels, mono = {0.04: [], 0.5: []}, []
  for brightness, seen in levels.items():
    for _ in range(400):
      sensor = photo.draw(rng, brightness, 0.18, 0.02, (22, 95))
      face = np.full((4, 4, 3), brightness, np.float32)
      seen.append(photo.expose(face, sensor, rng).mean())
      mono.append(sensor.is_mono)
      assert 22 <= sensor.quality <= 95 and sensor.noise <= 0.02
  dark, bright = levels.values()
  # Dark skin stays darker, but a camera makes up for most of it.
  assert 60 < np.median(dark) < np.median(bright) < 210
  assert np.std(dark) > 15 and np.std(bright) > 15
  assert 0.1 < np.mean(mono) < 0.22
