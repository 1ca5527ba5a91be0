import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.faces import panels
from tests import tiny_autoencoder


@pytest.fixture(scope="module")
def tiny():
  system = tiny_autoencoder.make()
  return system, jax.jit(system.init)(tiny_autoencoder.KEY)


def test_features_do_not_depend_on_the_rest_of_the_batch(tiny):
  system, variables = tiny
  images = tiny_autoencoder.first_frames({"frames": tiny_autoencoder.frames(3)})
  represent = jax.jit(system.represent, static_argnames="train")
  whole, model_state = represent(variables, images, tiny_autoencoder.KEY)
  assert model_state == {}
  shapes = {name: value.shape for name, value in whole.items()}
  assert shapes == {
    "albedo_code": (3, 8),
    "depth_code": (3, 8),
    "view": (3, 6),
    "light": (3, 4),
  }
  alone, _ = represent(variables, images[1:2], tiny_autoencoder.KEY)
  trained, model_state = represent(
    variables, images, tiny_autoencoder.KEY, train=True
  )
  assert model_state == {}
  for name, value in whole.items():
    # Another batch size is another program: float32 rounding only.
    np.testing.assert_allclose(alone[name][0], value[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(trained[name], value, rtol=1e-4, atol=1e-6)


def test_factors_are_in_their_ranges_and_fit_together(tiny):
  system, variables = tiny
  images = tiny_autoencoder.first_frames({"frames": tiny_autoencoder.frames(2)})
  out = jax.device_get(jax.jit(system.factors)(variables, images))
  maps = ("canonical_depth", "depth", "mask", "confidence")
  for name in maps:
    assert out[name].shape == (2, 64, 64), name
  for name in ("albedo", "shading", "canonical", "reconstruction"):
    assert out[name].shape == (2, 64, 64, 3), name
    assert out[name].min() >= 0 and out[name].max() <= 1, name
  assert out["normal"].shape == (2, 64, 64, 3)
  assert out["canonical_depth"].min() >= 0.9
  assert out["canonical_depth"].max() <= 1.1
  np.testing.assert_array_equal(out["mask"] == 1, out["depth"] < 1.15)
  lengths = np.linalg.norm(out["normal"], axis=-1)
  assert lengths.min() > 0.9 and lengths.max() <= 1 + 1e-6
  assert (out["confidence"] > 0).all()
  # View: the network's numbers in radians and scene units.
  raw = np.asarray(
    jax.jit(system.represent)(variables, images, tiny_autoencoder.KEY)[0][
      "view"
    ]
  )
  scale = np.array([np.pi / 3] * 3 + [0.1, 0.1, 0.0])
  np.testing.assert_allclose(out["view"], raw * scale, rtol=1e-4, atol=1e-7)


def test_reconstruction_is_grey_where_nothing_is_seen(tiny):
  system, variables = tiny
  batch = {"frames": tiny_autoencoder.frames(2)}
  images = jax.jit(system.reconstruct)(variables, batch)
  assert set(images) == {"target", "reconstruction", "mean colour"}
  for value in images.values():
    assert value.shape == (2, 64, 64, 3)
    assert value.min() >= 0 and value.max() <= 1
  images01 = tiny_autoencoder.first_frames(batch)
  np.testing.assert_allclose(images["target"], images01, atol=1e-6)
  out = jax.jit(system.factors)(variables, images01)
  want = jnp.where(out["mask"][..., None] == 1, out["reconstruction"], 0.5)
  np.testing.assert_allclose(images["reconstruction"], want, atol=1e-5)


def test_pictures_are_pictures(tiny):
  system, variables = tiny
  columns = jax.jit(system.pictures)(
    variables, {"frames": tiny_autoencoder.frames(2)}
  )
  yaws = [f"yaw {yaw:+d}" for yaw in panels.YAWS_DEG]
  assert list(columns) == [
    *("input", "rebuilt", "albedo", "shading", "depth", "normals", "canonical"),
    *(*yaws, "confidence", "error x 3"),
  ]
  for name, value in columns.items():
    assert value.shape == (2, 64, 64, 3), name
    assert value.min() >= 0 and value.max() <= 1, name
  # Seen from the front, the face is the canonical picture.
  np.testing.assert_allclose(columns["yaw +0"], columns["canonical"], atol=2e-3)


def test_without_confidence_there_is_no_network_for_it():
  system = tiny_autoencoder.make(use_confidence=False)
  params = jax.eval_shape(system.init, tiny_autoencoder.KEY).params
  assert set(params) == {"depth", "albedo", "light", "view"}
  variables = jax.eval_shape(system.init, tiny_autoencoder.KEY)
  batch = {"frames": jax.ShapeDtypeStruct((1, 1, 64, 64, 3), np.uint8)}
  columns = jax.eval_shape(system.pictures, variables, batch)
  assert "input" in columns and "confidence" not in columns


def test_frozen_networks_get_no_gradient_but_have_their_effect(tiny):
  _, variables = tiny
  system = tiny_autoencoder.make(frozen=("light", "view"))
  parted = jax.jit(system.init)(tiny_autoencoder.KEY)
  assert set(parted.params) == {"depth", "albedo", "confidence"}
  assert set(parted.frozen) == {"light", "view"}
  images = tiny_autoencoder.first_frames({"frames": tiny_autoencoder.frames(2)})
  got, _ = jax.jit(system.represent)(parted, images, tiny_autoencoder.KEY)
  want, _ = jax.jit(tiny_autoencoder.make().represent)(
    variables, images, tiny_autoencoder.KEY
  )
  for name, value in want.items():
    # Two programs: float32 rounding only.
    np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-7)
