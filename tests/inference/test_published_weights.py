import jax
import numpy as np
import pytest
import safetensors.numpy

import facerep_jax
from facerep_jax import errors
from facerep_jax.convert import __main__ as command
from facerep_jax.convert import torch_file, vgg16
from facerep_jax.inference import published_weights, weight_file
from facerep_jax.models import unsup3d as nets
from facerep_jax.models import vgg
from facerep_jax.systems import base, perceptual
from facerep_jax.training import init_from
from tests import made_up_faces, made_up_models, published, torch_files

ONE = jax.devices()[:1]


@pytest.fixture(scope="module", params=published.KINDS)
def converted(request, tmp_path_factory):
  """A published checkpoint of the old format, and the file made of it."""
  folder = tmp_path_factory.mktemp("published")
  return request.param, *published.convert(request.param, folder)


def test_the_file_has_the_published_settings(converted):
  kind, _, output = converted
  found = weight_file.read(output)
  config = found.config
  assert found.metadata["facerep_jax"] == weight_file.EXACT_FORMAT
  assert found.metadata["summary"].startswith(
    {"fabnet": "FAb-Net", "unsup3d": "Unsup3D", "latentface": "LatentFace"}[
      kind
    ]
    + f", converted from {kind}.pth, "
  )
  if kind == "fabnet":
    assert config.preset == "sources" and config.model.use_mask
    sizes = config.model.size_px, config.model.width, config.model.embed_dim
    assert sizes == (32, 4, 8)
    return
  first = config.model.get("autoencoder", config.model)
  assert config.preset == "paper" and first.num_groups == 16
  sizes = first.size_px, first.width, first.code_dim
  assert sizes == (64, 16, 32)
  assert (first.vector_width, first.hidden_dim) == (2, 8)
  if kind == "latentface":
    assert (config.model.width, config.model.num_groups) == (64, 32)
    assert not config.model.standardise


def test_features_are_those_of_a_start_from_the_published_file(converted):
  kind, path, output = converted
  loaded = facerep_jax.load(output, devices=ONE)
  images = made_up_faces.photos(2, loaded.size_px)
  got = loaded.embed(images, is_cropped=True)
  config = loaded.config.copy_and_resolve_references()
  first = config
  if kind == "latentface":
    first.stage, first.model = "autoencoder", config.model.autoencoder
  first.init_from = str(path)
  abstract = jax.eval_shape(base.build(first).init, jax.random.key(0))
  started, moves = init_from.read(first, abstract, loaded.mesh)
  assert moves == 0
  code = base.build(first).represent(
    started, images / np.float32(255), jax.random.key(0)
  )[0]
  for name in code:
    # One is compiled as a whole, the other operation by operation.
    atol = 1e-5 * np.abs(code[name]).max()
    np.testing.assert_allclose(got[name], code[name], rtol=0, atol=atol)
    assert np.ptp(got[name]) > 0, name


def test_a_run_starts_from_the_converted_file(converted):
  kind, _, output = converted
  found = weight_file.read(output)
  config = found.config
  config.init_from = str(output)
  abstract = jax.eval_shape(base.build(config).init, jax.random.key(0))
  started, _ = init_from.read(
    config, abstract._replace(frozen={}), jax.make_mesh((1,), ("data",))
  )
  jax.tree.map(
    np.testing.assert_array_equal, started.params, found.variables.params
  )


def test_the_first_stage_from_a_file_of_its_own(tmp_path):
  denoisers = torch_files.write_zip(
    tmp_path / "second.pth", published.second_state()
  )
  published_first = torch_files.write_zip(
    tmp_path / "first.pth", published.first_state()
  )
  first = tmp_path / "first.safetensors"
  command.main(
    [f"--input={published_first}", "--kind=unsup3d", f"--output={first}"]
  )
  arguments = [f"--input={denoisers}", "--kind=latentface"]
  with pytest.raises(errors.InputError, match="Give the file with it as --fir"):
    command.main([*arguments, f"--output={tmp_path / 'x.safetensors'}"])
  whole = torch_files.write_zip(
    tmp_path / "whole.pth",
    published.second_state() | published.first_state(False),
  )
  outputs = [tmp_path / f"{i}.safetensors" for i in range(3)]
  for output, given in zip(outputs, (first, published_first)):
    command.main([*arguments, f"--first={given}", f"--output={output}"])
    assert f"`{given.name}`" in output.with_suffix(".md").read_text()
  command.main([f"--input={whole}", *arguments[1:], f"--output={outputs[2]}"])
  found = [safetensors.numpy.load_file(x) for x in outputs]
  for other in found[1:]:
    jax.tree.map(np.testing.assert_array_equal, found[0], other)
  with pytest.raises(errors.InputError, match="Leave one of them out"):
    command.main(
      [f"--input={whole}", *arguments[1:], f"--first={first}"]
      + [f"--output={tmp_path / 'x.safetensors'}"]
    )
  fabnet_file = tmp_path / "fabnet.safetensors"
  made_up_models.representation("fabnet").save(fabnet_file)
  with pytest.raises(errors.InputError, match="expected LatentFace's first st"):
    command.main(
      [*arguments, f"--first={fabnet_file}"]
      + [f"--output={tmp_path / 'x.safetensors'}"]
    )
  assert not (tmp_path / "x.safetensors").exists()
  assert not (tmp_path / "x.md").exists()


def test_sizes_that_differ_between_networks_are_listed(tmp_path):
  models = published.FIRST | {
    "albedo": nets.MapNet(64, 32, 32, 1, True),
    "view": nets.VectorNet(64, 2, 5, 16),
  }
  path = torch_files.write_zip(
    tmp_path / "a.pth",
    published.first_state(models=models) | published.second_state(48),
  )
  with pytest.raises(errors.InputError) as caught:
    published_weights.read(path, "unsup3d")
  for part in (
    "width: expected one for all, got netD 16, netA 32",
    "hidden_dim: expected one for all, got netL 8, netV 16",
    "netA: expected 3 outputs, got 1",
    "netV: expected 6 outputs, got 5",
  ):
    assert part in str(caught.value)
  other = published.second_state(width=96)["netED"]
  checkpoint = (
    published.first_state() | published.second_state(48) | {"netED": other}
  )
  path = torch_files.write_zip(tmp_path / "b.pth", checkpoint)
  with pytest.raises(errors.InputError) as caught:
    published_weights.read(path, "latentface")
  for part in (
    "netEA: expected code_dim 32, as of the other networks, got 48",
    "netED: expected width 64, as of the other networks, got 96",
  ):
    assert part in str(caught.value)


def test_vgg16_for_the_perceptual_loss(tmp_path):
  shapes = jax.eval_shape(
    vgg.Vgg16Features().init, jax.random.key(0), np.zeros((1, 8, 8, 3), "f4")
  )
  params = published.draw(shapes["params"])
  state = vgg16.to_torch(params)
  later = {
    "features.17.weight": np.zeros((5, 4, 3, 3), np.float32),
    "classifier.6.bias": np.zeros(3, np.float32),
  }
  path = torch_files.write_legacy(
    tmp_path / "vgg16-397923af.pth", state | later
  )
  output = tmp_path / "vgg16.safetensors"
  command.main([f"--input={path}", "--kind=vgg16", f"--output={output}"])
  jax.tree.map(
    np.testing.assert_array_equal, perceptual.read_vgg16(output), params
  )
  assert torch_file.read(output).keys() == state.keys()
  assert "library_name: safetensors" in output.with_suffix(".md").read_text()
  narrow = {k: v[:4] for k, v in state.items() if k == "features.0.bias"}
  broken = torch_files.write_zip(tmp_path / "b.pth", state | narrow)
  with pytest.raises(errors.InputError, match=r"features\.0\.bias has shape"):
    published_weights.read_vgg16(broken)
