"""Fitted linear probes in one .npz file, without pickles."""

import json
import os
import zipfile
import zlib

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import linear_probe
from facerep_jax.files import atomic, npz_file

_ARRAYS = {"mean": "D", "scale": "D", "weights": "D K", "offset": "K"}
# As in files of before.
_FORMAT = "facerep_jax read-outs, version 1"
_KEY = "readouts"


def save(
  path: str | os.PathLike,
  probes: dict[str, linear_probe.LinearProbe],
  meta: dict,
) -> None:
  """Writes linear probes to one .npz file, whole or not at all.

  Args:
    path: Of the file.
    probes: By name.
    meta: What they belong to; can be written as JSON.
  """
  head = {
    "format": _FORMAT,
    "meta": meta,
    _KEY: [
      {"name": name, "kind": one.kind, "strength": one.strength}
      for name, one in probes.items()
    ],
  }
  arrays = {"head": np.array(json.dumps(head))}
  for i, one in enumerate(probes.values()):
    for name in _ARRAYS:
      arrays[f"{i}.{name}"] = getattr(one, name)
  with atomic.whole(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)


def load(
  path: str | os.PathLike,
) -> tuple[dict[str, linear_probe.LinearProbe], dict]:
  """Reads what `save` wrote.

  Args:
    path: Of the file.

  Returns:
    The linear probes by name, and `meta`.

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
      for i, entry in enumerate(head[_KEY])
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
      f"{path}: not a file of linear probes ({error}). Write it with "
      "probe_file.save."
    ) from error


def _unpack(path, entry, arrays):
  """Makes a linear probe after checking that its parts fit."""
  sizes = {"D": arrays["mean"].size, "K": arrays["offset"].size}
  for name, spec in _ARRAYS.items():
    want = " ".join(str(sizes[letter]) for letter in spec.split())
    errors.check_shape(f"{path}: {entry['name']}: {name}", arrays[name], want)
    if arrays[name].dtype != np.float64:
      raise errors.InputError(
        f"{path}: {entry['name']}: {name} is {arrays[name].dtype}, expected "
        "float64. Write it with probe_file.save."
      )
  if entry["kind"] != "linear":
    raise errors.InputError(
      f"{path}: {entry['name']}: expected kind 'linear', got "
      f"{entry['kind']!r}. Fit anew."
    )
  return linear_probe.LinearProbe(**arrays, strength=float(entry["strength"]))
