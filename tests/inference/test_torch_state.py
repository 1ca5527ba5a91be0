import jax
import numpy as np
import pytest
import safetensors.numpy

from facerep_jax.convert import __main__ as command
from facerep_jax.convert import unsup3d
from facerep_jax.inference import torch_state
from tests import made_up_models, published


@pytest.fixture(scope="module", params=published.KINDS)
def converted(request, tmp_path_factory):
  """A published checkpoint of the old format, and the file made of it."""
  folder = tmp_path_factory.mktemp("published")
  return request.param, *published.convert(request.param, folder)


def flat(tree, prefix=""):
  out = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      out |= flat(value, f"{prefix}{name}.")
    elif isinstance(value, np.ndarray):
      out[prefix + name] = value
  return out


def wanted(kind):
  """The arrays of a checkpoint that matter, by the names that come back."""
  found = flat(published.checkpoint_of(kind))
  if kind == "fabnet":
    return {
      name.removeprefix("state_dict_model."): value
      for name, value in found.items()
      if "optimizer" not in name and "num_batches" not in name
    }
  # Only training needs the confidence network.
  return {
    name: value
    for name, value in found.items()
    if not name.startswith(("optimizer", "netC"))
  }


def test_both_ways_every_weight_is_the_same(converted, tmp_path):
  kind, _, output = converted
  back = tmp_path / "back.safetensors"
  command.main(["--to=torch", f"--input={output}", f"--output={back}"])
  got, want = safetensors.numpy.load_file(back), wanted(kind)
  assert got.keys() == want.keys()
  for name, value in want.items():
    assert got[name].dtype == np.float32
    np.testing.assert_array_equal(got[name], value, err_msg=name)
  again = tmp_path / "again.safetensors"
  command.main([f"--input={back}", f"--kind={kind}", f"--output={again}"])
  first, second = (safetensors.numpy.load_file(x) for x in (output, again))
  jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("converted", ["unsup3d"], indirect=True)
def test_names_of_the_first_stage_are_chosen(converted, tmp_path):
  _, _, output = converted
  for names, first in (("unsup3d", "network"), ("latentface", "network1")):
    back = tmp_path / f"{names}.safetensors"
    command.main(
      ["--to=torch", f"--input={output}", f"--kind={names}"]
      + [f"--output={back}"]
    )
    assert f"netD.{first}.0.weight" in safetensors.numpy.load_file(back)
    assert "\n- netC\n" in back.with_suffix(".md").read_text()


def test_a_network_that_is_there_is_written():
  config = made_up_models.config(
    "autoencoder", model__depth_gain=1.0, model__depth_prior=0.0
  )
  config.model.num_groups = 16
  variables = made_up_models.variables(config)
  found = torch_state.of_model(config, variables, "latentface")
  assert found.lacking == () and found.kind == "latentface"
  back = unsup3d.from_torch(found.arrays)
  assert back.keys() == variables.params.keys()
  jax.tree.map(np.testing.assert_array_equal, back, variables.params)
