import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import reconstruction
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
TARGET = RNG.uniform(0.2, 0.8, (6, 24, 20, 3)).astype(np.float32)
GROUP = np.arange(6) // 2


def _values(found):
  return {name: score.value for name, score in found.scores.items()}


def test_exact_images():
  found = reconstruction.measure(TARGET, TARGET, GROUP)
  np.testing.assert_allclose(list(_values(found).values()), [0, np.inf, 1])
  assert found.scores["psnr"].low == np.inf


def test_a_constant_shift_has_known_errors():
  shift = np.array([0.1, 0.1, 0.1, 0.01, 0.01, 0.01])[:, None, None, None]
  found = reconstruction.measure(TARGET + shift, TARGET, GROUP)
  values = _values(found)
  # Float32 images: differences of 0.01 keep five digits.
  np.testing.assert_allclose(values["l1"], 0.055, rtol=1e-5)
  # 20 dB and 40 dB; the mean over images, not that of the squares.
  np.testing.assert_allclose(values["psnr"], 30, rtol=1e-4)
  np.testing.assert_allclose(found.quality[[0, 5]], [-0.1, -0.01], rtol=1e-5)
  assert found.scores["psnr"].low == pytest.approx(20, rel=1e-4)


def test_one_exact_image_among_others():
  predicted = TARGET.copy()
  predicted[2:] += 0.1
  found = reconstruction.measure(predicted, TARGET, GROUP)
  assert found.scores["psnr"].value == np.inf
  # Draws without its person are finite.
  assert found.scores["psnr"].low == pytest.approx(20, rel=1e-4)


def _ssim(x, y):
  """Wang et al. 2004, one colour, windows that fit, one at a time."""
  offset = np.arange(11) - 5
  line = np.exp(-(offset**2) / (2 * 1.5**2))
  window = np.outer(line, line) / line.sum() ** 2
  found = []
  for i in range(x.shape[0] - 10):
    for j in range(x.shape[1] - 10):
      a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
      mean_a, mean_b = np.sum(window * a), np.sum(window * b)
      variance_a = np.sum(window * (a - mean_a) ** 2)
      variance_b = np.sum(window * (b - mean_b) ** 2)
      both = np.sum(window * (a - mean_a) * (b - mean_b))
      c1, c2 = 0.01**2, 0.03**2
      found.append(
        (2 * mean_a * mean_b + c1)
        * (2 * both + c2)
        / (mean_a**2 + mean_b**2 + c1)
        / (variance_a + variance_b + c2)
      )
  return np.mean(found)


def test_ssim_is_that_of_the_paper():
  predicted = np.clip(TARGET + 0.1 * RNG.normal(size=TARGET.shape), 0, 1)
  found = reconstruction.measure(predicted, TARGET, GROUP)
  want = np.mean(
    [
      _ssim(x[..., c].astype(np.float64), y[..., c].astype(np.float64))
      for x, y in zip(predicted, TARGET)
      for c in range(3)
    ]
  )
  np.testing.assert_allclose(_values(found)["ssim"], want, atol=1e-9)


def test_intervals_are_over_people():
  found = reconstruction.measure(0.9 * TARGET, TARGET, np.zeros(6))
  made_up.assert_no_interval(found)


def test_refuses_other_ranges_and_sizes():
  with pytest.raises(errors.InputError, match=r"expected values in \[0, 1\]"):
    reconstruction.measure(TARGET * 255, TARGET, GROUP)
  with pytest.raises(errors.InputError, match="predicted: expected"):
    reconstruction.measure(TARGET[:, :-1], TARGET, GROUP)
  small = TARGET[:, :10]
  with pytest.raises(errors.InputError, match="20 x 10 px, expected 11"):
    reconstruction.measure(small, small, GROUP)
