"""Unpickles dicts of tensors, and runs nothing that a file names."""

import collections
import io
import math
import os
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.files import npz_file

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
# Objects that published checkpoints have beside their weights: the curves of a
# training, and its options. What they held is dropped.
_IGNORED = (
  ("unsup3d.meters", "MetricsTrace"),
  ("argparse", "Namespace"),
)


def load(
  data: bytes,
  path: str | os.PathLike,
  read_storage: Callable[[str, Any, int], np.ndarray],
) -> Any:
  """Rebuilds what was pickled.

  Args:
    data: The pickle: dicts, lists, numbers, strings and tensors.
    path: Of its file, for messages, and for how much it may unpack to.
    read_storage: (key, type, length) -> a storage, a flat array.

  Returns:
    What was pickled, tensors as arrays of their own; bfloat16 as float32.

  Raises:
    InputError: It names something else, which is not run.
    pickle.UnpicklingError, and others that broken bytes lead to.
  """
  check(data)
  return _Unpickler(data, path, read_storage).load()


def storages(
  data: bytes, path: str | os.PathLike
) -> dict[str, tuple[np.dtype, int]]:
  """Lists the storages that a pickle points to, without reading them.

  Args:
    data: As for `load`.
    path: As for `load`.

  Returns:
    Type and length by key.

  Raises:
    InputError: As `load`.
    pickle.UnpicklingError, and others, as `load`.
  """
  check(data)
  reader = _Lister(data, path, read_storage=None)
  reader.load()
  return reader.found


def check(data: bytes) -> None:
  """Refuses lengths and places that no pickle of this size needs.

  Unpickling makes room for what they say before it looks for the bytes.

  Args:
    data: The pickle.

  Raises:
    pickle.UnpicklingError, ValueError: There is one.
  """
  for opcode, argument, _ in pickletools.genops(data):
    is_place = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
    if is_place and argument > len(data):
      raise pickle.UnpicklingError(f"{opcode.name} {argument} makes no sense")


def own_copy(values: np.ndarray) -> np.ndarray:
  """Makes an array of its own; widens bfloat16 to float32."""
  is_narrow = values.dtype == jnp.bfloat16
  return values.astype(np.float32 if is_narrow else values.dtype)


class _Storage(NamedTuple):
  """Type of the numbers of a storage, in place of torch's class."""

  dtype: Any


class _Rebuild:
  """Stands for one of the functions that rebuild tensors."""

  __slots__ = ("_function",)

  def __init__(self, function):
    object.__setattr__(self, "_function", function)

  def __setattr__(self, name, value):
    raise AttributeError("A pickle tried to change the reader.")

  def __call__(self, *args):
    return self._function(*args)


class _Locked(type):
  """A class that a pickle cannot change."""

  def __setattr__(cls, name, value):
    raise AttributeError("A pickle tried to change the reader.")


class _Ignored(metaclass=_Locked):
  """Stands for an object beside the weights; takes its state and forgets it."""

  __slots__ = ()

  def __new__(cls, *args):
    del args
    return super().__new__(cls)

  def __init__(self, *args):
    del args

  def __setstate__(self, state):
    del state


class _Unpickler(pickle.Unpickler):
  """Knows the names that weights need, and refuses all others."""

  def __init__(self, data, path, read_storage):
    super().__init__(io.BytesIO(data))
    self._path, self._read_storage = path, read_storage
    self._storages = {}
    self._room = npz_file.limit(path)

  def find_class(self, module, name):
    """Gives what stands for a global name of the pickle."""
    if (module, name) == ("collections", "OrderedDict"):
      return collections.OrderedDict
    if module == "torch._utils" and name in (
      "_rebuild_tensor_v2",
      "_rebuild_tensor",
    ):
      return _Rebuild(self._tensor)
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
      return _Rebuild(_rebuild_parameter)
    if module == "torch" and name in _STORAGES:
      return _Storage(_STORAGES[name])
    if (module, name) in _IGNORED:
      return _Ignored
    raise errors.InputError(
      f"{self._path}: expected dicts of tensors, numbers and strings, got "
      f"'{module}.{name}', which was not run. Save the state_dict() of the "
      "model alone, where you trust the file."
    )

  def persistent_load(self, pid):
    """Reads one storage, a flat array, or a part of it."""
    kind, storage, key, _, num, *rest = pid
    if kind != "storage" or not isinstance(storage, _Storage):
      raise pickle.UnpicklingError(f"unknown record {kind!r}")
    npz_file.check_numbers(f"storage {key}", [num])
    return self._storage(key, storage.dtype, num, rest[0] if rest else None)

  def _storage(self, key, dtype, num, part):
    """Reads a storage once; `part` is of files of old versions of torch."""
    if key not in self._storages:
      self._storages[key] = self._read_storage(key, dtype, num)
    values = self._storages[key]
    if values.size != num or values.dtype != dtype:
      raise pickle.UnpicklingError(
        f"storage {key} has {values.size} numbers, expected {num}"
      )
    if part is None:
      return values
    _, offset, size = part
    npz_file.check_numbers(f"storage {key}", [offset, size])
    if offset + size > num:
      raise pickle.UnpicklingError(f"a part reaches beyond storage {key}")
    return values[offset : offset + size]

  def _tensor(self, *args):
    """Rebuilds a tensor, as long as they all are not far beyond the file."""
    tensor = _rebuild_tensor(*args)
    self._room -= tensor.nbytes
    if self._room < 0:
      raise pickle.UnpicklingError("its tensors have far more bytes than it")
    return tensor


class _Lister(_Unpickler):
  """Notes storages, and rebuilds no tensor."""

  def __init__(self, data, path, read_storage):
    super().__init__(data, path, read_storage)
    self.found = {}

  def _storage(self, key, dtype, num, part):
    kind = np.dtype(dtype), num
    if self.found.setdefault(key, kind) != kind:
      raise pickle.UnpicklingError(f"storage {key} has two types or lengths")
    return np.zeros(0, dtype)

  def _tensor(self, *args):
    return np.zeros(0, np.float32)


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
  return own_copy(view)


def _rebuild_parameter(tensor, *_):
  """A parameter is its tensor."""
  if not isinstance(tensor, np.ndarray):
    raise pickle.UnpicklingError("a parameter is no tensor")
  return tensor
