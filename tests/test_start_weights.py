import jax
import numpy as np
import pytest

from facerep_jax import errors, sharding, start_weights
from facerep_jax.convert import unsup3d
from facerep_jax.systems import base
from tests import tiny_face


@pytest.fixture(scope="module")
def published():
  """Weights as the published code stores them, of the tiny size."""
  config = tiny_face.config("", model__use_confidence=False)
  system = base.build(config)
  shapes = jax.eval_shape(system.init, jax.random.key(0)).params
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32), shapes
  )
  flat = {
    f"{net}.{name}": value
    for net, state in unsup3d.to_torch(params).items()
    for name, value in state.items()
  }
  return params, flat | {"optimizerA.step": np.ones(1)}


def read(path, **changes):
  config = tiny_face.config(
    "", init_from=str(path), model__use_confidence=False, **changes
  )
  abstract = jax.eval_shape(base.build(config).init, jax.random.key(0))
  mesh = sharding.make_mesh(jax.devices()[:1])
  return start_weights.read(config, abstract, mesh)


def test_published_weights_of_a_file(published, tmp_path):
  params, flat = published
  np.savez(tmp_path / "weights.npz", **flat)
  found, num_moves = read(tmp_path / "weights.npz")
  jax.tree.map(
    np.testing.assert_array_equal, params, jax.device_get(found.params)
  )
  assert num_moves == 0 and found.frozen == {}


def test_networks_that_do_not_learn_are_taken_too(published, tmp_path):
  params, flat = published
  np.savez(tmp_path / "weights.npz", **flat)
  found, _ = read(tmp_path / "weights.npz", model__frozen=("light",))
  assert set(found.frozen) == {"light"} and "light" not in found.params
  jax.tree.map(
    np.testing.assert_array_equal,
    params["light"],
    jax.device_get(found.frozen["light"]),
  )


def test_weights_of_another_size_are_refused_with_all_that_differs(
  published, tmp_path
):
  np.savez(tmp_path / "weights.npz", **published[1])
  with pytest.raises(errors.InputError) as caught:
    read(tmp_path / "weights.npz", model__code_dim=12)
  text = str(caught.value)
  assert "do not fit config.model: params/albedo/decoder/seed/kernel" in text
  assert "params/depth/encoder/code/kernel: there" in text


def test_what_is_no_weights_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="no config.json"):
    read(tmp_path / "absent")
  (tmp_path / "weights.pth").write_bytes(b"nothing")
  with pytest.raises(errors.InputError, match="weights.pth"):
    read(tmp_path / "weights.pth")
