"""The networks of Unsup3D in PyTorch, and `tests/golden/unsup3d_small.npz`.

Run as a module, `python -m tests.oracles.unsup3d_torch PATH`, to write that
file. Needs torch, which the tests do not.
"""

import itertools
import sys

import numpy as np
import torch
from torch import nn

from tests.oracles import waves

WIDTH, CODE = 16, 16
NETS = {
  64: ("netD", "netA", "netL", "netV", "netC"),
  128: ("netD", "netL", "netC"),
}


def _conv(channels, features, size, stride=1, padding=0):
  return nn.Conv2d(channels, features, size, stride, padding, bias=False)


def _up(channels, features, stride=2, padding=1):
  return nn.ConvTranspose2d(channels, features, 4, stride, padding, bias=False)


def _norm(scale):
  return nn.GroupNorm(16 * scale, WIDTH * scale)


def _encoder(extra, code, use_norm):
  layers, channels = [], 3
  for i, scale in enumerate([1, 2, 4, 8] + [8] * extra):
    layers.append(_conv(channels, scale * WIDTH, 4, 2, 1))
    if use_norm and i < 3:
      layers.append(_norm(scale))
    layers.append(nn.LeakyReLU(0.2) if use_norm else nn.ReLU())
    channels = scale * WIDTH
  return [*layers, _conv(channels, code, 4), nn.ReLU()]


def _ups(scales):
  layers = []
  for before, after in itertools.pairwise(scales):
    layers += [_up(before * WIDTH, after * WIDTH), _norm(after), nn.ReLU()]
  return layers


class MapNet(nn.Module):
  """Depth or albedo."""

  def __init__(self, extra, channels):
    super().__init__()
    self.network1 = nn.Sequential(*_encoder(extra, CODE, True))
    wide = 8 * WIDTH
    layers = [_up(CODE, wide, 1, 0), nn.ReLU(), _conv(wide, wide, 3, 1, 1)]
    layers.append(nn.ReLU())
    scales = [8, 4] + [4] * extra + [2, 1]
    for i, scale in enumerate(scales[1:], 1):
      layers += _ups(scales[i - 1 : i + 1])
      same = _conv(scale * WIDTH, scale * WIDTH, 3, 1, 1)
      layers += [same, _norm(scale), nn.ReLU()]
    layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
    for size in (3, 5):
      conv = _conv(WIDTH, WIDTH, size, 1, size // 2)
      layers += [conv, _norm(1), nn.ReLU()]
    layers.append(_conv(WIDTH, channels, 5, 1, 2))
    layers += [nn.Tanh()] if channels == 3 else []
    self.network2 = nn.Sequential(*layers)

  def forward(self, images):
    code = self.network1(images)
    return code, self.network2(code)


class VectorNet(nn.Module):
  """Light or viewpoint."""

  def __init__(self, extra, num_out):
    super().__init__()
    layers = _encoder(extra, 8 * WIDTH, False)
    layers += [_conv(8 * WIDTH, num_out, 1), nn.Tanh()]
    self.network = nn.Sequential(*layers)

  def forward(self, images):
    return (self.network(images).flatten(1),)


class ConfidenceNet(nn.Module):
  """Confidence of pixels and of features."""

  def __init__(self, extra):
    super().__init__()
    layers = [*_encoder(extra, CODE, True), _up(CODE, 8 * WIDTH, 1, 0)]
    layers += [nn.ReLU(), *_ups([8, 4] + [4] * extra + [2])]
    self.network = nn.Sequential(*layers)
    full = [*_ups([2, 1, 1]), _conv(WIDTH, 2, 5, 1, 2), nn.Softplus()]
    self.out_net1 = nn.Sequential(*full)
    quarter = _conv(2 * WIDTH, 2, 3, 1, 1)
    self.out_net2 = nn.Sequential(quarter, nn.Softplus())

  def forward(self, images):
    x = self.network(images)
    return self.out_net1(x), self.out_net2(x)


def make(net, extra):
  """Makes the network with torch's name `net`."""
  if net in ("netD", "netA"):
    return MapNet(extra, 1 if net == "netD" else 3)
  if net in ("netL", "netV"):
    return VectorNet(extra, 4 if net == "netL" else 6)
  return ConfidenceNet(extra)


def write_golden(path):
  """Writes outputs, and the gradients' norms of the sum of their squares."""
  out = {}
  for size, nets in NETS.items():
    images = torch.tensor(2 * waves.images(2, size, 0.3) - 1)
    images = images.permute(0, 3, 1, 2)
    for net in nets:
      model = make(net, size // 128)
      shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
      state = waves.torch_state(shapes)
      model.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
      results = model(images)
      sum((x**2).mean() for x in results).backward()
      for i, x in enumerate(results):
        values = x.detach().numpy()
        step = size // 16 if values.shape[-1] == size else 1
        values = values[..., ::step, ::step] if values.ndim == 4 else values
        out[f"{size}/out/{net}/{i}"] = values
      for name, value in model.named_parameters():
        norm = torch.linalg.vector_norm(value.grad.double())
        out[f"{size}/gradnorm/{net}/{name}"] = np.float32(norm)
  np.savez_compressed(path, **out)


if __name__ == "__main__":
  write_golden(sys.argv[1])
