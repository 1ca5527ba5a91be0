import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.ops import precision


@pytest.mark.parametrize(
  ("given", "want"),
  [
    (jnp.bfloat16, jnp.float32),
    (jnp.float16, jnp.float32),
    (jnp.float32, jnp.float32),
    (jnp.float64, jnp.float64),
  ],
)
def test_only_half_precision_is_converted(given, want):
  with jax.enable_x64():
    x = jnp.array([0.1, -3.0], given)
    got = precision.at_least_float32(x)
    assert got.dtype == want
    np.testing.assert_array_equal(got, np.asarray(x).astype(want))
