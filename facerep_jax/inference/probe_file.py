"""Fitted linear probes in one .npz file, without pickles."""

import dataclasses
import json
import os
import zipfile
import zlib

import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic, npz_file

_ARRAYS = {"mean": "D", "scale": "D", "weights": "D K", "offset": "K"}
_DTYPES = (np.float16, np.float32, np.float64)
# As in files of before.
_FORMAT = "facerep_jax read-outs, version 1"
_KEY = "readouts"
_BETWEEN = " / "


@dataclasses.dataclass(frozen=True)
class LinearProbe:
  """A linear map of standardised features.

  Attributes:
    mean: [D] float64, of the training features.
    scale: [D] float64, their standard deviation; 1 where they are constant.
    weights: [D, K] float64.
    offset: [K] float64; -inf or inf for a class that training had never or
      always.
    strength: L2 strength per row that was chosen.
    kind: "linear", the one kind there is.
  """

  mean: np.ndarray
  scale: np.ndarray
  weights: np.ndarray
  offset: np.ndarray
  strength: float
  kind: str = "linear"

  def outputs(self, x: np.ndarray) -> np.ndarray:
    """Reads features out.

    Args:
      x: [N, D] float.

    Returns:
      [N, K] float64: values (ridge) or logits (logistic, multilabel).

    Raises:
      InputError: The features have another width.
    """
    x = np.asarray(x)
    errors.check_shape(
      "features",
      x,
      f"N {len(self.mean)}",
      "Use the representation that the linear probe was fitted to.",
    )
    return (x - self.mean) / self.scale @ self.weights + self.offset


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Returns the softmax of [M, K] logits; -inf gives 0."""
  shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
  return shifted / shifted.sum(axis=1, keepdims=True)


def key(dataset: str, task: str, feature: str) -> str:
  """Names a linear probe by what it was fitted to."""
  return _BETWEEN.join((dataset, task, feature))


def apart(name: str) -> list[str]:
  """Returns what `key` joined; of these, a data set may be called anything."""
  return name.rsplit(_BETWEEN, 2)


def save(
  path: str | os.PathLike,
  probes: dict[str, LinearProbe],
  meta: dict,
  *,
  is_small: bool = False,
) -> None:
  """Writes linear probes to one .npz file, whole or not at all.

  Args:
    path: Of the file.
    probes: By name.
    meta: What they belong to; can be written as JSON.
    is_small: Whether to store weights as float16 and all else as float32; by
      default all are float64.

  Raises:
    InputError: A weight is beyond float16.
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
    if is_small:
      arrays |= _shrunk(i, one)
  with atomic.whole(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)


def _shrunk(number, probe):
  """Returns the arrays of a linear probe with fewer bits."""
  weights = probe.weights.astype(np.float16)
  if not np.isfinite(weights).all():
    raise errors.InputError("a linear probe has weights beyond float16.")
  others = [name for name in _ARRAYS if name != "weights"]
  return {f"{number}.weights": weights} | {
    f"{number}.{name}": getattr(probe, name).astype(np.float32)
    for name in others
  }


def load(
  path: str | os.PathLike,
) -> tuple[dict[str, LinearProbe], dict]:
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
    if arrays[name].dtype not in _DTYPES:
      raise errors.InputError(
        f"{path}: {entry['name']}: {name} is {arrays[name].dtype}, expected "
        "float16, float32 or float64. Write it with probe_file.save."
      )
  if entry["kind"] != "linear":
    raise errors.InputError(
      f"{path}: {entry['name']}: expected kind 'linear', got "
      f"{entry['kind']!r}. Fit anew."
    )
  arrays = {name: value.astype(np.float64) for name, value in arrays.items()}
  return LinearProbe(**arrays, strength=float(entry["strength"]))
