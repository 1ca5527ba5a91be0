import numpy as np

from facerep_jax.synthetic import background


def test_backgrounds_are_mostly_dull_and_of_many_levels():
  levels, vivid, rough = [], [], []
  for seed in range(120):
    image = background.draw(np.random.default_rng(seed), 96)
    assert image.shape == (96, 96, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    shown = image**0.45
    levels.append(shown.mean())
    vivid.append(np.ptp(shown.mean((0, 1))))
    rough.append(shown.std(axis=(0, 1)).mean())
  low, high = np.percentile(levels, [10, 90])
  assert low < 0.3 and high > 0.6
  assert np.median(vivid) < 0.12
  assert np.percentile(rough, 10) < 0.08 and np.percentile(rough, 90) > 0.15


def test_size_only_resamples_a_background():
  small = background.draw(np.random.default_rng(4), 64)
  large = background.draw(np.random.default_rng(4), 128)
  coarse = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
  assert np.abs(coarse - small).mean() < 0.03
