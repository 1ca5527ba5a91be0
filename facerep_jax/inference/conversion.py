"""Converts files of weights, published ones to ours and back, with a card."""

import os
import pathlib

import flax.traverse_util
import numpy as np
import safetensors.numpy

from facerep_jax import errors
from facerep_jax.files import atomic, outputs
from facerep_jax.inference import (
  api,
  model_card,
  packaged,
  published_weights,
  torch_state,
  weight_file,
)

_NAMES = {"fabnet": "FAb-Net", "unsup3d": "Unsup3D", "latentface": "LatentFace",
          "vgg16": "VGG16"}  # fmt: skip
_TAGS = ("face-representation", "self-supervised-learning")
_UNKNOWN = (
  "Who made the source, what it was trained on, and under which licence it may "
  "be used.",
)
_NOT_COMPUTED = (
  "Features beside those of the authors' code: names, shapes and settings were "
  "compared, nothing was computed.",
)
_CROP = (
  "Whether the weights were trained on crops like those of the preset "
  "(`config.data.crop`).",
)
_UPSAMPLING = (
  "Whether the authors' version of torch aligned corners when it enlarges "
  "(`upsample_align_corners`): reconstructions depend on it, features do not.",
)


def from_published(
  path: str | os.PathLike,
  kind: str,
  output: str | os.PathLike,
  first: str | os.PathLike = "",
) -> list[str]:
  """Writes published weights as a file of this library, and its card.

  Args:
    path: File of torch, safetensors or NumPy.
    kind: One of `published_weights.KINDS`.
    output: File to write, NAME.safetensors; of "vgg16" torchvision's arrays,
      otherwise a model that `api.load` takes, in float32.
    first: See `published_weights.read`.

  Returns:
    Lines for the user about what was written.

  Raises:
    InputError: A file cannot be read, does not hold such weights, or cannot be
      written. Then nothing is written.
  """
  if first and kind != "latentface":
    raise errors.InputError(
      f"--first={first}: is for --kind=latentface alone. Leave it out."
    )
  place = _check_places(output, (path, first))
  if weight_file.is_one(path):
    raise errors.InputError(
      f"--input={path}: is a file of this library already. Give published "
      "weights, or --to=torch."
    )
  if kind == "vgg16":
    return _write_vgg16(path, output, place)
  found = published_weights.read(path, kind, first)
  sources = [model_card.source_of(x) for x in (path, first) if x]
  count = _count(found.variables._asdict())
  summary = f"{_NAMES[kind]}, converted from {sources[0].name}"
  card = model_card.Card(
    title=pathlib.Path(output).stem,
    library="facerep_jax",
    tags=(*_TAGS, kind),
    summary=f"{summary}. `facerep_jax.load` and `config.init_from` take it.",
    sources=tuple(sources),
    facts=_facts(found.config, count),
    sections=_sections(found, kind),
  )
  with atomic.whole(place) as temporary:
    temporary.write_text(model_card.text(card), encoding="utf-8")
    num_bytes = weight_file.write(
      output,
      found.config,
      found.variables,
      0,
      f"{summary}, {count / 1e6:.2f} million numbers",
      is_exact=True,
    )
  return _lines(output, place, num_bytes, count, card)


def to_torch(
  model: str | os.PathLike,
  output: str | os.PathLike,
  kind: str = "",
  step: int | None = None,
) -> list[str]:
  """Writes a model of this library under the published code's names.

  Args:
    model: Run, file or name of a model.
    output: File to write, NAME.safetensors.
    kind: Whose names, see `torch_state.of_model`.
    step: Checkpoint of a run; by default the best one.

  Returns:
    Lines for the user about what was written.

  Raises:
    InputError: There is no such model, the published code has no such one, or
      nothing can be written. Then nothing is written.
  """
  source = packaged.place_of(model)
  place = _check_places(output, (source,))
  loaded = api.load(source, step=step)
  state = torch_state.of_model(loaded.config, loaded.variables, kind)
  count = sum(x.size for x in state.arrays.values())
  name = _NAMES[state.kind]
  card = model_card.Card(
    title=pathlib.Path(output).stem,
    library="pytorch",
    tags=(*_TAGS, state.kind),
    summary=f"{name} of facerep_jax, step {loaded.step}, under the names of "
    "the published PyTorch code.",
    sources=(model_card.source_of(source),),
    facts=_facts(loaded.config, count),
    sections={
      "Networks of the published code that are not in this file": state.lacking,
      "Not checked": (
        _UNKNOWN
        + ("Loading with torch, and features beside those computed there.",)
      ),
    },
  )
  num_bytes = _write_arrays(output, place, state.arrays, card)
  return _lines(output, place, num_bytes, count, card)


def _sections(found, kind):
  """Says what of a model comes from where, and what was not checked."""
  unchecked = _UNKNOWN + _NOT_COMPUTED + _CROP
  return {
    "Sizes, read from the arrays": found.sizes,
    "Settings that no array tells, as in the published code": found.assumed,
    "In the source, but not in this file": found.left_out,
    "Not checked": unchecked + (_UPSAMPLING if kind == "fabnet" else ()),
  }


def _write_vgg16(path, output, place):
  """Writes the first convolutions of VGG16."""
  arrays = published_weights.read_vgg16(path)
  source = model_card.source_of(path)
  count = sum(x.size for x in arrays.values())
  card = model_card.Card(
    title=pathlib.Path(output).stem,
    library="safetensors",
    tags=("perceptual-loss", "vgg16"),
    summary=f"VGG16 up to relu3_3, from {source.name}, under torchvision's "
    "names: for `config.autoencoder.model.vgg16_path`.",
    sources=(source,),
    facts={
      "written by": f"facerep_jax {weight_file.version()}",
      "numbers": f"{count / 1e6:.2f} million, float32",
    },
    sections={"Not checked": _UNKNOWN},
  )
  num_bytes = _write_arrays(output, place, arrays, card)
  return _lines(output, place, num_bytes, count, card)


def _check_places(output, inputs):
  """Checks where a file and its card go; returns the place of the card."""
  outputs.check_file(output, "--output")
  if pathlib.Path(output).suffix != weight_file.SUFFIX:
    raise errors.InputError(
      f"--output={output}: expected a name that ends in {weight_file.SUFFIX}."
    )
  for path in inputs:
    is_there = path and os.path.exists(path) and os.path.exists(output)
    if is_there and os.path.samefile(path, output):
      raise errors.InputError(
        f"--output={output}: is what is to be read. Give another name."
      )
  return model_card.place_for(output)


def _write_arrays(output, place, arrays, card):
  """Writes arrays and a card; returns the size of the arrays' file."""
  # safetensors stores the memory as it lies.
  whole = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
  data = safetensors.numpy.save(whole, {"format": "pt"})
  with atomic.whole(place) as card_file, atomic.whole(output) as file:
    file.write_bytes(data)
    card_file.write_text(model_card.text(card), encoding="utf-8")
  return len(data)


def _facts(config, count):
  """Says what a model is."""
  stage = config.get("stage", "")
  system = f"{config.system}, stage `{stage}`" if stage else config.system
  return {
    "system": system,
    "settings": f"preset `{config.preset}` of configs/{config.system}.py",
    "written by": f"facerep_jax {weight_file.version()}",
    "numbers": f"{count / 1e6:.2f} million, float32",
  }


def _count(tree):
  flat = flax.traverse_util.flatten_dict(tree)
  return sum(np.size(x) for x in flat.values())


def _lines(output, place, num_bytes, count, card):
  """Says what was written, and what the card lists."""
  lines = [
    f"{output}: {count / 1e6:.2f} million numbers, {num_bytes / 1e6:.2f} MB"
  ]
  lines += [
    f"  {heading[0].lower()}{heading[1:]}: {', '.join(items)}"
    for heading, items in card.sections.items()
    if items and heading != "Not checked"
  ]
  return [*lines, f"{place}: where it is from, and what was not checked"]
