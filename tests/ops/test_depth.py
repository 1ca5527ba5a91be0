import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors
from facerep_jax.ops import depth as depth_ops
from tests.oracles import geometry as oracle


def _raw(dtype=np.float32):
  shape = (2, 6, 9)
  return np.random.default_rng(0).normal(0.5, 1, shape).astype(dtype)


@pytest.mark.parametrize("limits", [(0.9, 1.1, 1.04), (1.5, 2.5, 7.0)])
def test_rescale_matches_loop(limits):
  low, high, border = limits
  got = depth_ops.rescale(_raw(), low=low, high=high, border=border)
  want = oracle.rescale(_raw(), *limits)
  # Float32 depths about 2.
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_defaults_are_the_published_ones():
  want = oracle.rescale(_raw(), 0.9, 1.1, 0.7 * 1.1 + 0.3 * 0.9)
  np.testing.assert_allclose(depth_ops.rescale(_raw()), want, atol=1e-6)


def test_maps_of_the_network_match_published(shared):
  nets = np.load(shared / "golden" / "autoencoder_nets.npz")
  step = np.load(shared / "golden" / "autoencoder_step.npz")
  depth = depth_ops.rescale(nets["64/out/netD/1"][:, 0])
  # Float32 depths about 1.
  np.testing.assert_allclose(depth, step["canon_depth"][:2], atol=1e-6)
  mirror = depth[:, :, ::-1]
  np.testing.assert_allclose(mirror, step["canon_depth"][2:], atol=1e-6)


def test_only_the_shape_counts_not_the_distance():
  moved = depth_ops.rescale(_raw() + 3.0)
  np.testing.assert_allclose(moved, depth_ops.rescale(_raw()), atol=1e-6)
  flat = depth_ops.rescale(np.full((1, 6, 9), 5.0, np.float32))
  np.testing.assert_allclose(flat[:, :, 2:-2], 1.0, atol=1e-6)
  np.testing.assert_allclose(flat[:, :, [0, 1, -2, -1]], 1.04, rtol=1e-6)


def test_images_do_not_mix():
  raw = _raw()
  raw[1] *= 100
  alone = depth_ops.rescale(raw[:1])
  np.testing.assert_allclose(depth_ops.rescale(raw)[:1], alone, atol=1e-6)


def test_extreme_maps_stay_in_range_with_finite_gradients():
  raw = np.where(_raw() > 0.5, 1e4, -1e4).astype(np.float32)
  depth = depth_ops.rescale(raw)[:, :, 2:-2]
  np.testing.assert_allclose(np.unique(depth), [0.9, 1.1], rtol=1e-6)
  grad = jax.grad(lambda x: jnp.sum(depth_ops.rescale(x)))(raw)
  np.testing.assert_array_equal(grad, 0)


def test_sides_learn_only_through_the_mean():
  weight = np.random.default_rng(1).normal(size=(2, 6, 9)).astype(np.float32)
  grad = jax.grad(lambda x: jnp.sum(weight * depth_ops.rescale(x)))(_raw())
  sides = np.asarray(grad)[:, :, [0, 1, -2, -1]].reshape(2, -1)
  assert np.abs(sides).min() > 0
  # Every such pixel moves the mean alike.
  np.testing.assert_allclose(np.ptp(sides, axis=1), 0, atol=1e-7)
  # Nothing changes when the whole map moves.
  np.testing.assert_allclose(grad.sum(axis=(1, 2)), 0, atol=1e-6)


def test_check_grads_in_float64():
  with jax.enable_x64():
    check_grads(
      jax.jit(depth_ops.rescale),
      (_raw(np.float64),),
      order=1,
      modes=("rev", "fwd"),
      eps=1e-6,
    )


def test_jit_equals_eager():
  # Compilation may reorder the sum of the mean.
  np.testing.assert_allclose(
    jax.jit(depth_ops.rescale)(_raw()), depth_ops.rescale(_raw()), atol=1e-6
  )


def test_half_precision_is_widened():
  raw = _raw().astype(jnp.bfloat16)
  got = depth_ops.rescale(raw)
  assert got.dtype == jnp.float32
  want = depth_ops.rescale(raw.astype(jnp.float32))
  np.testing.assert_array_equal(got, want)


def test_shapes_are_checked():
  with pytest.raises(errors.InputError, match="Drop the channel axis"):
    depth_ops.rescale(_raw()[..., None])
  with pytest.raises(errors.InputError, match="4 columns are all border"):
    depth_ops.rescale(_raw()[:, :, :4])
