"""The denoiser as published: 3x3 convolutions and attention on 1x1 maps.

Computes what `models.unet.CodeUNet` computes, whose speed is compared with it.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from facerep_jax.models import unet
from facerep_jax.ops import group_norm

State = Mapping[str, jax.Array]
_LAYOUT = ("NHWC", "OIHW", "NHWC")
_HEAD_SIZE = 8


def apply(
  state: State,
  noisy: jax.Array,
  code: jax.Array,
  t: jax.Array,
  num_groups: int = 32,
) -> jax.Array:
  """Denoises codes.

  Args:
    state: torch's names to arrays in torch's layouts, as `convert.rdm` writes
      them.
    noisy: [N, D] float32.
    code: [N, D] float32, the condition.
    t: [N] int, steps of the schedule.
    num_groups: Groups of the normalisations.

  Returns:
    [N, D] float32, what is predicted.
  """
  net = _Net(state, num_groups)
  features = unet.time_features(t, state["conv_in.weight"].shape[0])
  time = nn.silu(net.dense("time_embedding.linear_1", features))
  time = nn.silu(net.dense("time_embedding.linear_2", time))
  x = jnp.concatenate([noisy, code], axis=1)[:, None, None]
  x = net.conv("conv_in", x)
  skips = [x]
  for i in range(unet.NUM_DOWN):
    x = net.block(f"down_blocks.0.resnets.{i}", x, time)
    skips.append(x)
  x = net.block("mid_block.resnets.0", x, time)
  x = net.attention("mid_block.attentions.0", x)
  x = net.block("mid_block.resnets.1", x, time)
  for i in range(unet.NUM_UP):
    x = jnp.concatenate([x, skips.pop()], axis=-1)
    x = net.block(f"up_blocks.0.resnets.{i}", x, time)
  x = nn.silu(net.norm("conv_norm_out", x))
  return net.conv("conv_out", x)[:, 0, 0]


class _Net:
  """The layers, by torch's names."""

  def __init__(self, state, num_groups):
    self._state, self._num_groups = state, num_groups

  def _affine(self, name):
    return self._state[f"{name}.weight"], self._state[f"{name}.bias"]

  def dense(self, name, x):
    weight, bias = self._affine(name)
    return x @ weight.T + bias.reshape((1,) * (x.ndim - 1) + bias.shape)

  def conv(self, name, x):
    weight, bias = self._affine(name)
    pads = [(weight.shape[-1] // 2,) * 2] * 2
    out = jax.lax.conv_general_dilated(
      x, weight, (1, 1), pads, dimension_numbers=_LAYOUT
    )
    return out + bias[None, None, None]

  def norm(self, name, x):
    return group_norm.group_norm(x, *self._affine(name), self._num_groups)

  def block(self, name, x, time):
    out = self.conv(f"{name}.conv1", nn.silu(self.norm(f"{name}.norm1", x)))
    out += self.dense(f"{name}.time_emb_proj", time)[:, None, None]
    out = self.conv(f"{name}.conv2", nn.silu(self.norm(f"{name}.norm2", out)))
    if f"{name}.conv_shortcut.weight" in self._state:
      x = self.conv(f"{name}.conv_shortcut", x)
    return x + out

  def attention(self, name, x):
    num, channels = x.shape[0], x.shape[-1]
    tokens = self.norm(f"{name}.group_norm", x).reshape(num, -1, channels)
    query, key, value = (
      self.dense(f"{name}.{part}", tokens).reshape(
        *tokens.shape[:2], -1, min(_HEAD_SIZE, channels)
      )
      for part in ("query", "key", "value")
    )
    out = jax.nn.dot_product_attention(query, key, value)
    out = self.dense(f"{name}.proj_attn", out.reshape(tokens.shape))
    return x + out.reshape(x.shape)
