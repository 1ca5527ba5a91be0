"""Weights of LatentFace's stage 2, one denoiser at a time, to and fro."""

from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.convert import weights
from facerep_jax.models import unet

NETS = {"netEA": "albedo", "netED": "depth"}
# Layers of a residual block, and of the network outside of the blocks.
_BLOCK = {
  "norm0": ("norm1", "norm"),
  "conv0": ("conv1", "centre3"),
  "time": ("time_emb_proj", "dense"),
  "norm1": ("norm2", "norm"),
  "conv1": ("conv2", "centre3"),
}
_SHORTCUT = ("conv_shortcut", "centre1")
_LAYERS = {
  "first": ("conv_in", "centre3"),
  "time0": ("time_embedding.linear_1", "dense"),
  "time1": ("time_embedding.linear_2", "dense"),
  "last_norm": ("conv_norm_out", "norm"),
  "last": ("conv_out", "centre3"),
}
_ATTENTION = "mid_block.attentions.0"
# By the name that tells the versions of diffusers apart: of value and output;
# and of those that have no effect on a single token.
_VERSIONS = {
  "query": (("value", "proj_attn"), ("query", "key")),
  "to_q": (("to_v", "to_out.0"), ("to_q", "to_k")),
}


def sizes(
  state: Mapping[str, np.ndarray], what: str = "netRDM"
) -> dict[str, int]:
  """Reads the sizes of a denoiser off its torch weights.

  The number of groups cannot be read off them: the published one is 32.

  Args:
    state: torch's names to arrays.
    what: Name of the network in messages.

  Returns:
    `code_dim` and `width`, keyword arguments of `CodeUNet`.

  Raises:
    InputError: The first or the last layer is not there.
  """
  out = {}
  for key, layer in (("code_dim", "last"), ("width", "first")):
    name = f"{_LAYERS[layer][0]}.weight"
    shape = np.shape(state.get(name))
    if len(shape) != 4:
      raise errors.InputError(
        f"{what}: expected {name} with four axes, got "
        f"{list(shape) if name in state else 'none'}; the first names are "
        f"{sorted(state)[:3]}. Pass the state dict of one UNet2DModel of "
        "diffusers, without prefixes."
      )
    out[key] = shape[0]
  return out


def from_torch(
  state: Mapping[str, np.ndarray], what: str = "netRDM"
) -> dict[str, Any]:
  """Converts the weights of a published denoiser.

  Only the centre taps of 3x3 kernels are kept, and no queries and keys: on a
  single pixel nothing else has an effect.

  Source: LatentFace, model_diffusion.py, netEA and netED: UNet2DModel of
  diffusers, by the names that attention has in its old versions (those of the
  published checkpoints) or in its new ones.

  Args:
    state: torch's names ("conv_in.weight") to float arrays in its layouts.
    what: Name of the network in messages.

  Returns:
    Parameters of a `CodeUNet` with the sizes that `sizes` gives; NumPy
    float32.

  Raises:
    InputError: Names are missing, unexpected, or of another shape; all are
      listed.
  """
  version = "to_q" if f"{_ATTENTION}.to_q.weight" in state else "query"
  shapes = _shapes(**sizes(state, what))
  return weights.from_torch(
    state, _leaves(version), shapes, what, _unused(version, shapes)
  )


def from_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
  """Converts both denoisers of a published checkpoint.

  Args:
    checkpoint: As for `weights.split`.

  Returns:
    Parameters, NumPy float32, under "albedo" and "depth".

  Raises:
    InputError: A network is missing or twice there, or does not fit; all that
      is wrong in both is listed.
  """
  states = weights.split(checkpoint, NETS)
  found = weights.of_each(
    NETS, lambda net: from_torch(states.get(net, {}), net)
  )
  return {NETS[net]: params for net, params in found.items()}


def to_torch(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Converts the other way.

  The result loads strictly into the published network: kernels are 3x3 with
  zeros around the centre, queries and keys are there, as zeros, and attention
  has the names of the published checkpoints ("query", "proj_attn").

  Args:
    params: Parameters of a `CodeUNet`.

  Returns:
    torch's names to float32 arrays in torch's layouts.
  """
  flat = flax.traverse_util.flatten_dict(params)
  shapes = {path: np.shape(leaf) for path, leaf in flat.items()}
  out = weights.to_torch(params, _leaves("query"))
  for name, shape in _unused("query", shapes).items():
    out[name] = np.zeros(shape, np.float32)
  return out


def _shapes(code_dim: int, width: int) -> dict[tuple[str, ...], tuple]:
  """Shapes of the parameters by path, without computing any."""
  model = unet.CodeUNet(code_dim, width, num_groups=1)
  code = jax.ShapeDtypeStruct((1, code_dim), jnp.float32)
  t = jax.ShapeDtypeStruct((1,), jnp.int32)
  tree = jax.eval_shape(model.init, jax.random.key(0), code, code, t)
  flat = flax.traverse_util.flatten_dict(tree["params"])
  return {path: leaf.shape for path, leaf in flat.items()}


def _leaves(version: str) -> dict[tuple[str, ...], weights.Leaf]:
  """Maps paths of parameters to torch's names."""
  (value, out), _ = _VERSIONS[version]
  attention = {
    "norm": ("group_norm", "norm"),
    "value": (value, "dense"),
    "out": (out, "dense"),
  }
  layers = {(name,): place for name, place in _LAYERS.items()}
  layers |= _below("attention", _ATTENTION, attention)
  for i in range(unet.NUM_DOWN):
    layers |= _below(f"down{i}", f"down_blocks.0.resnets.{i}", _BLOCK)
  for i in range(2):
    layers |= _below(f"middle{i}", f"mid_block.resnets.{i}", _BLOCK)
  block = _BLOCK | {"shortcut": _SHORTCUT}
  for i in range(unet.NUM_UP):
    layers |= _below(f"up{i}", f"up_blocks.0.resnets.{i}", block)
  leaves = {}
  for path, (name, kind) in layers.items():
    ours, kind = ("scale", "vector") if kind == "norm" else ("kernel", kind)
    leaves[(*path, ours)] = weights.Leaf(f"{name}.weight", kind)
    leaves[(*path, "bias")] = weights.Leaf(f"{name}.bias", "vector")
  return leaves


def _below(ours, theirs, layers):
  """Puts the layers of a part under its names on both sides."""
  return {
    (ours, name): (f"{theirs}.{place}", kind)
    for name, (place, kind) in layers.items()
  }


def _unused(version, shapes):
  """Shapes of queries and keys, by torch's name: those of the value."""
  return {
    f"{_ATTENTION}.{name}.{theirs}": shapes["attention", "value", ours]
    for name in _VERSIONS[version][1]
    for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
  }
