import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import albedo_leak
from tests.evaluators import made_up
from tests.oracles import depth_error

RNG = np.random.default_rng(0)
YAW = RNG.uniform(-0.8, 0.8, 120)
GROUP = np.arange(120) // 3


def pictures(moves):
  """A bright spot on a person's colour; it moves with yaw, or stays."""
  y, x = np.mgrid[:32, :32]
  colour = RNG.uniform(0.2, 0.5, (40, 3))[GROUP]
  middle = 16 + 10 * moves * YAW[:, None, None]
  spot = np.exp(-((x - middle) ** 2 + (y - 16) ** 2) / 30)
  return colour[:, None, None] + 0.5 * spot[..., None]


def leak(images):
  found = albedo_leak.fit(images[:60], YAW[:60], GROUP[:60])
  return albedo_leak.measure(images[60:], YAW[60:], found, GROUP[60:])


def test_layout_is_the_mean_of_each_cell():
  images = RNG.uniform(0, 1, (2, 16, 16, 3))
  got = albedo_leak.layout(images)
  for i in range(2):
    want = depth_error.block_means(images[i], 8)
    np.testing.assert_allclose(got[i], want, rtol=1e-12)


def test_a_texture_that_moves_with_the_face_leaks_its_pose():
  moving, still = leak(pictures(1.0)), leak(pictures(0.0))
  score = moving.scores["yaw_r2"]
  assert score.value > 0.95 and not score.is_higher_better
  assert score.low <= score.value <= score.high
  # 60 training images of noise alone: the penalty holds the fit down.
  assert still.scores["yaw_r2"].value < 0.15
  # The more of the yaw is read, the worse.
  assert moving.quality.mean() < still.quality.mean()


def test_quality_is_the_error_in_degrees():
  images = pictures(1.0)
  found = albedo_leak.fit(images[:60], YAW[:60], GROUP[:60])
  measured = albedo_leak.measure(images[60:], YAW[60:], found, GROUP[60:])
  cells = [depth_error.block_means(image, 8) for image in images[60:]]
  read = (cells - found.mean) / found.scale @ found.weights + found.offset
  want = np.abs(read[:, 0] - YAW[60:]) * 180 / np.pi
  np.testing.assert_allclose(measured.quality, want)


def test_intervals_are_over_people():
  images = pictures(1.0)
  found = albedo_leak.fit(images[:60], YAW[:60], GROUP[:60])
  made_up.assert_no_interval(
    albedo_leak.measure(images[60:], YAW[60:], found, np.zeros(60))
  )


def test_refuses_other_shapes():
  with pytest.raises(errors.InputError, match="albedo: expected"):
    albedo_leak.layout(np.zeros((2, 16, 16)))
  with pytest.raises(errors.InputError, match="multiple of 8"):
    albedo_leak.layout(np.zeros((2, 20, 20, 3)))
