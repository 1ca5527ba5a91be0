import jax
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.ops import conv, laplacian


def enlarged(x):
  """Bilinear, pixel centres, edge clamped; slow, of [H, W, C]."""
  height, width, channels = x.shape
  out = np.zeros((2 * height, 2 * width, channels))
  for row in range(2 * height):
    for column in range(2 * width):
      y = min(max((row + 0.5) / 2 - 0.5, 0), height - 1)
      z = min(max((column + 0.5) / 2 - 0.5, 0), width - 1)
      top, left = int(y), int(z)
      below, right = min(top + 1, height - 1), min(left + 1, width - 1)
      a, b = y - top, z - left
      out[row, column] = (1 - a) * (
        (1 - b) * x[top, left] + b * x[top, right]
      ) + a * ((1 - b) * x[below, left] + b * x[below, right])
  return out


def test_bands_are_what_the_means_leave_out():
  images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
  got = jax.device_get(laplacian.pyramid(images.astype(np.float32), 2))
  assert [x.shape[1] for x in got] == [8, 4, 2]
  for n, picture in enumerate(images):
    for band in got[:-1]:
      half = len(picture) // 2
      coarse = np.array(
        [
          [
            picture[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((0, 1))
            for j in range(half)
          ]
          for i in range(half)
        ]
      )
      np.testing.assert_allclose(
        band[n], picture - enlarged(coarse), atol=1e-5
      )  # Float32 sums of numbers of size 1.
      picture = coarse
    np.testing.assert_allclose(got[-1][n], picture, atol=1e-5)


def test_bands_add_up_to_the_picture():
  images = np.random.default_rng(1).normal(size=(2, 16, 8, 1))
  *bands, whole = laplacian.pyramid(images.astype(np.float32), 3)
  for band in reversed(bands):
    whole = band + conv.upsample_bilinear_2x(whole)
  np.testing.assert_allclose(whole, images, atol=1e-5)


@pytest.mark.parametrize(
  ("shape", "levels"), [((1, 12, 8, 3), 3), ((1, 8, 8, 3), 0)]
)
def test_sides_that_do_not_divide_are_refused(shape, levels):
  with pytest.raises(errors.InputError, match="multiples of"):
    laplacian.pyramid(np.zeros(shape, np.float32), levels)
