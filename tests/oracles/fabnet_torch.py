"""What PyTorch makes of a small FAb-Net: `tests/golden/fabnet_small.npz`.

Run this file with the path to write. Needs torch, which most tests do not.
"""

import sys

import numpy as np
import torch

from facerep_jax.benchmarks.reference.torch_fabnet import Model, band_mean
from tests.oracles import waves


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
