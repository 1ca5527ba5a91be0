"""Weights of VGG16 up to relu3_3, from torchvision's names."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.convert import weights

# Numbers of the convolutions in torchvision's list, block by block.
_BLOCKS = ((0, 2), (5, 7), (10, 12, 14))
_LATER = re.compile(
  r"((features|slice4)\.(1[5-9]|2\d)|classifier\.\d)\.(weight|bias)"
  r"|(mean|std)_rgb"
)


def from_torch(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Converts the weights of VGG16's first seven convolutions.

  Source: `torchvision.models.vgg16`; Unsup3D, networks.py, PerceptualLoss.

  Args:
    state: torchvision's names ("features.0.weight") or those of the perceptual
      loss ("slice1.0.weight") to arrays in torch's layouts. Later layers, and
      the constants "mean_rgb" and "std_rgb", are ignored.

  Returns:
    Parameters of a `Vgg16Features` of the widths that `widths` gives, NumPy
    float32.

  Raises:
    InputError: Names are missing, unexpected, or of another shape; all are
      listed.
  """
  leaves, shapes = {}, {}
  names = _names(state)
  channels = 3
  for i, name in enumerate(sum(names, ())):
    features = _features(state, name)
    kernel, bias = (f"conv{i}", "kernel"), (f"conv{i}", "bias")
    leaves[kernel] = weights.Leaf(f"{name}.weight", "conv")
    leaves[bias] = weights.Leaf(f"{name}.bias", "vector")
    shapes[kernel], shapes[bias] = (3, 3, channels, features), (features,)
    channels = features
  state = {k: v for k, v in state.items() if not _LATER.fullmatch(k)}
  return weights.from_torch(state, leaves, shapes, "VGG16 up to relu3_3")


def to_torch(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Converts the other way, to torchvision's names.

  Args:
    params: Parameters of a `Vgg16Features`.

  Returns:
    torchvision's names to float32 arrays in torch's layouts.
  """
  leaves = {}
  for i, number in enumerate(sum(_BLOCKS, ())):
    name = f"features.{number}"
    leaves[f"conv{i}", "kernel"] = weights.Leaf(f"{name}.weight", "conv")
    leaves[f"conv{i}", "bias"] = weights.Leaf(f"{name}.bias", "vector")
  return weights.to_torch(params, leaves)


def widths(state: Mapping[str, np.ndarray]) -> tuple[tuple[int, ...], ...]:
  """Reads `widths` of `Vgg16Features` off torch weights.

  Args:
    state: As for `from_torch`.

  Returns:
    Channels of each convolution of each block.

  Raises:
    InputError: A convolution is missing or has no four axes.
  """
  return tuple(
    tuple(_features(state, name) for name in block) for block in _names(state)
  )


def _names(state: Mapping[str, np.ndarray]) -> tuple[tuple[str, ...], ...]:
  """Names of the convolutions without "weight", block by block."""
  is_sliced = any(name.startswith("slice") for name in state)
  return tuple(
    tuple(f"slice{i}.{n}" if is_sliced else f"features.{n}" for n in block)
    for i, block in enumerate(_BLOCKS, 1)
  )


def _features(state: Mapping[str, np.ndarray], name: str) -> int:
  """Reads the output channels of a convolution."""
  shape = np.shape(state.get(f"{name}.weight"))
  if len(shape) != 4:
    raise errors.InputError(
      f"torch weights of VGG16: expected {name}.weight with four axes, got "
      f"{list(shape) or 'none'}; the first names are {sorted(state)[:3]}. "
      "Pass torchvision's state dict of vgg16."
    )
  return shape[0]
