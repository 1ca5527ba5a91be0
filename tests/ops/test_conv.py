import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import conv
from tests.oracles import image as oracle

SIZES = [(1, 1), (2, 5), (4, 3)]


def _case(size, kernel, dtype=np.float32, channels=5, features=3):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *size, channels))
  weights = rng.normal(size=(kernel, kernel, channels, features))
  return x.astype(dtype), weights.astype(dtype)


def _gradients(function, x, kernel):
  out, vjp = jax.vjp(function, x, kernel)
  cotangent = np.random.default_rng(1).normal(size=out.shape)
  return vjp(jnp.asarray(cotangent, out.dtype))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
  "function",
  [conv.upsample_conv_plain, conv.upsample_conv_by_taps],
)
def test_upsample_conv_matches_loop(function, size):
  x, kernel = _case(size, 3)
  want = oracle.conv_loop(oracle.upsample_loop(x), kernel, 1, 1)
  # Float32 sums of 45 products, each up to about 10.
  np.testing.assert_allclose(jax.jit(function)(x, kernel), want, atol=3e-5)


def test_upsample_conv_aligned_matches_loop():
  x, kernel = _case((3, 4), 3)
  want = oracle.conv_loop(oracle.upsample_loop(x, True), kernel, 1, 1)
  got = conv.upsample_conv(x, kernel, align_corners=True)
  np.testing.assert_allclose(got, want, atol=3e-5)  # As above.


@pytest.mark.parametrize("size", SIZES)
def test_upsample_conv_forms_have_equal_gradients(size):
  with jax.enable_x64():
    x, kernel = _case(size, 3, np.float64)
    want = _gradients(conv.upsample_conv_plain, x, kernel)
    got = _gradients(conv.upsample_conv_by_taps, x, kernel)
    for a, b in zip(got, want):
      np.testing.assert_allclose(a, b, atol=1e-12)  # Float64.


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
def test_spread_taps_gradients(axis, size):
  with jax.enable_x64():
    maps = np.random.default_rng(0).normal(size=(3, 2, *size, 2))
    check_grads(
      lambda *maps: conv.spread_taps(*maps, axis),
      tuple(maps),
      order=1,
      modes=("rev",),
    )


DOWNSAMPLE_FORMS = (
  conv.downsample_conv_by_patches,
  conv.downsample_conv_by_blocks,
)


# Few channels, few pixels or many channels, where the choice is the product of
# patches, and neither.
@pytest.mark.parametrize(
  "size, channels",
  [((2, 2), 5), ((12, 16), 3), ((6, 4), 5), ((12, 10), 5), ((10, 10), 128)],
)
@pytest.mark.parametrize("function", [conv.downsample_conv, *DOWNSAMPLE_FORMS])
def test_downsample_conv_matches_loop(function, size, channels):
  x, kernel = _case(size, 4, channels=channels)
  want = oracle.conv_loop(x, kernel, 2, 1)
  # Float32 sums of 80 products, each up to about 10; of 2,048 with 128.
  atol = 5e-5 if channels < 128 else 5e-4
  np.testing.assert_allclose(jax.jit(function)(x, kernel), want, atol=atol)


@pytest.mark.parametrize("form", DOWNSAMPLE_FORMS)
def test_downsample_conv_forms_have_equal_gradients(form):
  with jax.enable_x64():
    x, kernel = _case((6, 8), 4, np.float64)
    plain = lambda x, kernel: conv.conv(x, kernel, stride=2, padding=1)
    want = _gradients(plain, x, kernel)
    got = _gradients(form, x, kernel)
    for a, b in zip(got, want):
      np.testing.assert_allclose(a, b, atol=1e-12)  # Float64.


def test_forms_keep_bfloat16():
  x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in _case((4, 4), 3))
  want = oracle.conv_loop(oracle.upsample_loop(x), kernel, 1, 1)
  for function in (conv.upsample_conv_plain, conv.upsample_conv_by_taps):
    got = function(x, kernel)
    assert got.dtype == jnp.bfloat16
    # Eight bits, and intermediate maps rounded to them, of values up to 30.
    np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.5)


UPSAMPLE_FORMS = (
  conv.upsample_bilinear_2x,
  conv.upsample_bilinear_2x_by_products,
)


@pytest.mark.parametrize("form", UPSAMPLE_FORMS)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_upsample_matches_loop(size, align_corners, form):
  x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
  got = jax.jit(form, static_argnames="align_corners")(
    x, align_corners=align_corners
  )
  want = oracle.upsample_loop(x, align_corners)
  np.testing.assert_allclose(got, want, atol=2e-6)  # Float32, |x| < 4.


@pytest.mark.parametrize("form", UPSAMPLE_FORMS)
@pytest.mark.parametrize("align_corners", [True, False])
def test_upsample_gradients(align_corners, form):
  with jax.enable_x64():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    check_grads(lambda x: form(x, align_corners=align_corners), (x,), order=1)


def test_kinds_differ_and_keep_constants():
  x = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)
  kinds = [conv.upsample_bilinear_2x(x, align_corners=a) for a in (True, False)]
  assert np.abs(kinds[0] - kinds[1]).max() > 0.1
  flat = np.full((1, 4, 4, 1), 3, np.float32)
  for a in (True, False):
    out = conv.upsample_bilinear_2x(flat, align_corners=a)
    np.testing.assert_allclose(out, 3, rtol=1e-6)  # Float32 weights.
