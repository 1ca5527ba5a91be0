import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import group_norm
from tests.oracles import convolution


def _case(dtype=np.float32, mean=0.0):
  rng = np.random.default_rng(0)
  x = mean + rng.normal(size=(2, 3, 5, 12)) * np.arange(1, 13)
  scale, bias = rng.normal(size=(2, 12))
  return tuple(a.astype(dtype) for a in (x, scale, bias))


@pytest.mark.parametrize("num_groups", [1, 4, 12])
def test_group_norm_matches_loop(num_groups):
  x, scale, bias = _case(mean=100.0)  # Where a one-pass variance would fail.
  norm = jax.jit(group_norm.group_norm, static_argnums=3)
  want = convolution.group_norm_loop(x, scale, bias, num_groups)
  # Float32 at 100 with a spread of 1.
  np.testing.assert_allclose(norm(x, scale, bias, num_groups), want, atol=2e-4)


def test_single_pixels_with_or_without_their_axes():
  x, scale, bias = _case(mean=100.0)
  x = x[:, :1, :1]
  want = convolution.group_norm_loop(x, scale, bias, 4)
  got = group_norm.group_norm(x, scale, bias, 4)
  # Float32 at 100, where neighbours in a group may differ by little.
  np.testing.assert_allclose(got, want, atol=5e-4)
  flat = group_norm.group_norm(x[:, 0, 0], scale, bias, 4)
  np.testing.assert_array_equal(flat, got[:, 0, 0])


@pytest.mark.parametrize("pixels", [slice(None), slice(1)])
def test_group_norm_gradients(pixels):
  x, scale, bias = _case(np.float64)
  with jax.enable_x64():
    check_grads(
      lambda *args: group_norm.group_norm(*args, 4),
      (x[:, pixels, pixels], scale, bias),
      order=1,
    )


def test_constant_image_has_the_gradient_of_its_epsilon():
  x, scale, bias = _case()
  grads = jax.grad(
    lambda x: jnp.sum(group_norm.group_norm(x, scale, bias, 4) ** 2)
  )(jnp.zeros_like(x))
  # The result is the bias; the deviation is the root of 1e-5 to first order.
  slope = (2 * bias * scale).astype(np.float64)
  group = np.arange(12) // 3
  mean = np.array([slope[group == k].mean() for k in group])
  want = np.broadcast_to((slope - mean) / np.sqrt(1e-5), x.shape)
  # Float32, less the mean of 45 numbers up to 1,000.
  np.testing.assert_allclose(grads, want, rtol=1e-4, atol=1e-2)
