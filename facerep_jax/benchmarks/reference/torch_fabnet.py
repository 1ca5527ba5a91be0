"""FAb-Net in PyTorch, with the layer numbers of the published weights.

What the speed of this package is compared with. Needs torch: the extra
`facerep_jax[torch]`.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from facerep_jax import errors

torch = errors.require("torch", "torch", "the PyTorch baseline")
nn, functional = torch.nn, torch.nn.functional

# Names of JAX's backends and of torch's devices.
_DEVICES = {"cpu": "cpu", "gpu": "cuda"}


class Model(nn.Module):
  """Encoder `encoder`, flow decoder `decoder`, mask decoder `mask`.

  Source: models_multiview.py, FrontaliseModelMasks_wider.

  Attributes:
    encoder: Frames to codes.
    decoder: Pairs of codes to flow.
    mask: Pairs of codes to mask logits.
  """

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

  def forward(self, target, sources, align_corners=True, use_mask=True):
    """Rebuilds the target from its sources.

    Args:
      target: [B, 3, H, W] float, [0, 1].
      sources: A list of the same.
      align_corners: Convention of the sampler.
      use_mask: Whether the mask decoder runs; one source can do without it.

    Returns:
      A dict in NCHW, sources first; no `mask_logit` without the mask.
    """
    size = target.shape[-1]
    line = torch.linspace(-1, 1, size, dtype=target.dtype, device=target.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    identity = torch.stack([x, y], -1)[None]
    code = self.encoder(target)
    codes = [self.encoder(source) for source in sources]
    pairs = [torch.cat([c, code], 1) for c in codes]
    flows = [self.decoder(pair) for pair in pairs]
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
    out = {
      "embedding": torch.stack([code] + codes)[..., 0, 0],
      "flow": torch.stack(flows),
      "warped": warped,
    }
    if not use_mask:
      return out | {"image": warped[0]}
    logits = torch.stack([self.mask(pair) for pair in pairs])
    image = (torch.softmax(logits, 0) * warped).sum(0)
    return out | {"mask_logit": logits, "image": image}


def band_mean(per_example, start, stop):
  """Averages the losses ranked [start, stop)."""
  return per_example.sort().values[start:stop].mean()


def device(backend: str) -> str | None:
  """Returns torch's name of a JAX backend's devices, None if it has none."""
  name = _DEVICES.get(backend)
  return None if name == "cuda" and not torch.cuda.is_available() else name


class Baseline:
  """The training step and the encoder, in one form."""

  def __init__(
    self,
    state: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    frames: np.ndarray,
    form: Any,
    device: str,
  ):
    """Builds the network and places its inputs.

    Args:
      state: Weights by torch name.
      sizes: `size`, `width` and `embed_dim`.
      frames: [B, 2, H, W, 3] uint8, targets and sources.
      form: With `is_channels_last`, `is_compiled` and `dtype`.
      device: Where to compute.
    """
    layout = (
      torch.channels_last if form.is_channels_last else torch.contiguous_format
    )
    self._device, self._dtype = device, getattr(torch, form.dtype)
    self._model = Model(**sizes)
    tensors = {name: torch.from_numpy(x.copy()) for name, x in state.items()}
    # Only the counters of batches have no value there.
    self._model.load_state_dict(tensors, strict=False)
    self._model.to(device=device, memory_format=layout)
    self._frames = [
      torch.from_numpy(frames[:, t])
      .permute(0, 3, 1, 2)
      .to(device)
      .contiguous(memory_format=layout)
      for t in range(2)
    ]
    self._images = self._frames[0] / 255.0
    self._run, self._encode = self._model, self._model.encoder
    if form.is_compiled:
      self._run = torch.compile(self._model)
      self._encode = torch.compile(self._model.encoder)
    self._optimizer = None

  def train_step(
    self, learning_rate: float, momentum: float, use_mask: bool
  ) -> float:
    """Does one step of SGD on the frames; the first call fixes the rates.

    Args:
      learning_rate: Of SGD.
      momentum: Of SGD.
      use_mask: Whether the mask decoder runs.

    Returns:
      The loss before the step.
    """
    if self._optimizer is None:
      self._optimizer = torch.optim.SGD(
        self._model.parameters(), learning_rate, momentum
      )
    self._model.train()
    target, source = (frames / 255.0 for frames in self._frames)
    with self._precision():
      image = self._run(target, [source], use_mask=use_mask)["image"]
    per_example = (image.float() - target).abs().mean((1, 2, 3))
    loss = band_mean(per_example, 0, len(per_example))
    self._optimizer.zero_grad()
    loss.backward()
    self._optimizer.step()
    self._wait()
    return loss.item()

  def encode(self) -> np.ndarray:
    """Encodes the targets, [B, D] float32."""
    self._model.eval()
    with torch.inference_mode(), self._precision():
      code = self._encode(self._images)[..., 0, 0]
    self._wait()
    return code.float().cpu().numpy()

  def _precision(self):
    """Rounds what networks multiply, where the form says so."""
    if self._dtype == torch.float32:
      return contextlib.nullcontext()
    return torch.autocast(self._device, self._dtype)

  def _wait(self):
    if self._device == "cuda":
      torch.cuda.synchronize()
