import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import normals as normals_ops
from facerep_jax.ops import shading
from tests.oracles import geometry as oracle


def _case(dtype=np.float32):
  """Albedo, normals of unit length and raw light of a batch of two."""
  rng = np.random.default_rng(0)
  normals = rng.normal(size=(2, 4, 5, 3))
  normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
  albedo = rng.uniform(-1, 1, (2, 4, 5, 3))
  raw = rng.uniform(-1, 1, (2, 4))
  return tuple(x.astype(dtype) for x in (albedo, normals, raw))


def _shade(albedo, normals, raw):
  return shading.shade(albedo, normals, shading.light_from_vector(raw))


def _light(direction, ambient=0.25, diffuse=0.5):
  direction = np.float32(direction) / np.linalg.norm(np.float32(direction))
  shares = np.float32([[ambient], [diffuse]])
  return shading.Light(shares[0], shares[1], direction[None])


def test_light_matches_formula():
  raw = _case()[2]
  light = shading.light_from_vector(raw)
  for n in range(2):
    ambient, diffuse, direction = oracle.light(raw[n])
    np.testing.assert_allclose(light.ambient[n], ambient, rtol=1e-6)
    np.testing.assert_allclose(light.diffuse[n], diffuse, rtol=1e-6)
    np.testing.assert_allclose(light.direction[n], direction, atol=1e-6)


def test_shade_matches_loop():
  albedo, normals, raw = _case()
  got = _shade(albedo, normals, raw)
  # Some pixels face away from the light, some do not.
  facing = np.asarray(shading.light_from_vector(raw).direction)[:, None, None]
  share = np.mean((normals * facing).sum(-1) > 0)
  assert 0.2 < share < 0.8
  want = oracle.shade(albedo, normals, raw)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_matches_published(shared):
  nets = np.load(shared / "golden" / "autoencoder_nets.npz")
  step = np.load(shared / "golden" / "autoencoder_step.npz")
  # One light, the first image's, for all.
  raw = np.tile(nets["64/out/netL/0"].reshape(2, 4)[:1], (4, 1))
  light = shading.light_from_vector(raw)
  np.testing.assert_allclose(light.ambient, step["light_a"][:, 0], atol=1e-6)
  np.testing.assert_allclose(light.diffuse, step["light_b"][:, 0], atol=1e-6)
  np.testing.assert_allclose(light.direction, step["light_d"], atol=1e-6)
  normals = normals_ops.from_depth(step["canon_depth"], camera_ops.Camera(64))
  normals = normals[:, ::2, ::2]
  bare = light._replace(
    ambient=jnp.zeros(4, jnp.float32), diffuse=jnp.ones(4, jnp.float32)
  )
  # As exact as the normals.
  np.testing.assert_allclose(
    shading.lambert(normals, bare), step["shading_diffuse"][:, 0], atol=1e-5
  )
  albedo = step["canon_albedo"].transpose(0, 2, 3, 1)
  image = shading.shade(albedo, normals, light)
  want = step["canon_im"].transpose(0, 2, 3, 1)
  np.testing.assert_allclose(image, want, atol=1e-5)


def test_light_that_travels_right_falls_on_the_left_cheek():
  y, x = np.mgrid[:16, :16] / 15 - 0.5
  dome = (1 - 0.03 * np.exp(-8 * (x**2 + y**2))).astype(np.float32)
  normals = normals_ops.from_depth(dome[None], camera_ops.Camera(16))
  left, right = np.split(
    np.asarray(shading.lambert(normals, _light([1, 0, 1])))[0], 2, axis=1
  )
  assert (left[5:11].mean() - right[5:11].mean()) > 0.1
  top, bottom = np.split(
    np.asarray(shading.lambert(normals, _light([0, 1, 1])))[0], 2, axis=0
  )
  assert (top[:, 5:11].mean() - bottom[:, 5:11].mean()) > 0.1


def test_known_values():
  normals = np.float32([[[[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 0, 0]]]])
  got = shading.lambert(normals, _light([0, 0, 2]))
  np.testing.assert_array_equal(got, [[[0.75, 0.25, 0.25, 0.25]]])
  white = np.ones((1, 1, 4, 3), np.float32)
  image = shading.shade(white, normals, _light([0, 0, 2]))
  np.testing.assert_array_equal(image[0, 0, :, 0], [0.5, -0.5, -0.5, -0.5])
  # Black stays black; a bright light goes beyond white.
  np.testing.assert_array_equal(
    shading.shade(-white, normals, _light([0, 0, 1])), -1
  )
  bright = shading.shade(white, normals, _light([0, 0, 1], 0.75, 0.75))
  np.testing.assert_array_equal(bright[0, 0, :2, 0], [2, 0.5])


def test_limits_of_the_light():
  raw = np.float32([[-1, 1, 0, 0], [1, -1, 1, -1]])
  light = shading.light_from_vector(raw)
  np.testing.assert_array_equal(light.ambient, [0, 1])
  np.testing.assert_array_equal(light.diffuse, [1, 0])
  third = 1 / np.sqrt(3)
  np.testing.assert_allclose(
    light.direction, [[0, 0, 1], [third, -third, third]], rtol=1e-6
  )


def test_check_grads_in_float64():
  with jax.enable_x64():
    args = _case(np.float64)
    check_grads(jax.jit(_shade), args, order=1, modes=("rev", "fwd"), eps=1e-6)


def test_gradients_are_finite_at_singular_points():
  zeros = [np.zeros_like(x) for x in _case()]
  total = lambda *args: jnp.sum(_shade(*args))
  grads = jax.jit(jax.grad(total, (0, 1, 2)))(*zeros)
  assert all(np.isfinite(grad).all() for grad in grads)
  # No surface, no diffuse light: only the ambient share matters.
  np.testing.assert_array_equal(grads[2][:, 1:], 0)
  assert (np.asarray(grads[2][:, 0]) > 0).all()
  light = shading.Light(*(x - x for x in _light([0, 0, 1])))
  normals = _case()[1][:1]
  total = lambda light: jnp.sum(shading.lambert(normals, light))
  value, grad = jax.jit(jax.value_and_grad(total))(light)
  assert value == 0
  # Of each pixel the ambient share, and what faces the light's direction: none.
  np.testing.assert_array_equal(grad.ambient, normals[0, ..., 0].size)
  np.testing.assert_array_equal(grad.diffuse, 0)
  np.testing.assert_array_equal(grad.direction, 0)


def test_jit_equals_eager():
  # Compilation may fuse a multiplication with an addition.
  np.testing.assert_allclose(
    jax.jit(_shade)(*_case()), _shade(*_case()), atol=1e-6
  )


def test_half_precision_is_widened():
  half = [x.astype(jnp.bfloat16) for x in _case()]
  got = _shade(*half)
  assert got.dtype == jnp.float32
  want = _shade(*(x.astype(jnp.float32) for x in half))
  np.testing.assert_array_equal(got, want)


def test_shapes_are_checked():
  albedo, normals, raw = _case()
  light = shading.light_from_vector(raw)
  with pytest.raises(errors.InputError, match=r"raw: expected \[N, 4\]"):
    shading.light_from_vector(raw[0])
  with pytest.raises(errors.InputError, match="one light per image"):
    shading.lambert(normals[:1], light)
  with pytest.raises(errors.InputError, match="albedo11: expected"):
    shading.shade(albedo[..., :1], normals, light)
