"""Trained models as files: all that features and pictures come from, in one.

A safetensors file of float16 arrays, or of float32 ones where every bit is to
be kept. Their names are their places in the system's variables, such as
"params/encoder/conv0/kernel". What the arrays are stands in its metadata, see
`Contents`.
"""

import importlib.metadata
import json
import os
import pathlib
import sys
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import ml_collections
import numpy as np
import safetensors
import safetensors.numpy

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.inference import lean
from facerep_jax.runs import configuration, renamed_settings, stages
from facerep_jax.systems import base

SUFFIX = ".safetensors"
FORMAT, EXACT_FORMAT = "1", "2"  # The second one: all arrays are float32.
MAX_BYTES = 10_000_000
_KEY = "facerep_jax"  # Of the format in the metadata: says whose file it is.
# Means and variances. They are few, and a variance squares the range: that of
# weak channels is below what float16 can tell from 0, of strong ones above all
# that it holds.
_FLOAT32 = ("model_state/", "frozen/statistics/", "frozen/wccn/")
_TYPES = {"F16": np.float16, "F32": np.float32}
# Settings without which a model cannot be built, cut for or compared.
_NEEDED = ("system", "preset", "seed", "dtype", "model", "data.crop.frame_px")
# Settings that name files: what stands before the last part is left out.
_PATHS = ("data.path", "init_from", "synthetic.heads", "model.vgg16_path",
          "model.autoencoder.vgg16_path")  # fmt: skip


class Contents(NamedTuple):
  """What is in a file.

  Attributes:
    config: Of the model, see `lean.config_of`.
    variables: float32 arrays, see `lean.variables_of`.
    step: Of the checkpoint.
    metadata: As it stands in the file, text by name: `facerep_jax` (version of
      the format), `library_version`, `system`, `stage` (empty without),
      `step`, `summary`, `config` (JSON, as the run was trained), `sha256` of
      the arrays.
  """

  config: ml_collections.ConfigDict
  variables: base.Variables
  step: int
  metadata: dict[str, str]


def write(
  path: str | os.PathLike,
  config: ml_collections.ConfigDict,
  variables: base.Variables,
  step: int,
  summary: str = "",
  is_exact: bool = False,
) -> int:
  """Writes a trained model to a file, whole or not at all.

  Args:
    path: Of the file, NAME.safetensors; its folder is made if it is not there.
    config: Of the run, or of its stage.
    variables: What inference uses, float32.
    step: Of the checkpoint.
    summary: One line about the model; by default what it is and its size.
    is_exact: Whether all arrays are stored as they are, in float32; the file
      may then have any size.

  Returns:
    Size of the file in bytes.

  Raises:
    InputError: The name ends otherwise, an array holds what its type cannot, or
      a file of float16 would have more than 10 MB.
  """
  path = pathlib.Path(path)
  if path.suffix != SUFFIX:
    raise errors.InputError(f"{path}: expected a name that ends in {SUFFIX}.")
  number = EXACT_FORMAT if is_exact else FORMAT
  arrays = _narrow(lean.variables_of(config, variables), number, path)
  found = _metadata(config, step, summary, arrays) | {_KEY: number}
  data = safetensors.numpy.save(arrays, found)
  if len(data) > MAX_BYTES and not is_exact:
    raise errors.InputError(
      f"{path}: would have {len(data) / 1e6:.1f} MB, expected at most "
      f"{MAX_BYTES / 1e6:.0f} MB. Train a model with a smaller width."
    )
  with atomic.whole(path) as temporary:
    temporary.write_bytes(data)
  return len(data)


def metadata(path: str | os.PathLike) -> dict[str, str]:
  """Reads what a file says about itself, without its arrays.

  Args:
    path: Of the file.

  Returns:
    See `Contents`.

  Raises:
    InputError: There is no such file, it is another kind of file or damaged,
      or of another format.
  """
  with _open(path) as file:
    found = file.metadata() or {}
  if _KEY not in found:
    raise errors.InputError(
      f"{path}: expected a file of trained weights that facerep_jax.export "
      "wrote, got other arrays. Convert published weights: facerep_jax.convert."
    )
  if found[_KEY] not in (FORMAT, EXACT_FORMAT):
    raise errors.InputError(
      f"{path}: format {found[_KEY]}, expected {FORMAT} or {EXACT_FORMAT}: "
      f"written by version {found.get('library_version')} of this library. Use "
      "that one."
    )
  return found


def is_one(path: str | os.PathLike) -> bool:
  """Tells whether a file is one that `write` wrote, of any format."""
  try:
    with safetensors.safe_open(path, "numpy") as file:
      return _KEY in (file.metadata() or {})
  except (safetensors.SafetensorError, OSError):
    return False


def read(path: str | os.PathLike) -> Contents:
  """Reads what `write` wrote.

  Args:
    path: Of the file.

  Returns:
    The model.

  Raises:
    InputError: There is no such file, it is damaged or of another format, or
      its arrays do not fit its settings; all that do not are listed.
  """
  found = metadata(path)
  config = _config(path, found)
  abstract = _abstract(path, config, found)
  arrays = _read_arrays(path, abstract, found[_KEY])
  if found.get("sha256") != stages.fingerprint(arrays):
    raise errors.InputError(
      f"{path}: the file is damaged: its arrays are not those that were "
      "written. Download or copy it again."
    )
  wide = {name: x.astype(np.float32) for name, x in arrays.items()}
  tree = flax.traverse_util.unflatten_dict(wide, sep="/")
  variables = base.Variables(
    *(tree.get(name, {}) for name in base.Variables._fields)
  )
  return Contents(config, variables, int(found["step"]), found)


def _narrow(variables, number, path):
  """Returns the arrays as they are stored, by name."""
  flat = _flat(jax.device_get(variables))
  arrays, problems = {}, []
  for name, value in sorted(flat.items()):
    dtype = _dtype(name, number)
    with np.errstate(over="ignore"):  # What overflows is refused below.
      narrow = np.ascontiguousarray(value).astype(dtype).reshape(value.shape)
    if not np.isfinite(narrow).all():
      largest = np.max(np.abs(value))
      problems.append(f"{name} (up to {largest:g}, as {dtype.__name__})")
    arrays[name] = narrow
  if problems:
    raise errors.InputError(
      f"{path}: expected finite numbers within the range of their type, got "
      f"others in {', '.join(problems)}. Take sound weights: those of another "
      "--step of a run."
    )
  return arrays


def _metadata(config, step, summary, arrays):
  stage = config.get("stage", "")
  what = f"{config.system}, {stage}" if stage else config.system
  num = sum(x.size for x in arrays.values())
  summary = summary or (
    f"{what}, preset {config.preset}, step {step}, {num / 1e6:.2f} million "
    "numbers"
  )
  return {
    "library_version": version(),
    "system": config.system,
    "stage": stage,
    "step": str(int(step)),
    "summary": " ".join(summary.split()),
    "config": json.dumps(_portable(config), sort_keys=True),
    "sha256": stages.fingerprint(arrays),
  }


def version() -> str:
  """Returns the version of this library, "unknown" of a plain checkout."""
  try:
    return importlib.metadata.version("facerep_jax")
  except importlib.metadata.PackageNotFoundError:
    return "unknown"


def _portable(config):
  """Returns the settings without the folders of who trained."""
  tree = json.loads(config.to_json())
  for name in _PATHS:
    *parents, last = name.split(".")
    node = tree
    for parent in parents:
      node = node.get(parent, {})
    if node.get(last):
      node[last] = pathlib.PurePath(node[last]).name
  return tree


def _open(path):
  """Opens a file; a damaged one is an InputError."""
  if not pathlib.Path(path).is_file():
    raise errors.InputError(
      f"{path}: there is no such file. Give the path of one that ends in "
      f"{SUFFIX}."
    )
  try:
    return safetensors.safe_open(path, "numpy")
  except (safetensors.SafetensorError, OSError) as error:
    raise errors.InputError(
      f"{path}: expected a safetensors file, but this one is cut short, "
      f"damaged or of another kind ({error}). Download or copy it again."
    ) from error


def _config(path, found):
  """Returns the config of the model in a file."""
  try:
    tree = json.loads(found.get("config", ""))
    step = int(found.get("step", ""))
  except ValueError as error:
    raise errors.InputError(
      f"{path}: its metadata is damaged ({error}). Download or copy it again."
    ) from error
  tree = renamed_settings.translated(tree) if isinstance(tree, dict) else {}
  lacking = configuration.lacking(tree, _NEEDED)
  # A file must not choose what is imported.
  known = (*base.NAMES, *sys.modules)
  if lacking or step < 0 or tree["system"] not in known:
    raise errors.InputError(
      f"{path}: expected the settings and the step of a model, of one of the "
      f"systems {', '.join(base.NAMES)} or of a module that you imported; got "
      f"system {tree.get('system')!r}, step {step}, without "
      f"{', '.join(lacking) or 'gaps'}."
    )
  return lean.config_of(ml_collections.ConfigDict(tree))


def _abstract(path, config, found):
  """Returns the shapes of the variables that the settings ask for, by name."""
  try:
    configuration.check_ranges(config)
    init = base.build(config).init
  # The settings become keyword arguments, of which there may be others now.
  except (errors.InputError, TypeError) as error:
    raise errors.InputError(
      f"{path}: its settings do not fit this version of the library ({error}); "
      f"it was written by version {found.get('library_version')}."
    ) from error
  shapes = jax.eval_shape(init, jax.random.key(0))
  return _flat(lean.variables_of(config, shapes))


def _read_arrays(path, abstract, number):
  """Reads all arrays, once it is clear that they fit."""
  wanted = {
    name: (np.dtype(_dtype(name, number)).name, list(x.shape))
    for name, x in abstract.items()
  }
  with _open(path) as file:
    there = {name: _kind(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
    differing = [
      f"{name} is {_say(there.get(name))}, expected {_say(wanted.get(name))}"
      for name in sorted(there.keys() | wanted.keys())
      if there.get(name) != wanted.get(name)
    ]
    if differing:
      raise errors.InputError(
        f"{path}: its arrays do not fit its settings: {'; '.join(differing)}."
      )
    return {name: file.get_tensor(name) for name in sorted(there)}


def _kind(entry):
  """Returns the type and the shape of a stored array."""
  name = entry.get_dtype()
  known = np.dtype(_TYPES[name]).name if name in _TYPES else name
  return known, list(entry.get_shape())


def _say(kind):
  return f"{kind[0]}{kind[1]}" if kind else "absent"


def _dtype(name, number):
  is_wide = number == EXACT_FORMAT or name.startswith(_FLOAT32)
  return np.float32 if is_wide else np.float16


def _flat(variables: base.Variables) -> dict[str, Any]:
  return flax.traverse_util.flatten_dict(variables._asdict(), sep="/")
