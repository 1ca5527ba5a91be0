import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors
from facerep_jax.ops import warp
from tests.oracles import warp as oracle


def _case(reach, dtype=np.float32):
  rng = np.random.default_rng(0)
  image = rng.normal(size=(2, 5, 7, 3)).astype(dtype)
  grid = rng.uniform(-reach, reach, (2, 4, 6, 2)).astype(dtype)
  return image, grid


# Inside; reaching the edges; mostly outside.
@pytest.mark.parametrize("reach", [0.7, 1.0, 3.0])
@pytest.mark.parametrize("align_corners", [True, False])
def test_bilinear_sample_matches_loop(reach, align_corners):
  image, grid = _case(reach)
  got = jax.jit(warp.bilinear_sample, static_argnames="align_corners")(
    image, grid, align_corners=align_corners
  )
  want = oracle.sample_loop(image, grid, align_corners)
  # Float32 coordinates up to 10 px and values up to 4.
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("reach", [0.7, 1.0, 3.0])
@pytest.mark.parametrize("align_corners", [True, False])
def test_gradients_match_loop(reach, align_corners):
  image, grid = _case(reach)
  cotangent = np.random.default_rng(1).normal(size=(2, 4, 6, 3))
  cotangent = cotangent.astype(np.float32)
  _, vjp = jax.vjp(
    lambda *args: warp.bilinear_sample(*args, align_corners=align_corners),
    image,
    grid,
  )
  want = oracle.sample_grad_loop(image, grid, cotangent, align_corners)
  for got, value in zip(vjp(cotangent), want):
    # As above, times three channels and 3.5 px per unit.
    np.testing.assert_allclose(got, value, atol=1e-4)


def test_whole_pixels_are_exact_and_differentiable():
  image, _ = _case(1.0)
  grid = np.tile(warp.identity_grid_ndc(5, 7)[None], (2, 1, 1, 1))
  got = warp.bilinear_sample(image, grid)
  # Float32 pixel coordinates are within 1e-6 of whole ones.
  np.testing.assert_allclose(got, image, atol=1e-5)
  grads = jax.grad(lambda g: warp.bilinear_sample(image, g).sum())(grid)
  # The slope to one of both neighbours, where none is there to zero.
  total = np.pad(image.sum(axis=-1), ((0, 0), (1, 1), (1, 1)))
  for k, axis, size in ((0, 2, 7), (1, 1, 5)):
    steps = np.diff(total, axis=axis) * (size - 1) / 2
    steps = steps[:, 1:-1] if axis == 2 else steps[..., 1:-1]
    before, after = (
      np.take(steps, np.arange(first, first + size), axis) for first in (0, 1)
    )
    off = np.minimum(abs(grads[..., k] - before), abs(grads[..., k] - after))
    # As above, times three channels and 3 px per unit.
    assert off.max() < 1e-4


def test_corners_of_both_conventions():
  image = np.arange(1, 5, dtype=np.float32).reshape(1, 2, 2, 1)
  corners = np.array([[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]], np.float32)
  aligned = warp.bilinear_sample(image, corners[None])
  np.testing.assert_array_equal(aligned, image)
  outer = warp.bilinear_sample(image, corners[None], align_corners=False)
  # The outer corner of the image sees a quarter of its pixel.
  np.testing.assert_array_equal(outer, image / 4)


def test_check_grads_in_float64():
  with jax.enable_x64():
    image, grid = _case(0.9, np.float64)
    for align_corners in (True, False):
      check_grads(
        lambda *args, a=align_corners: warp.bilinear_sample(
          *args, align_corners=a
        ),
        (image, grid),
        order=1,
        modes=("rev", "fwd"),
        eps=1e-6,
      )


def test_jit_equals_eager():
  image, grid = _case(1.2)
  # Compilation may fuse a multiplication with an addition.
  np.testing.assert_allclose(
    jax.jit(warp.bilinear_sample)(image, grid),
    warp.bilinear_sample(image, grid),
    atol=1e-6,
  )


def test_coordinates_stay_float32_for_bfloat16_images():
  ramp = jnp.arange(256, dtype=jnp.float32) / 256
  image = jnp.tile(ramp[None, None, :, None], (1, 2, 1, 1))
  grid = warp.identity_grid_ndc(2, 256)[None]
  got = warp.bilinear_sample(image.astype(jnp.bfloat16), grid)
  assert got.dtype == jnp.bfloat16
  # bfloat16 coordinates would be off by up to half a pixel of 256.
  np.testing.assert_array_equal(
    got.astype(jnp.float32), image.astype(jnp.bfloat16).astype(jnp.float32)
  )


def test_identity_grid_is_x_before_y():
  grid = warp.identity_grid_ndc(3, 5)
  assert grid.shape == (3, 5, 2) and grid.dtype == jnp.float32
  np.testing.assert_allclose(grid[0, :, 0], [-1, -0.5, 0, 0.5, 1])
  np.testing.assert_allclose(grid[:, 0, 1], [-1, 0, 1])


def test_shapes_are_checked():
  image, grid = _case(1.0)
  with pytest.raises(errors.InputError, match="grid_ndc: expected"):
    warp.bilinear_sample(image[:1], grid)


def test_a_coordinate_that_is_not_a_number_gives_none():
  image = np.ones((1, 4, 4, 3), np.float32)
  grid = np.zeros((1, 2, 2, 2), np.float32)
  grid[0, 0, 1, 0] = np.nan
  got = np.asarray(jax.jit(warp.bilinear_sample)(image, grid))
  assert np.isnan(got[0, 0, 1]).all()
  assert np.isfinite(got).sum() == 9
