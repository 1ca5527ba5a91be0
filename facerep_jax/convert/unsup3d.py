"""Weights of Unsup3D and of LatentFace's stage 1, to and fro."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.convert import weights
from facerep_jax.models import unsup3d

NETS = {
  "netD": "depth",
  "netA": "albedo",
  "netL": "light",
  "netV": "view",
  "netC": "confidence",
}
_MAPS, _VECTORS = ("netD", "netA"), ("netL", "netV")
_MAX_EXTRA = 8
# An activation or an upsampling: takes a number in torch's list, no weights.
_PLAIN = ("", "")


def from_torch(
  checkpoint: Mapping[str, Any], nets: Sequence[str] = tuple(NETS)
) -> dict[str, Any]:
  """Converts a published checkpoint.

  Source: Unsup3D, unsup3d/networks.py and model.py, and LatentFace's copy of
  them. Unsup3D lists the layers of the depth and the albedo network in one
  list, "network"; LatentFace in two, "network1" and "network2". Both are read.

  Args:
    checkpoint: Arrays in torch's layouts in nested dicts, {"netD":
      {"network1.0.weight": ..}, ..}, or flat, {"netD.network1.0.weight": ..};
      what stands before the network's name is dropped, and so are "module."
      after it and all that belongs to no network (optimizers, the epoch).
    nets: torch's names of the networks to convert.

  Returns:
    Parameters, NumPy float32, under "depth", "albedo" and so on.

  Raises:
    InputError: A network is missing or twice there; or names are missing,
      unexpected or of another shape: all of them are listed; or extra stages
      share their weights.
  """
  states = weights.split(checkpoint, NETS)
  found = weights.of_each(
    nets, lambda net: _net_from_torch(net, states.get(net, {}))
  )
  return {NETS[net]: params for net, params in found.items()}


def to_torch(
  params: Mapping[str, Any], is_joined: bool = False
) -> dict[str, dict[str, np.ndarray]]:
  """Converts the other way.

  The published code ties the extra stages of images from 256 px on, and can
  only load such weights up to 128 px.

  Args:
    params: Parameters of networks under "depth", "albedo" and so on.
    is_joined: Whether the names are those of Unsup3D ("network"), or those of
      LatentFace ("network1", "network2").

  Returns:
    {"netD": torch's names to float32 arrays, ..}.
  """
  out = {}
  for net, key in NETS.items():
    if key in params:
      encoder = params[key]["encoder"]
      extra = sum(name.startswith("conv") for name in encoder) - 4
      leaves = _leaves(net, extra, is_joined)
      out[net] = weights.to_torch(params[key], leaves)
  return out


def read_model(net: str, state: Mapping[str, np.ndarray]) -> nn.Module:
  """Makes the module that some weights belong to.

  Args:
    net: "netD", "netA", "netL", "netV" or "netC".
    state: torch's names, without that of the network, to arrays.

  Returns:
    A MapNet, VectorNet or ConfidenceNet of the sizes of these weights.

  Raises:
    InputError: The names or shapes are not those of this network.
  """
  is_joined = _is_joined(net, state)
  extra = _read_extra(net, state, is_joined)
  leaves = _leaves(net, extra, is_joined)
  by_path = {path: leaf.name for path, leaf in leaves.items()}

  def outputs(*path):
    return _outputs(state, by_path[(*path, "kernel")], net)

  size_px = unsup3d.MIN_SIZE_PX << extra
  width, code_dim = outputs("encoder", "conv0"), outputs("encoder", "code")
  if net in _VECTORS:
    return unsup3d.VectorNet(size_px, width, outputs("out"), code_dim)
  if net not in _MAPS:
    return unsup3d.ConfidenceNet(size_px, width, code_dim)
  channels = outputs("decoder", "out")
  return unsup3d.MapNet(size_px, width, code_dim, channels, net == "netA")


def _net_from_torch(net: str, state: Mapping[str, np.ndarray]) -> Any:
  """Converts one network."""
  model = read_model(net, state)
  image = jax.ShapeDtypeStruct(
    (1, model.size_px, model.size_px, 3), jnp.float32
  )
  shapes = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
  shapes = {
    path: leaf.shape
    for path, leaf in flax.traverse_util.flatten_dict(shapes).items()
  }
  extra = unsup3d.num_extra_stages(model.size_px)
  leaves = _leaves(net, extra, _is_joined(net, state))
  params = weights.from_torch(state, leaves, shapes, net)
  encoder = params["encoder"]
  if extra > 1 and all(
    np.array_equal(encoder["conv4"]["kernel"], encoder[f"conv{i}"]["kernel"])
    for i in range(5, 4 + extra)
  ):
    raise errors.InputError(
      f"{net}: the {extra} extra stages of this checkpoint for "
      f"{model.size_px} px share one set of weights, a slip of the published "
      "code from 256 px on; here every stage has its own. Use a checkpoint "
      "for 64 or 128 px."
    )
  return params


def _is_joined(net: str, state: Mapping[str, np.ndarray]) -> bool:
  """Tells whether one list holds encoder and decoder, as in Unsup3D's code."""
  return net in _MAPS and any(name.startswith("network.") for name in state)


def _read_extra(
  net: str, state: Mapping[str, np.ndarray], is_joined: bool
) -> int:
  """Counts the extra stages by the convolutions of the torch list."""
  prefix = next(iter(_sequences(net, 0, is_joined)))
  num = sum(
    name.startswith(f"{prefix}.") and np.ndim(value) == 4
    for name, value in state.items()
  )
  fits = (
    extra
    for extra in range(_MAX_EXTRA)
    if num
    == sum(
      kind in ("conv", "transposed")
      for _, kind in _sequences(net, extra, is_joined)[prefix]
    )
  )
  extra = next(fits, None)
  if extra is None:
    raise errors.InputError(
      f"{net}: expected the convolutions '{net}.{prefix}.0.weight' and so on "
      f"of Unsup3D, got {num} of them; its first names are "
      f"{sorted(state)[:3]}. Pass the checkpoint as torch saved it."
    )
  return extra


def _outputs(state: Mapping[str, np.ndarray], name: str, net: str) -> int:
  """Reads the number of outputs of a convolution."""
  if np.ndim(state.get(name)) != 4:
    raise errors.InputError(
      f"{net}: expected {name} with four axes, got "
      f"{list(np.shape(state[name])) if name in state else 'none'}."
    )
  return np.shape(state[name])[0]


def _leaves(
  net: str, extra: int, is_joined: bool
) -> dict[tuple[str, ...], weights.Leaf]:
  """Maps paths of parameters to torch's names."""
  leaves = {}
  for prefix, layers in _sequences(net, extra, is_joined).items():
    for i, (layer, kind) in enumerate(layers):
      path = tuple(layer.split("/"))
      if kind == "norm":
        for ours, theirs in (("scale", "weight"), ("bias", "bias")):
          name = f"{prefix}.{i}.{theirs}"
          leaves[(*path, ours)] = weights.Leaf(name, "vector")
      elif layer:
        name = f"{prefix}.{i}.weight"
        leaves[(*path, "kernel")] = weights.Leaf(name, kind)
  return leaves


def _sequences(
  net: str, extra: int, is_joined: bool
) -> dict[str, list[tuple[str, str]]]:
  """Lists the layers of a network as torch numbers them, list by list."""
  if net in _MAPS and is_joined:
    return {"network": [*_encoder(extra, True), *_decoder(extra)]}
  if net in _MAPS:
    return {"network1": _encoder(extra, True), "network2": _decoder(extra)}
  if net in _VECTORS:
    return {"network": [*_encoder(extra, False), ("out", "conv")]}
  middle = 2 + extra
  return {
    "network": [
      *_encoder(extra, True),
      ("seed", "transposed"),
      _PLAIN,
      *_ups(1, middle),
    ],
    "out_net1": [*_ups(middle + 1, middle + 2), ("out_full", "conv")],
    "out_net2": [("out_quarter", "conv")],
  }


def _encoder(extra: int, use_norm: bool) -> list[tuple[str, str]]:
  """Layers up to the code's activation."""
  layers = []
  for i in range(4 + extra):
    layers.append((f"encoder/conv{i}", "conv"))
    if use_norm and i < 3:
      layers.append((f"encoder/norm{i}", "norm"))
    layers.append(_PLAIN)
  return [*layers, ("encoder/code", "conv"), _PLAIN]


def _decoder(extra: int) -> list[tuple[str, str]]:
  """Layers from the code to the map."""
  pairs = [("seed", "transposed", ""), ("conv0", "conv", "")]
  for i in range(1, 4 + extra):
    pairs.append((f"up{i}", "transposed", f"up_norm{i}"))
    pairs.append((f"conv{i}", "conv", f"norm{i}"))
  pairs += [("last_up", "conv", "last_up_norm"), ("last", "conv", "last_norm")]
  layers = []
  for conv, kind, norm in pairs:
    if conv == "last_up":
      layers.append(_PLAIN)  # The upsampling.
    layers.append((f"decoder/{conv}", kind))
    if norm:
      layers.append((f"decoder/{norm}", "norm"))
    layers.append(_PLAIN)
  return [*layers, ("decoder/out", "conv")]


def _ups(first: int, last: int) -> list[tuple[str, str]]:
  """Stages of the confidence network that double the resolution."""
  layers = []
  for i in range(first, last + 1):
    layers += [(f"up{i}", "transposed"), (f"norm{i}", "norm"), _PLAIN]
  return layers
