import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.ops import transposed_conv as ops
from tests.oracles import convolution
from tests.oracles import image as oracle

SIZES = [(1, 1), (2, 5), (4, 3)]
TRANSPOSED = (
  ops.transposed_conv,
  ops.transposed_conv_plain,
  ops.transposed_conv_by_phases,
)
NEAREST = (
  ops.nearest_conv,
  ops.nearest_conv_plain,
  ops.nearest_conv_by_phases,
)


def _case(size, kernel, dtype=np.float32):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *size, 5))
  return x.astype(dtype), rng.normal(size=(kernel, kernel, 5, 3)).astype(dtype)


def _gradients(function, x, kernel):
  out, vjp = jax.vjp(function, x, kernel)
  return vjp(np.random.default_rng(1).normal(size=out.shape))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("function", TRANSPOSED)
def test_transposed_conv_matches_loop(function, size):
  x, kernel = _case(size, 4)
  want = convolution.transposed_conv_loop(x, kernel)
  # Float32 sums of 20 products, each up to about 10.
  np.testing.assert_allclose(jax.jit(function)(x, kernel), want, atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("function", NEAREST)
def test_nearest_conv_matches_loop(function, size):
  x, kernel = _case(size, 3)
  doubled = x.repeat(2, axis=1).repeat(2, axis=2)
  want = oracle.conv_loop(doubled, kernel, 1, 1)
  # Float32 sums of 45 products, each up to about 10.
  np.testing.assert_allclose(jax.jit(function)(x, kernel), want, atol=3e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
  "forms, kernel_px", [(TRANSPOSED[1:], 4), (NEAREST[1:], 3)]
)
def test_forms_have_equal_gradients(forms, kernel_px, size):
  with jax.enable_x64():
    x, kernel = _case(size, kernel_px, np.float64)
    want, got = (_gradients(form, x, kernel) for form in forms)
    for a, b in zip(got, want):
      np.testing.assert_allclose(a, b, atol=1e-12)  # Float64.


def test_transposed_conv_is_the_transpose_of_a_convolution():
  with jax.enable_x64():
    x, kernel = _case((3, 4), 4, np.float64)
    y = np.random.default_rng(2).normal(size=(2, 6, 8, 3))
    down = oracle.conv_loop(y, kernel.swapaxes(2, 3), 2, 1)
    up = ops.transposed_conv(x, kernel)
    # Float64 sums of a few hundred products.
    np.testing.assert_allclose((up * y).sum(), (x * down).sum(), rtol=1e-10)


@pytest.mark.parametrize(
  "function, kernel_px",
  [(ops.transposed_conv_by_phases, 4), (ops.nearest_conv_by_phases, 3)],
)
def test_forms_keep_bfloat16(function, kernel_px):
  x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in _case((4, 4), kernel_px))
  got = function(x, kernel)
  assert got.dtype == jnp.bfloat16
  exact = function(x.astype(np.float32), kernel.astype(np.float32))
  # A few roundings to 8 bits of sums of up to about 20.
  np.testing.assert_allclose(np.float32(got), exact, rtol=2**-6, atol=0.2)
