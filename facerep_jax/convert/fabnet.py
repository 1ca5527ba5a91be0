"""Weights of a published FAb-Net, by their torch names, to and fro."""

from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.models import fabnet

_PARTS = {
  "encoder": "encoder",
  "flow_decoder": "decoder",
  "mask_decoder": "mask",
}
_NORM = {
  "scale": "weight",
  "bias": "bias",
  "mean": "running_mean",
  "var": "running_var",
}
_MAX_LAYERS = 16


def state_of(checkpoint: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
  """Finds the weights in a checkpoint.

  Args:
    checkpoint: A state dict, or a dict that has one beside other things, as the
      published files do ("state_dict", "state_dict_model").

  Returns:
    The state dict, without "module." before its names.

  Raises:
    InputError: There are several.
  """
  key = key_of(checkpoint)
  state = checkpoint if key is None else checkpoint[key]
  return {str(k).removeprefix("module."): v for k, v in state.items()}


def key_of(checkpoint: Mapping[str, Any]) -> str | None:
  """Finds under which name a checkpoint has the weights.

  Args:
    checkpoint: As for `state_of`.

  Returns:
    The name; None where it is a state dict itself.

  Raises:
    InputError: There are several.
  """
  known = [
    key
    for key, tree in checkpoint.items()
    if isinstance(tree, Mapping)
    and any(str(x).removeprefix("module.") == "encoder.0.weight" for x in tree)
  ]
  if len(known) > 1:
    raise errors.InputError(
      "torch weights: expected one FAb-Net, got several: "
      f"{', '.join(map(str, known))}. Save the right one alone."
    )
  return known[0] if known else None


def sizes(state: Mapping[str, np.ndarray]) -> dict[str, int]:
  """Reads the sizes of a FAb-Net off its torch weights.

  Args:
    state: Torch names to arrays.

  Returns:
    `size`, `width` and `embed_dim`, keyword arguments of `FabNet`.

  Raises:
    InputError: The names or shapes are not those of a FAb-Net encoder.
  """
  convs = [
    state[name]
    for name in (f"encoder.{_encoder_index(i)}.weight" for i in range(99))
    if name in state
  ]
  if not 5 <= len(convs) <= _MAX_LAYERS or any(w.ndim != 4 for w in convs):
    raise errors.InputError(
      f"torch weights: expected 5 to {_MAX_LAYERS} convolutions named "
      f"'encoder.0.weight', 'encoder.2.weight', 'encoder.5.weight' and so on, "
      f"got {len(convs)}; the first names are {sorted(state)[:3]}. Pass the "
      "state dict itself, without prefixes."
    )
  return {
    "size": 1 << len(convs),
    "width": convs[0].shape[0],
    "embed_dim": convs[-1].shape[0],
  }


def from_torch(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Converts the weights of a published FAb-Net.

  Source: models_multiview.py, FrontaliseModelMasks_wider.

  Args:
    state: Torch names ("encoder.0.weight") to float arrays in torch's
      layouts. Names that end in "num_batches_tracked" are ignored.

  Returns:
    `params` and `batch_stats` of a `FabNet` with the sizes that
    `sizes` gives; NumPy float32.

  Raises:
    InputError: Names are missing, unexpected, or of another shape; all are
      listed.
  """
  names, problems = {}, []
  for path, leaf in _template(**sizes(state)).items():
    name = names[path] = _torch_name(path)
    shape = _to_torch_layout(np.empty(leaf.shape, np.float32)).shape
    if name not in state:
      problems.append(f"{name} is missing")
    elif np.shape(state[name]) != shape:
      got = list(np.shape(state[name]))
      problems.append(f"{name} has shape {got}, expected {list(shape)}")
  for name in sorted(set(state) - set(names.values())):
    if not name.endswith("num_batches_tracked"):
      problems.append(f"{name} is unexpected")
  if problems:
    raise errors.InputError(
      "torch weights do not fit a FAb-Net with masks: " + "; ".join(problems)
    )
  flat = {path: _to_jax_layout(state[name]) for path, name in names.items()}
  return flax.traverse_util.unflatten_dict(flat)


def to_torch(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Converts the other way, for torch's `load_state_dict(strict=False)`.

  Args:
    variables: `params` and `batch_stats` of a `FabNet`.

  Returns:
    Torch names to float32 arrays in torch's layouts.
  """
  flat = flax.traverse_util.flatten_dict(
    {name: variables[name] for name in ("params", "batch_stats")}
  )
  return {
    _torch_name(path): _to_torch_layout(np.asarray(leaf, np.float32))
    for path, leaf in flat.items()
  }


def _template(size: int, width: int, embed_dim: int) -> dict[tuple, Any]:
  """Shapes of the variables by path, without computing any."""
  model = fabnet.FabNet(size, width, embed_dim)
  frames = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  sources = jax.ShapeDtypeStruct((2, 1, size, size, 3), jnp.float32)
  shapes = jax.eval_shape(
    lambda *images: model.init(jax.random.key(0), *images, train=False),
    frames,
    sources,
  )
  return flax.traverse_util.flatten_dict(shapes)


def _encoder_index(i: int) -> int:
  """Place of convolution `i` in torch's encoder; its norm comes next."""
  return 3 * i - 1 if i else 0


def _torch_name(path: tuple[str, ...]) -> str:
  """Maps ("params", "encoder", "conv0", "kernel") to "encoder.0.weight"."""
  _, part, layer, leaf = path
  kind, i = layer[:4], int(layer[4:])
  index = _encoder_index(i) if part == "encoder" else 4 * i + 2
  if kind == "conv":
    return f"{_PARTS[part]}.{index}.{'bias' if leaf == 'bias' else 'weight'}"
  return f"{_PARTS[part]}.{index + 1}.{_NORM[leaf]}"


def _to_jax_layout(value: np.ndarray) -> np.ndarray:
  """Turns [out, in, k, k] into [k, k, in, out]; vectors stay."""
  value = np.asarray(value, np.float32)
  return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def _to_torch_layout(value: np.ndarray) -> np.ndarray:
  """Turns [k, k, in, out] into [out, in, k, k]; vectors stay."""
  return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
