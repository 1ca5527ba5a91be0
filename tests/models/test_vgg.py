import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.models import vgg
from tests.oracles import vgg as oracle
from tests.oracles import waves

SMALL = ((4, 4), (8, 8), (16, 16, 16))
TORCH = ("1.0", "1.2", "2.5", "2.7", "3.10", "3.12", "3.14")


def _images11(size=16):
  return 2 * waves.images(2, size, 0.3) - 1


def _small(**kwargs):
  """The net of the small widths with weights by formula."""
  model = vgg.Vgg16Features(SMALL, **kwargs)
  shapes = jax.eval_shape(model.init, jax.random.key(0), _images11())
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes["params"]
  )
  return model, params


def test_matches_loops():
  model, params = _small()
  images = _images11()
  got = jax.jit(model.apply)({"params": params}, images)
  assert got.shape == (2, 4, 4, 16)
  want = oracle.features(images, params)
  assert want.max() > 1
  # Seven float32 layers; values up to about 10.
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_matches_loops_with_published_small_weights(shared):
  reference = np.load(shared / "golden" / "autoencoder_step.npz")
  params = {}
  for i, name in enumerate(TORCH):
    weight = reference[f"vgg/slice{name}.weight"].astype(np.float32)
    bias = reference[f"vgg/slice{name}.bias"].astype(np.float32)
    params[f"conv{i}"] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
  images = _images11()
  got = vgg.Vgg16Features(SMALL).apply({"params": params}, images)
  want = oracle.features(images, params)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_published_shape():
  model = vgg.Vgg16Features()
  images = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
  out, variables = jax.eval_shape(
    model.init_with_output, jax.random.key(0), images
  )
  assert out.shape == (2, 16, 16, 256)
  sizes = jax.tree.map(lambda x: x.size, variables["params"])
  # 3x3 weights and biases of columns 3-64-64-128-128-256-256-256.
  assert sum(jax.tree.leaves(sizes)) == 1_735_488
  assert list(sizes) == [f"conv{i}" for i in range(7)]


def test_gradient_reaches_the_image_and_matches_differences():
  model, params = _small()
  images, step = _images11(), 1e-3
  weights = np.random.default_rng(1).normal(size=(2, 4, 4, 16))

  def total(x):
    out = model.apply({"params": params}, x)
    return jnp.sum(out * jnp.asarray(weights, jnp.float32))

  slope = np.asarray(jax.grad(total)(images))
  direction = np.random.default_rng(2).normal(size=images.shape)
  direction = (direction / np.linalg.norm(direction)).astype(np.float32)
  ends = [
    (oracle.features(images + s * direction, params) * weights).sum()
    for s in (-step, step)
  ]
  want = (ends[1] - ends[0]) / (2 * step)
  # Rectifiers and maxima may switch within the step.
  np.testing.assert_allclose((slope * direction).sum(), want, rtol=2e-2)


def test_bfloat16_keeps_the_output_float32():
  model, params = _small(dtype=jnp.bfloat16)
  got = model.apply({"params": params}, _images11())
  assert got.dtype == jnp.float32
  want = oracle.features(_images11(), params)
  # Eight bits through seven layers.
  np.testing.assert_allclose(got, want, atol=0.05 * want.max())
  assert np.abs(got - want).max() > 0


def test_images_that_do_not_fit_are_refused():
  model, params = _small()
  with pytest.raises(errors.InputError, match="multiple of 4"):
    model.apply({"params": params}, jnp.zeros((1, 18, 18, 3)))
  with pytest.raises(errors.InputError, match=r"expected \[N, S, S, 3\]"):
    model.apply({"params": params}, jnp.zeros((1, 3, 16, 16)))
