"""Conversion beside what torch itself writes, reads and computes."""

import jax
import numpy as np
import pytest
import safetensors.numpy

torch = pytest.importorskip("torch")

import facerep_jax  # noqa: E402
from facerep_jax.benchmarks.reference import torch_fabnet  # noqa: E402
from facerep_jax.convert import __main__ as command  # noqa: E402
from tests import made_up_faces  # noqa: E402

nn = torch.nn
ONE = jax.devices()[:1]


def _train_a_little(model, images):
  """Moves weights and running statistics; returns the optimiser."""
  optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
  for _ in range(2):
    optimizer.zero_grad()
    model(images).square().mean().backward()
    optimizer.step()
  model.eval()
  return optimizer


def _nchw(images):
  return torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255))


def _both_ways(tmp_path, content, kind, is_zip):
  """Returns the model of a saved checkpoint, and its arrays on the way back."""
  path = tmp_path / "published.pth"
  torch.save(content, path, _use_new_zipfile_serialization=is_zip)
  output, back = tmp_path / "ours.safetensors", tmp_path / "back.safetensors"
  command.main([f"--input={path}", f"--kind={kind}", f"--output={output}"])
  command.main(["--to=torch", f"--input={output}", f"--output={back}"])
  arrays = {
    name: torch.from_numpy(value)
    for name, value in safetensors.numpy.load_file(back).items()
  }
  return facerep_jax.load(output, devices=ONE), arrays


def _assert_near(got, want):
  want = want.detach().numpy().reshape(got.shape)
  atol = 1e-5 * np.abs(want).max()
  np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@pytest.mark.parametrize("is_zip", [False, True])
def test_fabnet(tmp_path, is_zip):
  torch.manual_seed(0)
  model = torch_fabnet.Model(32, 4, 8)
  images = made_up_faces.photos(4, 32)
  optimizer = _train_a_little(model.encoder, _nchw(images))
  content = {
    "state_dict": model.state_dict(),
    "optimizer": optimizer.state_dict(),
    "epoch": 3,
  }
  ours, arrays = _both_ways(tmp_path, content, "fabnet", is_zip)
  want = model.encoder(_nchw(images))
  _assert_near(ours.embed(images, is_cropped=True)["embedding"], want)
  fresh = torch_fabnet.Model(32, 4, 8)
  lacking, extra = fresh.load_state_dict(arrays, strict=False)
  assert not extra and all(x.endswith("num_batches_tracked") for x in lacking)
  assert torch.equal(fresh.eval().encoder(_nchw(images)), want)


def _map_net(width, code_dim, outputs):
  """A depth or albedo network, one list, as arXiv 1911.11130 describes it."""
  relu, leaky = lambda: [nn.ReLU()], lambda: [nn.LeakyReLU(0.2)]

  def norm(scale):
    return [nn.GroupNorm(16 * scale, width * scale)]

  layers, inputs = [], 3
  for scale in (1, 2, 4, 8):
    layers.append(nn.Conv2d(inputs, width * scale, 4, 2, 1, bias=False))
    layers += [*(norm(scale) if scale < 8 else []), *leaky()]
    inputs = width * scale
  layers += [nn.Conv2d(inputs, code_dim, 4, bias=False), *relu()]
  layers += [nn.ConvTranspose2d(code_dim, inputs, 4, bias=False), *relu()]
  layers += [nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False), *relu()]
  for scale in (4, 2, 1):
    wide = width * scale
    layers.append(nn.ConvTranspose2d(inputs, wide, 4, 2, 1, bias=False))
    layers += [*norm(scale), *relu()]
    layers.append(nn.Conv2d(wide, wide, 3, 1, 1, bias=False))
    layers += [*norm(scale), *relu()]
    inputs = wide
  layers.append(nn.Upsample(scale_factor=2))
  for size in (3, 5):
    layers.append(nn.Conv2d(width, width, size, 1, size // 2, bias=False))
    layers += [*norm(1), *relu()]
  layers.append(nn.Conv2d(width, outputs, 5, 1, 2, bias=False))
  return nn.Sequential(*layers)


def _vector_net(width, hidden, outputs):
  layers, inputs = [], 3
  for scale in (1, 2, 4, 8):
    layers.append(nn.Conv2d(inputs, width * scale, 4, 2, 1, bias=False))
    layers.append(nn.ReLU())
    inputs = width * scale
  layers += [nn.Conv2d(inputs, hidden, 4, bias=False), nn.ReLU()]
  return nn.Sequential(*layers, nn.Conv2d(hidden, outputs, 1, bias=False))


@pytest.mark.parametrize("is_zip", [False, True])
def test_unsup3d(tmp_path, is_zip):
  torch.manual_seed(0)
  images = made_up_faces.photos(2, 64)
  seen = 2 * _nchw(images) - 1
  nets = {
    "netD": _map_net(16, 8, 1),
    "netA": _map_net(16, 8, 3),
    "netL": _vector_net(2, 8, 4),
    "netV": _vector_net(2, 8, 6),
  }
  content = {"epoch": 30}
  for name, net in nets.items():
    optimizer = _train_a_little(net, seen)
    content[name.replace("net", "optimizer")] = optimizer.state_dict()
    content[name] = nn.ModuleDict({"network": net}).state_dict()
  ours, arrays = _both_ways(tmp_path, content, "unsup3d", is_zip)
  got = ours.embed(images, is_cropped=True)
  for feature, name in (("depth_code", "netD"), ("albedo_code", "netA")):
    _assert_near(got[feature], nets[name][:13](seen))
  for feature, name in (("light", "netL"), ("view", "netV")):
    _assert_near(got[feature], torch.tanh(nets[name](seen)))
  variables = jax.device_get(ours.variables)
  _, albedo11 = ours.system.faces.decode(
    variables, got["albedo_code"], got["depth_code"]
  )
  want = torch.tanh(nets["netA"](seen)).permute(0, 2, 3, 1)
  _assert_near(np.asarray(albedo11), want)
  for name in nets:
    state = {
      k.removeprefix(f"{name}."): v
      for k, v in arrays.items()
      if k.startswith(f"{name}.")
    }
    assert state.keys() == content[name].keys()
    assert all(torch.equal(state[k], v) for k, v in content[name].items())
