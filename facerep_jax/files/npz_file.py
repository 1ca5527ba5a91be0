"""Reads arrays from zip files, with no more memory than the files justify."""

import io
import math
import os
import pathlib
import zipfile
from collections.abc import Iterable

import numpy as np

from facerep_jax import errors

# Weights hardly shrink: an archive may unpack to so many times its size, and
# so much more.
_MAX_INFLATION = 8
_FREE_BYTES = 2**20


def limit(path: str | os.PathLike) -> int:
  """Returns how many bytes the arrays of a file may have, all together."""
  return _MAX_INFLATION * pathlib.Path(path).stat().st_size + _FREE_BYTES


def check_inflation(path: str | os.PathLike, archive: zipfile.ZipFile) -> None:
  """Refuses archives that hold much more than their size.

  Args:
    path: Of the archive.
    archive: The same, opened.

  Raises:
    InputError: It would unpack to more than `limit`.
  """
  size, most = sum(x.file_size for x in archive.infolist()), limit(path)
  if size > most:
    raise errors.InputError(
      f"{path}: {os.path.getsize(path)} bytes would unpack to {size}, expected "
      f"at most {most}. Save the arrays again, without compression."
    )


def check_numbers(name: str, numbers: Iterable[int]) -> None:
  """Checks sizes and places that a file tells of an array.

  Args:
    name: Of the array.
    numbers: Whole numbers from 0.

  Raises:
    ValueError: One makes no sense.
  """
  if not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
    raise ValueError(f"{name} has a shape or a place that makes no sense")


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads what `numpy.savez` wrote; nothing pickled.

  Args:
    path: Of the file.

  Returns:
    Arrays by name.

  Raises:
    InputError: It would unpack to more than `limit`.
    OSError, ValueError, LookupError, zipfile.BadZipFile, zlib.error: It cannot
      be read, or is damaged.
  """
  with zipfile.ZipFile(path) as archive:
    check_inflation(path, archive)
    return {
      name.removesuffix(".npy"): _read_npy(archive, name)
      for name in archive.namelist()
    }


def _read_npy(archive, name):
  """Reads an array, once it is clear that its bytes are there."""
  data = archive.read(name)
  stream = io.BytesIO(data)
  version = np.lib.format.read_magic(stream)
  read_header = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }[version]
  shape, _, dtype = read_header(stream)
  check_numbers(name, shape)
  if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
    raise ValueError(f"{name} does not have the bytes of its shape")
  stream.seek(0)
  return np.lib.format.read_array(stream, allow_pickle=False)
