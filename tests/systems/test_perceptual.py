import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.models import vgg
from facerep_jax.ops import contrast_features as perceptual_ops
from facerep_jax.systems import perceptual
from tests.oracles import waves

_LAYERS = (0, 2, 5, 7, 10, 12, 14)


def _state(scale=1.0):
  """Weights under torchvision's names, drawn at random."""
  rng = np.random.default_rng(0)
  channels, state = 3, {}
  widths = [w for block in vgg.Vgg16Features().widths for w in block]
  for layer, features in zip(_LAYERS, widths):
    bound = scale * (2 / (9 * channels)) ** 0.5
    state[f"features.{layer}.weight"] = rng.normal(
      0, bound, (features, channels, 3, 3)
    ).astype(np.float32)
    state[f"features.{layer}.bias"] = np.zeros(features, np.float32)
    channels = features
  return state


def test_vgg16_from_a_file(tmp_path):
  path = tmp_path / "vgg16.npz"
  state = _state()
  np.savez(path, **state)
  found = perceptual.make("vgg16", str(path), "float32")
  assert str(path) in found.note
  params = found.read()
  abstract = jax.eval_shape(found.init, jax.random.key(0))
  jax.tree.map(
    lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, abstract
  )
  images11 = 2 * waves.images(1, 8, 0.3) - 1
  got = found.apply(params, images11)
  want = vgg.Vgg16Features().apply({"params": params}, images11)
  assert got.shape == (1, 2, 2, 256) and want.max() > 0
  np.testing.assert_array_equal(got, want)
  kernel = state["features.0.weight"].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(params["conv0"]["kernel"], kernel)


def test_files_of_something_else_are_refused(tmp_path):
  small = {
    name: value[:4] if value.ndim == 1 else value[:4, :4]
    for name, value in _state().items()
  }
  np.savez(tmp_path / "small.npz", **small)
  np.savez(tmp_path / "other.npz", weight=np.zeros(3))
  for name, text in (
    ("small.npz", "vgg16_path=.*Take torchvision's file"),
    ("other.npz", "features.0.weight"),
    ("none.npz", "none.npz"),
  ):
    found = perceptual.make("vgg16", str(tmp_path / name), "float32")
    with pytest.raises(errors.InputError, match=text):
      found.read()


def test_without_a_file_the_stand_in_is_used_and_said():
  found = perceptual.make("vgg16", "", "float32")
  assert found.read is None and found.init(jax.random.key(0)) == {}
  assert "stand in" in found.note and perceptual.STAND_IN in found.note
  images11 = jnp.asarray(2 * waves.images(2, 16, 0.3) - 1)
  want = perceptual_ops.features(images11, perceptual.STAND_IN)
  np.testing.assert_array_equal(found.apply({}, images11), want)


def test_each_kind_is_itself():
  images11 = jnp.asarray(2 * waves.images(1, 16, 0.3) - 1)
  for kind in perceptual_ops.KINDS:
    found = perceptual.make(kind, "", "float32")
    assert kind in found.note and "stand in" not in found.note
    got, want = jax.jit(
      lambda x, found=found, kind=kind: (
        found.apply({}, x),
        perceptual_ops.features(x, kind),
      )
    )(images11)
    np.testing.assert_array_equal(got, want)
  assert perceptual.make("none", "", "float32") is None
