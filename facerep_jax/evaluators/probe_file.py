"""Fitted read-outs in one .npz file, without pickles."""

import json
import os
import zipfile
import zlib

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import linear_probe
from facerep_jax.files import atomic, npz_file

_ARRAYS = {"mean": "D", "scale": "D", "weights": "D K", "offset": "K"}
_FORMAT = "facerep_jax read-outs, version 1"


def save(
  path: str | os.PathLike, readouts: dict[str, linear_probe.Readout], meta: dict
) -> None:
  """Writes read-outs to one .npz file, whole or not at all.

  Args:
    path: Of the file.
    readouts: By name.
    meta: What they belong to; can be written as JSON.
  """
  head = {
    "format": _FORMAT,
    "meta": meta,
    "readouts": [
      {"name": name, "kind": one.kind, "strength": one.strength}
      for name, one in readouts.items()
    ],
  }
  arrays = {"head": np.array(json.dumps(head))}
  for i, one in enumerate(readouts.values()):
    for name in _ARRAYS:
      arrays[f"{i}.{name}"] = getattr(one, name)
  with atomic.whole(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)


def load(
  path: str | os.PathLike,
) -> tuple[dict[str, linear_probe.Readout], dict]:
  """Reads what `save` wrote.

  Args:
    path: Of the file.

  Returns:
    The read-outs by name, and `meta`.

  Raises:
    InputError: The file is missing, is no such file, or its arrays do not fit
      each other.
  """
  try:
    file = npz_file.read(path)
    head = json.loads(str(file["head"]))
    if head["format"] != _FORMAT:
      raise errors.InputError(
        f"{path}: expected {_FORMAT!r}, got {head['format']!r}. Fit anew."
      )
    found = {
      entry["name"]: _unpack(
        path, entry, {name: file[f"{i}.{name}"] for name in _ARRAYS}
      )
      for i, entry in enumerate(head["readouts"])
    }
    return found, head["meta"]
  except errors.InputError:
    raise
  except FileNotFoundError as error:
    raise errors.InputError(f"{path}: no such file.") from error
  except (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise errors.InputError(
      f"{path}: not a file of read-outs ({error}). Write it with "
      "readout_file.save."
    ) from error


def _unpack(path, entry, arrays):
  """Makes a read-out after checking that its parts fit."""
  sizes = {"D": arrays["mean"].size, "K": arrays["offset"].size}
  for name, spec in _ARRAYS.items():
    want = " ".join(str(sizes[letter]) for letter in spec.split())
    errors.check_shape(f"{path}: {entry['name']}: {name}", arrays[name], want)
    if arrays[name].dtype != np.float64:
      raise errors.InputError(
        f"{path}: {entry['name']}: {name} is {arrays[name].dtype}, expected "
        "float64. Write it with readout_file.save."
      )
  if entry["kind"] != "linear":
    raise errors.InputError(
      f"{path}: {entry['name']}: expected kind 'linear', got "
      f"{entry['kind']!r}. Fit anew."
    )
  return linear_probe.Readout(**arrays, strength=float(entry["strength"]))
