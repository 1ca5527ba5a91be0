import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import normals as normals_ops
from tests.oracles import geometry as oracle

BORDERS = ("replicate", "forward")
CAMERA = camera_ops.Camera(12)


def _depth(dtype=np.float32):
  """Two smooth maps, about as steep as a face."""
  y, x = np.mgrid[:12, :12] / 11 - 0.5
  bump = -0.05 * np.exp(-8 * (x**2 + y**2))
  return np.stack([1 + bump, 1 + 0.05 * np.sin(4 * x + 3 * y)]).astype(dtype)


def test_matches_published_excerpt(golden):
  reference = np.load(golden / "geometry_small.npz")
  got = normals_ops.from_depth(reference["depth"], camera_ops.Camera(64))
  # Float32 depths about 1 leave 1e-5 of a difference of 1e-3; measured 1e-6.
  np.testing.assert_allclose(got[:, ::9, ::9], reference["normal"], atol=1e-5)


def test_matches_published(shared):
  reference = np.load(shared / "golden" / "geometry.npz")
  got = normals_ops.from_depth(reference["depth"], camera_ops.Camera(64))
  np.testing.assert_allclose(got, reference["normal"], atol=1e-5)
  reference = np.load(shared / "golden" / "autoencoder_step.npz")
  got = normals_ops.from_depth(reference["canon_depth"], camera_ops.Camera(64))
  np.testing.assert_allclose(
    got[:, ::2, ::2], reference["canon_normal"], atol=1e-5
  )


@pytest.mark.parametrize("border", BORDERS)
def test_matches_loop(border):
  got = normals_ops.from_depth(_depth(), CAMERA, border=border)
  want = oracle.normals(oracle.back_project(_depth()), border)
  # Differences of float32 depths about 1, over 0.02 of width.
  np.testing.assert_allclose(got, want, atol=5e-5)
  points = np.random.default_rng(0).normal(size=(2, 4, 7, 3))
  got = normals_ops.from_points(points.astype(np.float32), border)
  want = oracle.normals(points.astype(np.float32), border)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_borders_differ_only_there():
  replicate, forward = (
    np.asarray(normals_ops.from_depth(_depth(), CAMERA, border=border))
    for border in BORDERS
  )
  inner = np.s_[:, 1:-1, 1:-1]
  np.testing.assert_array_equal(replicate[inner], forward[inner])
  np.testing.assert_array_equal(replicate[:, 0], replicate[:, 1])
  np.testing.assert_array_equal(replicate[:, :, -1], replicate[:, :, -2])
  np.testing.assert_array_equal(forward[:, 0], [[[0, 0, 1]] * 12] * 2)
  np.testing.assert_array_equal(forward[:, :, -1], [[[0, 0, 1]] * 12] * 2)


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.5, 0.0), (0.0, -0.8)])
def test_planes(slope):
  """The plane z = 1 + a x + b y has the normal (-a, -b, 1)."""
  x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 4))
  points = np.stack([x, y, 1 + slope[0] * x + slope[1] * y], axis=-1)
  got = normals_ops.from_points(points.astype(np.float32)[None])
  want = np.array([-slope[0], -slope[1], 1])
  want /= np.linalg.norm(want)
  # Products near 1: the 1e-7 added to the norm is not seen.
  np.testing.assert_allclose(got, np.broadcast_to(want, got.shape), atol=1e-6)


def test_flat_map_faces_forward_a_little_short():
  """The product is (2 / focal)^2, to which 1e-7 is added."""
  camera = camera_ops.Camera(64)
  depth = np.ones((1, 64, 64), np.float32)
  got = normals_ops.from_depth(depth, camera)
  np.testing.assert_allclose(got[..., :2], 0, atol=1e-6)
  product = (2 / oracle.focal_px(64, 10)) ** 2
  np.testing.assert_allclose(got[..., 2], product / (product + 1e-7), rtol=1e-5)
  assert got[..., 2].min() > 0.996 and got[..., 2].max() < 0.999


def test_mirrored_maps_have_mirrored_normals():
  normals = normals_ops.from_depth(_depth(), CAMERA)
  got = normals_ops.from_depth(_depth()[:, :, ::-1], CAMERA)
  want = np.asarray(normals)[:, :, ::-1] * np.array([-1, 1, 1], np.float32)
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("border", BORDERS)
def test_check_grads_in_float64(border):
  call = functools.partial(normals_ops.from_depth, camera=CAMERA, border=border)
  with jax.enable_x64():
    check_grads(
      jax.jit(call),
      (_depth(np.float64),),
      order=1,
      modes=("rev", "fwd"),
      eps=1e-6,
    )


def test_gradients_are_those_of_small_steps_on_flat_maps():
  call = functools.partial(normals_ops.from_depth, camera=CAMERA)
  with jax.enable_x64():
    flat = np.ones((1, 12, 12))
    check_grads(jax.jit(call), (flat,), order=1, modes=("rev",), eps=1e-6)


def test_points_without_a_surface_have_no_normal_but_gradients():
  one_place = np.ones((1, 4, 4, 3), np.float32)
  line = one_place * np.arange(4, dtype=np.float32)[None, None, :, None]
  weight = np.random.default_rng(0).normal(size=(1, 4, 4, 3))
  weight = weight.astype(np.float32)
  total = lambda points: jnp.sum(weight * normals_ops.from_points(points))
  grad = jax.jit(jax.grad(total))
  for points in (one_place, line):
    np.testing.assert_array_equal(normals_ops.from_points(points), 0)
    assert np.isfinite(grad(points)).all()


def test_gradient_without_a_surface_is_the_true_one():
  line = np.zeros((1, 3, 3, 3))
  line[..., 0] = np.arange(3)[None, None]
  with jax.enable_x64():
    z_of_centre = lambda points: normals_ops.from_points(points)[0, 1, 1, 2]
    grad = jax.jit(jax.grad(z_of_centre))(line)
    nudge = np.zeros_like(line)
    nudge[0, 2, 1, 1] = 1e-13
    slope = (z_of_centre(line + nudge) - z_of_centre(line)) / 1e-13
    # The quotient has bent by 2e-13 / 1e-7.
    np.testing.assert_allclose(grad[0, 2, 1, 1], slope, rtol=1e-5)
    np.testing.assert_allclose(grad[0, 2, 1, 1], 2 / 1e-7, rtol=1e-9)


def test_jit_equals_eager():
  for border in BORDERS:
    call = functools.partial(
      normals_ops.from_depth, camera=CAMERA, border=border
    )
    # Compilation may fuse a multiplication with an addition, before the
    # differences are taken.
    np.testing.assert_allclose(
      jax.jit(call)(_depth()), call(_depth()), atol=5e-5
    )


def test_half_precision_is_widened():
  depth = _depth().astype(jnp.bfloat16)
  got = normals_ops.from_depth(depth, CAMERA)
  assert got.dtype == jnp.float32
  want = normals_ops.from_depth(depth.astype(jnp.float32), CAMERA)
  np.testing.assert_array_equal(got, want)


def test_input_is_checked():
  with pytest.raises(errors.InputError, match=r"depth: expected \[N, 12, 12"):
    normals_ops.from_depth(_depth()[:, 1:], CAMERA)
  with pytest.raises(errors.InputError, match="at least 3 x 3"):
    normals_ops.from_points(np.zeros((1, 2, 5, 3), np.float32))
  with pytest.raises(errors.InputError, match="'replicate' or 'forward'"):
    normals_ops.from_depth(_depth(), CAMERA, border="zero")
