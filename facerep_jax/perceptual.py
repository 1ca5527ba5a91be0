"""Which features the perceptual loss compares pictures in; none of them learn.

`vgg16`, the published choice, is relu3_3 of VGG16 as trained on ImageNet, from
a file. The kinds of `ops.perceptual` need none; without a file, one of them,
`STAND_IN`, takes the place of `vgg16`. `none` leaves the loss out.
"""

import os
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.models import vgg
from facerep_jax.ops import perceptual as perceptual_ops

PyTree = Any
KINDS = ("vgg16", *sorted(perceptual_ops.KINDS), "none")
STAND_IN = "gradients"
# Places of the convolutions in torchvision's `vgg16().features`.
_TORCH_LAYERS = (0, 2, 5, 7, 10, 12, 14)


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
      "weights are not given (config.model.vgg16_path)."
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
    path: An .npz file whose arrays have torchvision's names and layout,
      `features.0.weight` [64, 3, 3, 3] and so on; what else it holds is left.

  Returns:
    Parameters of `vgg.Vgg16Features`, NumPy float32.

  Raises:
    InputError: The file cannot be read or holds something else.
  """
  what = "the arrays of torchvision's VGG16 in an .npz file"
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
    raise errors.InputError(
      f"config.model.vgg16_path={path}: expected {what}, but it cannot be read "
      f"({error}). See docs/latentface.md for how to make it."
    ) from error
  params = {}
  widths = [w for block in vgg.Vgg16Features().widths for w in block]
  for i, (layer, inputs, outputs) in enumerate(
    zip(_TORCH_LAYERS, [3, *widths], widths)
  ):
    names = [f"features.{layer}.{kind}" for kind in ("weight", "bias")]
    shapes = [(outputs, inputs, 3, 3), (outputs,)]
    for name, shape in zip(names, shapes):
      found = arrays[name].shape if name in arrays else None
      if found != shape:
        raise errors.InputError(
          f"config.model.vgg16_path={path}: expected {what}, with {name} of "
          f"shape {list(shape)}, got "
          f"{'none' if found is None else list(found)}."
        )
    weight, bias = (arrays[name].astype(np.float32) for name in names)
    params[f"conv{i}"] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
  return params
