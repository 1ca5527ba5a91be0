"""Features as one program for serving, on CPU, CUDA and TPU alike."""

import hashlib
import os
import pathlib
from typing import Any

import jax
import jax.export
import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.inference import api
from facerep_jax.ops import image_range

SUFFIX = ".jaxexport"
PLATFORMS = ("cpu", "cuda", "tpu")


def sidecar(path: str | os.PathLike) -> pathlib.Path:
  """Returns the path of the JSON file beside a program."""
  return pathlib.Path(path).with_suffix(".json")


def save(model: api.Representation, path: str | os.PathLike) -> dict[str, Any]:
  """Writes the features of faces as a program with the weights inside.

  It takes uint8 [N, S, S, 3] RGB, any N of 1 or more, crops that `model.crop`
  makes, and gives features by name, [N, D] float32, as `model.embed` does. It
  runs with jax alone: `jax.export.deserialize(content).call(images)`.

  Args:
    model: The model.
    path: Of the program; a JSON file beside it, `sidecar`, describes it.

  Returns:
    What the JSON file says.

  Raises:
    InputError: The module flatbuffers is not installed.
  """
  errors.require("flatbuffers", "serving", "writing a program")
  exported = _export(model)
  content = bytes(exported.serialize())
  about = {
    "system": model.config.system,
    "stage": model.config.get("stage", ""),
    "step": model.step,
    "images": f"uint8 [N, {model.size_px}, {model.size_px}, 3], RGB",
    "square": list(model.square()),
    "features": {
      name: value.shape[1] for name, value in _outputs(exported).items()
    },
    "platforms": list(exported.platforms),
    "jax": jax.__version__,
    "calling_convention": exported.calling_convention_version,
    "sha256": hashlib.sha256(content).hexdigest(),
  }
  with atomic.whole(path) as temporary:
    temporary.write_bytes(content)
  atomic.write_json(sidecar(path), about)
  return about


def _export(model):
  variables = jax.tree.map(np.asarray, model.variables)

  def features(images):
    images01 = image_range.uint8_to_01(images)
    key = jax.random.key(0)  # As `embed`: the same image, the same features.
    return model.system.represent(variables, images01, key)[0]

  (rows,) = jax.export.symbolic_shape("N")
  shape = (rows, model.size_px, model.size_px, 3)
  return jax.export.export(jax.jit(features), platforms=PLATFORMS)(
    jax.ShapeDtypeStruct(shape, np.uint8)
  )


def _outputs(exported):
  return jax.tree.unflatten(exported.out_tree, exported.out_avals)
