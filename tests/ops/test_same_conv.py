import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import conv, same_conv
from tests.oracles import image as oracle


def _case(size, channels, features, dtype, shape=(5, 4)):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *shape, channels))
  kernel = rng.normal(size=(size, size, channels, features))
  return x.astype(dtype), kernel.astype(dtype)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_matches_loop(size):
  x, kernel = _case(size, 3, 4, np.float32)
  want = oracle.conv_loop(x, kernel, 1, size // 2)
  # Float32 sums of up to 75 products, each up to about 10.
  np.testing.assert_allclose(same_conv.same_conv(x, kernel), want, atol=3e-5)


@pytest.mark.parametrize("channels", [(3, 4), (4, 3), (2, 2)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_gradients_are_those_of_the_platform(size, channels):
  def gradients(function, x, kernel):
    out, vjp = jax.vjp(function, x, kernel)
    return vjp(
      jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)
    )

  with jax.enable_x64():
    x, kernel = _case(size, *channels, np.float64)
    plain = lambda x, k: conv.conv(x, k, stride=1, padding=size // 2)
    want = gradients(plain, x, kernel)
    got = jax.jit(lambda *a: gradients(same_conv.same_conv, *a))(x, kernel)
    for a, b in zip(got, want):
      np.testing.assert_allclose(a, b, atol=1e-12)  # Float64.
    check_grads(same_conv.same_conv, (x, kernel), 1, modes=["rev"])


def test_types_stay():
  x, kernel = _case(3, 2, 3, jnp.bfloat16)
  out, vjp = jax.vjp(same_conv.same_conv, x, kernel)
  assert out.dtype == jnp.bfloat16
  assert {g.dtype for g in vjp(out)} == {jnp.dtype(jnp.bfloat16)}


def test_programs_for_cpus_know_no_kernel_of_the_size_of_the_image():
  x, kernel = _case(3, 2, 3, np.float32, (64, 64))
  loss = lambda x, kernel: jnp.sum(same_conv.same_conv(x, kernel) ** 2)
  traced = jax.jit(jax.grad(loss, (0, 1))).trace(x, kernel)
  count = lambda platform: (
    traced.lower(lowering_platforms=(platform,))
    .as_text()
    .count("stablehlo.convolution")
  )
  assert (count("cpu"), count("tpu")) == (2, 3)
