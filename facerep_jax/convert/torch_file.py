"""Reads files of weights without running anything that is in them."""

import collections
import json
import math
import pathlib
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.files import npz_file

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_STORAGES = {
  "DoubleStorage": np.float64,
  "FloatStorage": np.float32,
  "HalfStorage": np.float16,
  "BFloat16Storage": jnp.bfloat16,
  "LongStorage": np.int64,
  "IntStorage": np.int32,
  "ShortStorage": np.int16,
  "CharStorage": np.int8,
  "ByteStorage": np.uint8,
  "BoolStorage": np.bool_,
}
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
  usual way. This reader knows dicts, lists, numbers, strings and tensors, and
  refuses all else.

  Args:
    path: File written by `torch.save` in the format of torch 1.6 and later, by
      safetensors, or by `numpy.savez`.

  Returns:
    What was saved, tensors as arrays: for weights a dict of arrays, or dicts
    of such dicts. bfloat16 becomes float32.

  Raises:
    InputError: There is no such file; it is of another kind, in torch's format
      before 1.6, or broken; or it holds something else than weights.
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
  except _BROKEN as error:
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
  elif start.startswith(_LEGACY):
    raise errors.InputError(
      f"{path}: expected torch's zip format, got that of before torch 1.6. "
      "Save it again where torch is installed: torch.save(torch.load(old, "
      'map_location="cpu", weights_only=True), new).'
    )
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
    out[name] = _copy(values.reshape(shape))
  return out


def _place(item):
  """Sorts arrays by where they lie; those of no bytes before others."""
  first, last = item[1]["data_offsets"]
  return first, last


class _Storage(NamedTuple):
  """Type of the numbers of a storage, in place of torch's class."""

  dtype: Any


class _Rebuild:
  """Stands for one of the two functions that rebuild tensors."""

  __slots__ = ("_function",)

  def __init__(self, function):
    object.__setattr__(self, "_function", function)

  def __setattr__(self, name, value):
    raise AttributeError("A pickle tried to change the reader.")

  def __call__(self, *args):
    return self._function(*args)


class _Unpickler(pickle.Unpickler):
  """Knows the names that weights need, and refuses all others."""

  def __init__(self, path, archive, record):
    super().__init__(archive.open(record))
    self._path, self._archive = path, archive
    self._root = record.removesuffix("data.pkl")
    self._storages = {}
    self._room = npz_file.limit(path)
    order = f"{self._root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
      raise errors.InputError(
        f"{path}: expected numbers with the low byte first, got a file of "
        "another kind of machine. Save it again on a common one."
      )

  def find_class(self, module, name):
    """Gives what stands for a global name of the pickle."""
    if (module, name) == ("collections", "OrderedDict"):
      return collections.OrderedDict
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
      return _Rebuild(self._tensor)
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
      return _Rebuild(_rebuild_parameter)
    if module == "torch" and name in _STORAGES:
      return _Storage(_STORAGES[name])
    raise errors.InputError(
      f"{self._path}: expected dicts of tensors, numbers and strings, got "
      f"'{module}.{name}', which was not run. Save the state_dict() of the "
      "model alone, where you trust the file."
    )

  def _tensor(self, *args):
    """Rebuilds a tensor, as long as they all are not far beyond the file."""
    tensor = _rebuild_tensor(*args)
    self._room -= tensor.nbytes
    if self._room < 0:
      raise pickle.UnpicklingError("its tensors have far more bytes than it")
    return tensor

  def persistent_load(self, pid):
    """Reads one storage, a flat array."""
    kind, storage, key, _, num = pid
    if kind != "storage" or not isinstance(storage, _Storage):
      raise pickle.UnpicklingError(f"unknown record {kind!r}")
    if key not in self._storages:
      data = self._archive.read(f"{self._root}data/{key}")
      self._storages[key] = np.frombuffer(data, storage.dtype)
    values = self._storages[key]
    if values.size != num or values.dtype != storage.dtype:
      raise pickle.UnpicklingError(
        f"storage {key} has {values.size} numbers, expected {num}"
      )
    return values


def _read_torch(path, archive, record):
  """Reads a zip file of torch."""
  _check_pickle(archive.read(record))
  return _Unpickler(path, archive, record).load()


def _check_pickle(data):
  """Refuses lengths and places that no pickle of this size needs.

  Unpickling makes room for what they say before it looks for the bytes.
  """
  for opcode, argument, _ in pickletools.genops(data):
    is_place = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
    if is_place and argument > len(data):
      raise pickle.UnpicklingError(f"{opcode.name} {argument} makes no sense")


def _rebuild_tensor(values, offset, size, strides, *_):
  """Cuts a tensor out of its storage; checks that it lies inside."""
  numbers = (offset, *size, *strides)
  is_sound = (
    isinstance(values, np.ndarray)
    and len(size) == len(strides)
    and all(type(n) is int and n >= 0 for n in numbers)
  )
  if not is_sound:
    raise pickle.UnpicklingError("a tensor's shape makes no sense")
  num = math.prod(size)
  end = offset + sum((n - 1) * step for n, step in zip(size, strides)) + 1
  if num and (end > values.size or num > values.size):
    raise pickle.UnpicklingError("a tensor reaches beyond its storage")
  if not num:
    return np.zeros(size, values.dtype)
  view = np.lib.stride_tricks.as_strided(
    values[offset:], size, [step * values.itemsize for step in strides]
  )
  return _copy(view)


def _rebuild_parameter(tensor, *_):
  """A parameter is its tensor."""
  if not isinstance(tensor, np.ndarray):
    raise pickle.UnpicklingError("a parameter is no tensor")
  return tensor


def _copy(values: np.ndarray) -> np.ndarray:
  """Makes an array of its own; widens bfloat16."""
  is_narrow = values.dtype == jnp.bfloat16
  return values.astype(np.float32 if is_narrow else values.dtype)
