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


def test_group_norm_gradients():
  with jax.enable_x64():
    check_grads(
      lambda *args: group_norm.group_norm(*args, 4),
      _case(np.float64),
      order=1,
    )


def test_constant_image_has_finite_gradient():
  x, scale, bias = _case()
  grads = jax.grad(
    lambda x: jnp.sum(group_norm.group_norm(x, scale, bias, 4) ** 2)
  )(jnp.zeros_like(x))
  assert np.isfinite(grads).all()
