"""Reads the files that torch wrote before version 1.6: pickles, then numbers.

Five pickles one behind the other (a mark, the version of the format, the
machine, what was saved, the keys of its storages), then of each storage its
length and its numbers.
"""

import io
import pathlib
import pickle
import pickletools
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.convert import tensor_pickle

START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_VERSION = 1001
_LENGTH_BYTES = 8


def read(path: pathlib.Path) -> Any:
  """Reads what was saved, as `torch_file.read` does.

  Args:
    path: A file that begins with `START`.

  Returns:
    What was saved, tensors as arrays.

  Raises:
    InputError: It holds something else than weights, or is of a machine that
      stores the high byte first.
    pickle.UnpicklingError, and others that broken bytes lead to.
  """
  data = path.read_bytes()
  stream = io.BytesIO(data)
  _, version, machine, content, keys = (_next_pickle(stream) for _ in range(5))
  version, machine, keys = (
    tensor_pickle.load(x, path, _no_storage) for x in (version, machine, keys)
  )
  if version != _VERSION:
    raise pickle.UnpicklingError(f"unknown version {version!r} of the format")
  if machine["little_endian"] is not True:
    raise errors.InputError(
      f"{path}: expected numbers with the low byte first, got a file of "
      "another kind of machine. Save it again on a common one."
    )
  kinds = tensor_pickle.storages(content, path)
  places = _places(data, stream.tell(), keys, kinds)

  def read_storage(key, dtype, num):
    del num
    first, last = places[key]
    return np.frombuffer(data[first:last], dtype)

  return tensor_pickle.load(content, path, read_storage)


def _next_pickle(stream):
  """Returns the bytes of one pickle; nothing is unpickled."""
  first = stream.tell()
  for _ in pickletools.genops(stream):
    pass
  return stream.getbuffer()[first : stream.tell()].tobytes()


def _no_storage(key, dtype, num):
  del dtype, num
  raise pickle.UnpicklingError(f"storage {key} where none can be")


def _places(data, first, keys, kinds):
  """Finds where each storage lies; they stand in the order of their keys."""
  places = {}
  for key in keys:
    if key not in kinds:
      raise pickle.UnpicklingError(f"storage {key} is of no tensor")
    dtype, num = kinds[key]
    start = first + _LENGTH_BYTES
    if int.from_bytes(data[first:start], "little") != num:
      raise pickle.UnpicklingError(f"storage {key} has another length")
    first = start + num * dtype.itemsize
    if first > len(data):
      raise EOFError(f"storage {key} is cut short")
    places[key] = start, first
  return places
