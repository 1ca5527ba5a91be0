import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import image as image_ops
from tests.oracles import image as oracle


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_upsample_matches_loop(size, align_corners):
  x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
  got = jax.jit(
    image_ops.upsample_bilinear_2x, static_argnames="align_corners"
  )(x, align_corners=align_corners)
  want = oracle.upsample_loop(x, align_corners)
  np.testing.assert_allclose(got, want, atol=2e-6)  # Float32, |x| < 4.


@pytest.mark.parametrize("align_corners", [True, False])
def test_upsample_gradients(align_corners):
  with jax.enable_x64():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    check_grads(
      lambda x: image_ops.upsample_bilinear_2x(x, align_corners=align_corners),
      (x,),
      order=1,
    )


def test_kinds_differ_and_keep_constants():
  x = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)
  kinds = [
    image_ops.upsample_bilinear_2x(x, align_corners=a) for a in (True, False)
  ]
  assert np.abs(kinds[0] - kinds[1]).max() > 0.1
  flat = np.full((1, 4, 4, 1), 3, np.float32)
  for a in (True, False):
    out = image_ops.upsample_bilinear_2x(flat, align_corners=a)
    np.testing.assert_allclose(out, 3, rtol=1e-6)  # Float32 weights.
