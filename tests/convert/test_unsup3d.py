import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import unsup3d as convert
from facerep_jax.models import unsup3d

MODELS = {
  "depth": unsup3d.MapNet(64, 16, 4),
  "albedo": unsup3d.MapNet(64, 16, 4, 3, True),
  "light": unsup3d.VectorNet(64, 2, 4, 8),
  "view": unsup3d.VectorNet(64, 2, 6, 8),
  "confidence": unsup3d.ConfidenceNet(64, 16, 3),
}


def _random(model: nn.Module):
  rng = np.random.default_rng(0)
  image = jnp.zeros((1, model.size_px, model.size_px, 3))
  shapes = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
  return jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32), shapes
  )


@functools.cache
def _params():
  return {key: _random(model) for key, model in MODELS.items()}


def _assert_equal(got, want):
  jax.tree.map(np.testing.assert_array_equal, got, want)


def test_round_trip():
  checkpoint = convert.to_torch(_params())
  assert set(checkpoint) == set(convert.NETS)
  _assert_equal(convert.from_torch(checkpoint), _params())
  for net, key in convert.NETS.items():
    assert convert.read_model(net, checkpoint[net]) == MODELS[key]


@pytest.mark.parametrize("size_px", [128, 256])
def test_round_trip_of_larger_nets(size_px):
  models = {
    "albedo": unsup3d.MapNet(size_px, 16, 4, 3, True),
    "light": unsup3d.VectorNet(size_px, 2, 4, 8),
    "confidence": unsup3d.ConfidenceNet(size_px, 16, 3),
  }
  params = {key: _random(model) for key, model in models.items()}
  checkpoint = convert.to_torch(params)
  _assert_equal(convert.from_torch(checkpoint, list(checkpoint)), params)
  for net, key in (("netA", "albedo"), ("netL", "light")):
    assert convert.read_model(net, checkpoint[net]) == models[key]


def test_names_and_layouts():
  params, checkpoint = _params(), convert.to_torch(_params())
  up = params["depth"]["decoder"]["up1"]["kernel"]
  weight = checkpoint["netD"]["network2.4.weight"]
  assert weight.shape == (128, 64, 4, 4)  # Transposed: inputs first.
  assert weight[5, 7, 1, 2] == up[1, 2, 5, 7]
  last = params["albedo"]["decoder"]["out"]["kernel"]
  weight = checkpoint["netA"]["network2.29.weight"]
  assert weight[2, 7, 0, 4] == last[0, 4, 7, 2]
  np.testing.assert_array_equal(
    checkpoint["netC"]["out_net1.4.bias"],
    params["confidence"]["norm4"]["bias"],
  )


@pytest.mark.parametrize("size_px", [64, 128])
def test_names_of_unsup3d_itself(size_px):
  models = {
    "depth": unsup3d.MapNet(size_px, 16, 4),
    "albedo": unsup3d.MapNet(size_px, 16, 4, 3, True),
  }
  params = {key: _random(model) for key, model in models.items()}
  checkpoint = convert.to_torch(params, is_joined=True)
  _assert_equal(convert.from_torch(checkpoint, list(checkpoint)), params)
  for net, key in (("netD", "depth"), ("netA", "albedo")):
    assert convert.read_model(net, checkpoint[net]) == models[key]
  if size_px == 64:
    # The decoder's first layer, and the last one of all.
    state, decoder = checkpoint["netA"], params["albedo"]["decoder"]
    for name, layer in (("13", "seed"), ("42", "out")):
      assert (
        state[f"network.{name}.weight"].size == decoder[layer]["kernel"].size
      )
    del state["network.18.bias"]
    with pytest.raises(
      errors.InputError, match=r"network\.18\.bias is missing"
    ):
      convert.from_torch(checkpoint, list(checkpoint))


def test_flat_names_with_prefixes_and_other_contents():
  checkpoint = {
    f"model.{net}.module.{name}": value
    for net, state in convert.to_torch(_params()).items()
    for name, value in state.items()
  }
  checkpoint["epoch"] = 30
  checkpoint["optimizerD"] = {"state": {0: {"step": np.zeros(3)}}}
  _assert_equal(convert.from_torch(checkpoint), _params())


def test_lists_every_problem():
  checkpoint = convert.to_torch(_params())
  del checkpoint["netD"]["network2.5.bias"]
  checkpoint["netD"]["network1.1.weight"] = np.zeros(3)
  checkpoint["netC"]["network.2.weight"] = np.zeros(3)
  del checkpoint["netV"]
  with pytest.raises(errors.InputError) as error:
    convert.from_torch(checkpoint)
  for part in (
    "network2.5.bias is missing",
    "network1.1.weight has shape [3], expected [16]",
    "network.2.weight is unexpected",
    "netV: expected the convolutions 'netV.network.0.weight'",
  ):
    assert part in str(error.value)


def test_refuses_a_network_that_is_there_twice():
  state = convert.to_torch(_params())["netL"]
  checkpoint = {"model": {"netL": state}, "ema": {"netL": state}}
  with pytest.raises(errors.InputError, match="'model' and 'ema'"):
    convert.from_torch(checkpoint, ["netL"])


def test_refuses_tied_stages():
  params = _random(unsup3d.VectorNet(256, 2, 4, 8))
  params["encoder"]["conv5"] = params["encoder"]["conv4"]
  checkpoint = convert.to_torch({"light": params})
  with pytest.raises(errors.InputError, match="share one set of weights"):
    convert.from_torch(checkpoint, ["netL"])
