import jax
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import fabnet as convert
from facerep_jax.models import fabnet


def _variables(size=32, width=2, embed_dim=4):
  model = fabnet.FabNet(size, width, embed_dim)
  frames = np.zeros((1, 1, size, size, 3), np.float32)
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), frames[0], frames, train=False)
  )
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32), shapes
  )


def test_round_trip():
  variables = _variables()
  state = convert.to_torch(variables)
  back = convert.from_torch(state)
  jax.tree.map(np.testing.assert_array_equal, back, dict(variables))
  assert convert.sizes(state) == {
    "size": 32,
    "width": 2,
    "embed_dim": 4,
  }


def test_names_and_layouts():
  variables = _variables()
  state = convert.to_torch(variables)
  encoder = variables["params"]["encoder"]
  kernel = encoder["conv1"]["kernel"]
  assert state["encoder.2.weight"].shape == (4, 2, 4, 4)
  assert state["encoder.2.weight"][3, 1, 0, 2] == kernel[0, 2, 1, 3]
  np.testing.assert_array_equal(
    state["encoder.3.weight"], encoder["norm1"]["scale"]
  )
  np.testing.assert_array_equal(
    state["mask.7.running_var"],
    variables["batch_stats"]["mask_decoder"]["norm1"]["var"],
  )
  np.testing.assert_array_equal(
    state["decoder.18.bias"],
    variables["params"]["flow_decoder"]["conv4"]["bias"],
  )


def test_lists_every_problem():
  state = convert.to_torch(_variables())
  state["encoder.3.num_batches_tracked"] = np.int64(7)
  convert.from_torch(state)
  del state["decoder.3.running_mean"]
  state["mask.2.bias"] = np.zeros(3)
  state["module.extra"] = np.zeros(3)
  with pytest.raises(errors.InputError) as error:
    convert.from_torch(state)
  for part in (
    "decoder.3.running_mean is missing",
    "mask.2.bias has shape [3], expected [16]",
    "module.extra is unexpected",
  ):
    assert part in str(error.value)


def test_finds_the_weights_in_a_checkpoint():
  state = convert.to_torch(_variables())
  prefixed = {f"module.{name}": value for name, value in state.items()}
  optimizer = {"state": {0: {"step": 3}}, "param_groups": []}
  for checkpoint in (
    state,
    prefixed,
    {"epoch": 3, "state_dict": state, "optimizer": optimizer},
    {"state_dict_model": prefixed, "opts": object()},
  ):
    found = convert.state_of(checkpoint)
    assert found.keys() == state.keys()
    assert all(found[name] is value for name, value in state.items())
  with pytest.raises(errors.InputError, match="got several: a, b"):
    convert.state_of({"a": state, "b": state})
  with pytest.raises(errors.InputError, match="got 0; the first names are"):
    convert.from_torch(convert.state_of({"a": optimizer}))


def test_refuses_other_weights():
  with pytest.raises(errors.InputError, match=r"encoder\.0\.weight"):
    convert.from_torch({"layer1.weight": np.zeros((3, 3))})
