"""The published denoiser of codes in NumPy float64.

Maps of any size, [N, C, H, W], real 3x3 convolutions with padding, real
attention; called on 1x1 maps.
"""

import numpy as np


def predict(state, noisy, code, t, num_groups, head_size=8):
  """[N, D] from noisy codes and codes [N, D], and steps [N]."""
  net = _Net({k: np.float64(v) for k, v in state.items()}, num_groups)
  time = _time_features(t, len(state["conv_in.weight"]))
  time = net.dense("time_embedding.linear_1", time)
  time = _silu(net.dense("time_embedding.linear_2", _silu(time)))
  x = np.concatenate([np.float64(noisy), np.float64(code)], 1)
  x = net.conv("conv_in", x[:, :, None, None])
  skips = [x]
  for i in (0, 1):
    x = net.block(f"down_blocks.0.resnets.{i}", x, time)
    skips.append(x)
  x = net.block("mid_block.resnets.0", x, time)
  x = net.attention("mid_block.attentions.0", x, head_size)
  x = net.block("mid_block.resnets.1", x, time)
  for i in (0, 1, 2):
    x = np.concatenate([x, skips.pop()], 1)
    x = net.block(f"up_blocks.0.resnets.{i}", x, time)
  x = net.conv("conv_out", _silu(net.norm("conv_norm_out", x)))
  return x[:, :, 0, 0]


def _time_features(t, width):
  out = np.zeros((len(t), width))
  for i in range(width // 2):
    angle = np.float64(t) * 10_000 ** (-i / (width // 2))
    out[:, i], out[:, width // 2 + i] = np.cos(angle), np.sin(angle)
  return out


def _silu(x):
  return x / (1 + np.exp(-x))


class _Net:
  """The layers, by torch's names."""

  def __init__(self, state, num_groups):
    self.state, self.num_groups = state, num_groups

  def affine(self, name):
    return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

  def dense(self, name, x):
    weight, bias = self.affine(name)
    return np.einsum("...c,dc->...d", x, weight) + bias

  def conv(self, name, x):
    weight, bias = self.affine(name)
    size = weight.shape[-1]
    height, width = x.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2])
    out = np.zeros((len(x), len(weight), height, width))
    for i in range(height):
      for j in range(width):
        patch = x[:, :, i : i + size, j : j + size]
        out[:, :, i, j] = np.einsum("nchw,dchw->nd", patch, weight)
    return out + bias[:, None, None]

  def norm(self, name, x):
    weight, bias = self.affine(name)
    out = np.zeros_like(x)
    for n, image in enumerate(x):
      for group in np.split(np.arange(len(image)), self.num_groups):
        values = image[group]
        out[n, group] = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    return out * weight[:, None, None] + bias[:, None, None]

  def block(self, name, x, time):
    out = self.conv(f"{name}.conv1", _silu(self.norm(f"{name}.norm1", x)))
    out = out + self.dense(f"{name}.time_emb_proj", time)[:, :, None, None]
    out = self.conv(f"{name}.conv2", _silu(self.norm(f"{name}.norm2", out)))
    if f"{name}.conv_shortcut.weight" in self.state:
      x = self.conv(f"{name}.conv_shortcut", x)
    return x + out

  def attention(self, name, x, head_size):
    num, channels = x.shape[:2]
    tokens = self.norm(f"{name}.group_norm", x).reshape(num, channels, -1)
    tokens = tokens.transpose(0, 2, 1)
    query, key, value = (
      self.dense(f"{name}.{part}", tokens) for part in ("query", "key", "value")
    )
    out = np.zeros_like(tokens)
    for n in range(num):
      for head in range(0, channels, head_size):
        part = slice(head, head + head_size)
        scores = query[n, :, part] @ key[n, :, part].T / np.sqrt(head_size)
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        out[n, :, part] = shares @ value[n, :, part]
    out = self.dense(f"{name}.proj_attn", out)
    return x + out.transpose(0, 2, 1).reshape(x.shape)
