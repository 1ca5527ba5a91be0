import jax.numpy as jnp
import numpy as np

from facerep_jax.ops import image_range


def test_all_grey_values_there_and_back():
  frames = jnp.arange(256, dtype=jnp.uint8)
  images01, images11 = (
    image_range.uint8_to_01(frames),
    image_range.uint8_to_11(frames),
  )
  assert images01.dtype == images11.dtype == jnp.float32
  exact = np.arange(256) / 255
  # Float32 rounding of numbers up to one, twice.
  np.testing.assert_allclose(images01, exact, atol=1e-7)
  np.testing.assert_allclose(images11, 2 * exact - 1, atol=2e-7)
  np.testing.assert_allclose(image_range.to_11(images01), images11, atol=3e-7)
  np.testing.assert_allclose(image_range.to_01(images11), images01, atol=3e-7)


def test_what_is_painted_beyond_the_range_is_clipped():
  found = image_range.to_01(jnp.array([-1.5, 0.0, 1.5]))
  np.testing.assert_array_equal(found, [0.0, 0.5, 1.0])
