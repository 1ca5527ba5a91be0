"""FAb-Net in PyTorch, with the layer numbers of the published weights.

It made `tests/golden/fabnet_small.npz` (run this file with the path to write)
and serves as the speed baseline. Needs torch, which the tests do not.
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.oracles import waves


class Model(nn.Module):
  """Encoder `encoder`, flow decoder `decoder`, mask decoder `mask`."""

  def __init__(self, size, width, embed_dim):
    super().__init__()
    scales = [1, 2, 4] + [8] * (size.bit_length() - 5)
    channels = [width * s for s in scales]
    layers, inputs = [], 3
    for i, outputs in enumerate(channels):
      layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1))
      layers += [nn.BatchNorm2d(outputs)] if i else []
      layers.append(nn.LeakyReLU(0.2))
      inputs = outputs
    layers.append(nn.Conv2d(inputs, embed_dim, 4, 2, 1))
    self.encoder = nn.Sequential(*layers)
    self.decoder = self._decoder(2 * embed_dim, channels[::-1], 2)
    self.mask = self._decoder(2 * embed_dim, channels[::-1], 1)

  def _decoder(self, inputs, channels, outputs):
    layers = []
    for width in channels:
      layers += [nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")]
      layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.BatchNorm2d(width)]
      inputs = width
    layers += [nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")]
    layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Tanh()]
    return nn.Sequential(*layers)

  def forward(self, target, sources, align_corners=True):
    """Takes NCHW images; returns a dict in NCHW, sources first."""
    size = target.shape[-1]
    line = torch.linspace(-1, 1, size, dtype=target.dtype)
    y, x = torch.meshgrid(line, line, indexing="ij")
    identity = torch.stack([x, y], -1)[None]
    code = self.encoder(target)
    codes = [self.encoder(source) for source in sources]
    pairs = [torch.cat([c, code], 1) for c in codes]
    flows = [self.decoder(pair) for pair in pairs]
    logits = torch.stack([self.mask(pair) for pair in pairs])
    warped = torch.stack(
      [
        functional.grid_sample(
          source,
          (identity + flow.permute(0, 2, 3, 1)).clamp(-1, 1),
          align_corners=align_corners,
        )
        for source, flow in zip(sources, flows)
      ]
    )
    return {
      "embedding": torch.stack([code] + codes)[..., 0, 0],
      "flow": torch.stack(flows),
      "mask_logit": logits,
      "warped": warped,
      "image": (torch.softmax(logits, 0) * warped).sum(0),
    }


def band_mean(per_example, start, stop):
  """Mean of the losses ranked [start, stop)."""
  return per_example.sort().values[start:stop].mean()


def write_golden(path, size=64, width=4, embed_dim=16, batch=4, step=4):
  """Writes what the tests compare with; pixels ::step of the maps."""
  model = Model(size, width, embed_dim)
  shapes = {
    name: tuple(value.shape)
    for name, value in model.state_dict().items()
    if not name.endswith("num_batches_tracked")
  }
  state = {k: torch.tensor(v) for k, v in waves.torch_state(shapes).items()}
  model.load_state_dict(state, strict=False)
  target, *sources = (
    torch.tensor(waves.images(batch, size, p)).permute(0, 3, 1, 2)
    for p in (0.1, 0.9, 1.7)
  )
  out = {}
  model.eval()
  for align in (0, 1):
    got = model(target, sources, align_corners=bool(align))
    for name in ("embedding", "flow", "mask_logit"):
      out[f"eval/{name}"] = got[name]
    for name in ("warped", "image"):
      out[f"eval/{name}_align{align}"] = got[name]
  out = {
    k: (v if v.ndim < 4 else v[..., ::step, ::step]).detach().numpy()
    for k, v in out.items()
  }
  model.train()
  losses = (model(target, sources)["image"] - target).abs().mean((1, 2, 3))
  band_mean(losses, batch // 4, 3 * batch // 4).backward()
  out["train/per_example_loss"] = losses.detach().numpy()
  for name, value in model.named_parameters():
    norm = torch.linalg.vector_norm(value.grad.double())
    out[f"train/gradnorm/{name}"] = norm.numpy()
  for name, value in model.state_dict().items():
    if "running" in name:
      out[f"train/after/{name}"] = value.numpy()
  np.savez_compressed(path, **out)


if __name__ == "__main__":
  write_golden(sys.argv[1])
