"""Reads files of weights without running anything that is in them."""

import errno
import json
import math
import pathlib
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.convert import tensor_pickle, torch_legacy
from facerep_jax.files import npz_file

_SAFETENSORS = {
  "F64": np.float64,
  "F32": np.float32,
  "F16": np.float16,
  "BF16": jnp.bfloat16,
  "I64": np.int64,
  "I32": np.int32,
  "I16": np.int16,
  "I8": np.int8,
  "U8": np.uint8,
  "BOOL": np.bool_,
}
# What unpickling broken bytes may raise, without code of the file's own.
_BROKEN = (
  pickle.UnpicklingError,
  zipfile.BadZipFile,
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  MemoryError,
  RuntimeError,
  TypeError,
  ValueError,
  zlib.error,
)


def read(path: str | pathlib.Path) -> dict[Any, Any]:
  """Reads the weights in a file of torch, safetensors or NumPy.

  Files of torch are pickles, which can run any code when they are loaded the
  usual way. This reader knows dicts, lists, numbers, strings and tensors, drops
  the curves and options that published checkpoints have beside them, and
  refuses all else.

  Args:
    path: File written by `torch.save`, in the format of today or in that of
      before torch 1.6, by safetensors, or by `numpy.savez`.

  Returns:
    What was saved, tensors as arrays: for weights a dict of arrays, or dicts
    of such dicts. bfloat16 becomes float32.

  Raises:
    InputError: There is no such file; it is of another kind, or broken; or it
      holds something else than weights.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.InputError(
      f"{path}: there is no such file. Pass the path of a file of weights."
    )
  try:
    out = _read_any(path)
  except errors.InputError:
    raise
  except (*_BROKEN, OSError) as error:
    # A damaged zip file may point to places before its start.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
      raise
    raise errors.InputError(
      f"{path}: the file is broken or cut short ({type(error).__name__}: "
      f"{error}). Download or copy it again."
    ) from error
  if not isinstance(out, Mapping):
    raise errors.InputError(
      f"{path}: expected a dict of weights, got {type(out).__name__}. Save "
      "the model's state_dict()."
    )
  return dict(out)


def _read_any(path: pathlib.Path) -> Any:
  """Tells the kind of the file by its content."""
  with open(path, "rb") as file:
    start = file.read(16)
  if start.startswith(b"PK"):
    with zipfile.ZipFile(path) as archive:
      npz_file.check_inflation(path, archive)
      names = archive.namelist()
      records = [name for name in names if name.endswith("/data.pkl")]
      if len(records) == 1:
        return _read_torch(path, archive, records[0])
    if names and all(name.endswith(".npy") for name in names):
      return npz_file.read(path)
  elif start[8:9] == b"{":
    return _read_safetensors(path)
  elif start.startswith(torch_legacy.START):
    return torch_legacy.read(path)
  raise errors.InputError(
    f"{path}: expected a file of torch (.pth, .pt, .bin), safetensors or npz, "
    "got another kind. Pass the file of weights itself, unpacked."
  )


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a header of JSON and the arrays that it points to."""
  data = path.read_bytes()
  start = 8 + int.from_bytes(data[:8], "little")
  header = json.loads(data[8:start])
  header.pop("__metadata__", None)
  out, end = {}, 0
  for name, entry in sorted(header.items(), key=_place):
    if entry["dtype"] not in _SAFETENSORS:
      raise errors.InputError(
        f"{path}: {name} has the type {entry['dtype']}, expected one of "
        f"{', '.join(_SAFETENSORS)}. Save it as F32."
      )
    dtype = _SAFETENSORS[entry["dtype"]]
    (first, last), shape = entry["data_offsets"], entry["shape"]
    npz_file.check_numbers(name, (first, last, *shape))
    # The format knows neither gaps nor overlaps.
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if first != end or last - first != size or start + last > len(data):
      raise ValueError(f"{name} does not lie where its shape says")
    end = last
    values = np.frombuffer(data[start + first : start + last], dtype)
    out[name] = tensor_pickle.own_copy(values.reshape(shape))
  return out


def _place(item):
  """Sorts arrays by where they lie; those of no bytes before others."""
  first, last = item[1]["data_offsets"]
  return first, last


def _read_torch(path, archive, record):
  """Reads a zip file of torch."""
  root = record.removesuffix("data.pkl")
  order = f"{root}byteorder"
  if order in archive.namelist() and archive.read(order) != b"little":
    raise errors.InputError(
      f"{path}: expected numbers with the low byte first, got a file of "
      "another kind of machine. Save it again on a common one."
    )

  def read_storage(key, dtype, num):
    del num
    return np.frombuffer(archive.read(f"{root}data/{key}"), dtype)

  return tensor_pickle.load(archive.read(record), path, read_storage)
