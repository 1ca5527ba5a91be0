"""Conversion beside published numbers, and at published sizes."""

import flax.traverse_util
import jax
import numpy as np
import pytest
import safetensors.numpy

import facerep_jax
from facerep_jax.convert import __main__ as command
from facerep_jax.convert import fabnet, rdm, torch_file, unsup3d, weights
from facerep_jax.inference import published_weights, weight_file
from facerep_jax.models import published
from tests import torch_files
from tests.oracles import waves

ONE = jax.devices()[:1]


def _convert(tmp_path, tree, kind, write="write_zip"):
  """Writes a checkpoint and converts it; returns what `load` makes of it."""
  path = getattr(torch_files, write)(tmp_path / "published.pth", tree)
  output = tmp_path / "ours.safetensors"
  command.main([f"--input={path}", f"--kind={kind}", f"--output={output}"])
  return output


def _represent(output, images01):
  model = facerep_jax.load(output, devices=ONE)
  return jax.jit(model._compute)(model.variables, {"images": images01})


def _params(data, prefix):
  return {
    name.removeprefix(prefix): data[name].astype(np.float32)
    for name in data.files
    if name.startswith(prefix)
  }


def _assert_near(got, want):
  # Float32 through up to eight layers on both sides.
  atol = 1e-5 * np.abs(want).max()
  np.testing.assert_allclose(got, want.reshape(got.shape), rtol=0, atol=atol)


def test_fabnet_has_the_published_embeddings(shared, tmp_path):
  data = np.load(shared / "golden" / "fabnet.npz")
  output = _convert(tmp_path, _params(data, "param/"), "fabnet")
  images = [waves.images(4, 256, phase) for phase in (0.1, 0.9, 1.7)]
  got = _represent(output, np.concatenate(images).astype(np.float32))
  _assert_near(got["embedding"], data["eval/embedding"])


def test_the_first_stage_has_the_published_codes(shared, tmp_path):
  data = np.load(shared / "golden" / "autoencoder_nets.npz")
  nets = {net: _params(data, f"64/param/{net}/") for net in unsup3d.NETS}
  output = _convert(tmp_path, nets, "unsup3d", "write_legacy")
  got = _represent(output, waves.images(2, 64, 0.3).astype(np.float32))
  for name, net in (
    ("depth_code", "netD"),
    ("albedo_code", "netA"),
    ("light", "netL"),
    ("view", "netV"),
  ):
    _assert_near(got[name], data[f"64/out/{net}/0"])


def _draw(module, *arguments):
  """Random parameters of a network."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)["params"]
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: rng.standard_normal(x.shape, np.float32) * np.float32(0.05),
    shapes,
  )


def _image(size_px):
  return jax.ShapeDtypeStruct((1, size_px, size_px, 3), np.float32)


def _first_stage():
  models = published.latentface_64()
  return {name: _draw(model, _image(64)) for name, model in models.items()}


def _back(tmp_path, output):
  path = tmp_path / "back.safetensors"
  command.main(["--to=torch", f"--input={output}", f"--output={path}"])
  return safetensors.numpy.load_file(path)


def _assert_same(got, want):
  assert got.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.slow
def test_fabnet_of_the_published_size(tmp_path):
  model = published.fabnet_256()
  frames = jax.ShapeDtypeStruct((2, 256, 256, 3), np.float32)
  sources = jax.ShapeDtypeStruct((2, 3, 256, 256, 3), np.float32)
  shapes = jax.eval_shape(
    lambda *x: model.init(jax.random.key(0), *x, train=False), frames, sources
  )
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda x: rng.uniform(0.01, 0.1, x.shape).astype(np.float32), shapes
  )
  state = fabnet.to_torch(variables)
  output = _convert(tmp_path, {"state_dict": state}, "fabnet", "write_legacy")
  assert "published:" not in output.with_suffix(".md").read_text()
  _assert_same(_back(tmp_path, output), state)
  images = np.zeros((2, 256, 256, 3), np.uint8)
  model = facerep_jax.load(output, devices=ONE)
  assert model.embed(images)["embedding"].shape == (2, 256)


@pytest.mark.slow
def test_latentface_of_the_published_size(tmp_path):
  code = jax.ShapeDtypeStruct((1, 256), np.float32)
  step = jax.ShapeDtypeStruct((1,), np.int32)
  params = _draw(published.denoiser_128(), code, code, step)
  checkpoint = {net: rdm.to_torch(params) for net in rdm.NETS}
  checkpoint |= unsup3d.to_torch(_first_stage())
  output = _convert(tmp_path, checkpoint, "latentface", "write_legacy")
  assert "published:" not in output.with_suffix(".md").read_text()
  want = {
    f"{net}.{name}": value
    for net, state in checkpoint.items()
    for name, value in state.items()
    if net != "netC"
  }
  _assert_same(_back(tmp_path, output), want)
  model = facerep_jax.load(output, devices=ONE)
  features = model.embed(np.zeros((2, 64, 64, 3), np.uint8))
  assert features["verification"].shape == (2, 2048)
  assert features["fer"].shape == (2, 1024)


@pytest.mark.slow
def test_denoisers_of_the_published_training_code(tmp_path, monkeypatch):
  """Their file has gigabytes: numbers that lie in memory once stand in."""
  model = published.denoiser_1024()
  code = jax.ShapeDtypeStruct((1, 256), np.float32)
  step = jax.ShapeDtypeStruct((1,), np.int32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), code, code, step)
  # By the paths of the arrays, their places and shapes in torch.
  flat = flax.traverse_util.flatten_dict(shapes["params"])
  ours = {path: x.shape for path, x in flat.items()}
  there = {
    leaf.name: weights._shape_in_torch(leaf.kind, ours[path])
    for path, leaf in rdm._leaves("query").items()
  }
  there |= rdm._unused("query", ours)
  state = {
    name: np.broadcast_to(np.float32(0.25), shape)
    for name, shape in there.items()
  }
  checkpoint = {net: state for net in rdm.NETS}
  checkpoint |= unsup3d.to_torch(_first_stage())
  monkeypatch.setattr(torch_file, "read", lambda path: checkpoint)
  found = published_weights.read("any.pth", "latentface")
  assert found.config.model.width == 1024
  assert "width=1024" in found.sizes
  got = jax.tree.map(np.shape, found.variables.params["albedo"])
  assert got == jax.tree.map(np.shape, shapes["params"])
  size = weight_file.write(
    tmp_path / "a.safetensors", found.config, found.variables, 0, is_exact=True
  )
  assert size > 6e8
