"""Which features the perceptual loss compares pictures in; none of them learn.

`vgg16`, the published choice, is relu3_3 of VGG16 as trained on ImageNet, from
a file. The kinds of `ops.perceptual` need none; without a file, one of them,
`STAND_IN`, takes the place of `vgg16`. `none` leaves the loss out.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.convert import torch_file, vgg16
from facerep_jax.models import vgg
from facerep_jax.ops import contrast_features as perceptual_ops

PyTree = Any
KINDS = ("vgg16", *sorted(perceptual_ops.KINDS), "none")
STAND_IN = "pyramid"


class Features(NamedTuple):
  """A kind of features.

  Attributes:
    init: key -> parameters of the shapes that `read` gives, {} if there are
      none.
    apply: (parameters, images11 [N, S, S, 3]) -> [N, S / 4, S / 4, D] float32.
    read: () -> parameters from a file; None if there is none.
    note: Says in a line what is in use.
  """

  init: Callable[[jax.Array], PyTree]
  apply: Callable[[PyTree, jax.Array], jax.Array]
  read: Callable[[], PyTree] | None
  note: str


def make(kind: str, vgg16_path: str, dtype: str) -> Features | None:
  """Chooses features.

  Args:
    kind: One of `KINDS`.
    vgg16_path: File of VGG16's weights, see `read_vgg16`; empty for the
      stand-in.
    dtype: Type in which VGG16 computes.

  Returns:
    The features; None for "none".
  """
  if kind == "none":
    return None
  if kind == "vgg16" and vgg16_path:
    return _vgg16(vgg16_path, dtype)
  note = f"perceptual loss: features {kind!r}."
  if kind == "vgg16":
    kind = STAND_IN
    note = (
      f"perceptual loss: features {kind!r} stand in for those of VGG16, whose "
      "weights are not given (config.autoencoder.model.vgg16_path)."
    )
  return Features(
    init=lambda key: {},
    apply=lambda params, images11: perceptual_ops.features(images11, kind),
    read=None,
    note=note,
  )


def _vgg16(path, dtype):
  net = vgg.Vgg16Features(dtype=jnp.dtype(dtype))
  return Features(
    init=lambda key: net.init(key, jnp.zeros((1, 8, 8, 3)))["params"],
    apply=lambda params, images11: net.apply({"params": params}, images11),
    read=lambda: read_vgg16(path),
    note=f"perceptual loss: features of VGG16, weights of {path}.",
  )


def read_vgg16(path: str | os.PathLike) -> PyTree:
  """Reads the first convolutions of torchvision's VGG16.

  Args:
    path: File of torch, safetensors or NumPy, see `convert.vgg16`.

  Returns:
    Parameters of `vgg.Vgg16Features`, NumPy float32.

  Raises:
    InputError: The file cannot be read or holds something else.
  """
  state = torch_file.read(path)
  found, wanted = vgg16.widths(state), vgg.Vgg16Features().widths
  if found != wanted:
    raise errors.InputError(
      f"config.autoencoder.model.vgg16_path={path}: expected VGG16 with "
      f"{wanted} channels, got {found}. Take torchvision's file."
    )
  return vgg16.from_torch(state)
