"""Reads plain numbers from MATLAB files of version 5; anything else is refused.

In place of `scipy.io.loadmat`, whose compiled reader ends the process on some
damaged files. Nothing of a file is run.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from facerep_jax import errors

_HEADER_BYTES = 128
_LITTLE_ENDIAN_5 = b"\x00\x01IM"  # Version 1.0 of the format.
# Of one variable when decompressed: more is no list of numbers.
_MAX_BYTES = 2**24
_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32 = 1, 5, 6
_IS_COMPLEX = 0x0800
_NUMERIC_CLASSES = range(6, 16)
_DTYPES = {
  1: "<i1",
  2: "<u1",
  3: "<i2",
  4: "<u2",
  5: "<i4",
  6: "<u4",
  7: "<f4",
  9: "<f8",
  12: "<i8",
  13: "<u8",
}


class _Unusable(Exception):
  """Says what is wrong with the bytes; `read` adds the file."""


def read(
  path: str | os.PathLike, names: Iterable[str]
) -> dict[str, np.ndarray]:
  """Reads real matrices of numbers.

  Args:
    path: File as MATLAB's `save -v6` or `-v7` writes it on a common machine.
    names: Variables that are wanted; others are passed over.

  Returns:
    Of the wanted variables those that the file holds, as float64.

  Raises:
    InputError: The file cannot be read or is damaged, or a wanted variable is
      no real matrix of numbers.

  Source: MathWorks, "MAT-File Format", level 5.
  """
  try:
    with open(path, "rb") as file:
      data = file.read()
  except OSError as error:
    raise errors.InputError(
      f"{path}: cannot be read ({error.strerror})."
    ) from error
  try:
    if data[124:_HEADER_BYTES] != _LITTLE_ENDIAN_5:
      raise _Unusable("its header is another")
    found = {}
    for kind, body in _elements(data[_HEADER_BYTES:], is_padded=False):
      if kind == _COMPRESSED:
        kind, body = _decompress(body)
      if kind == _MATRIX:
        name, value = _matrix(body, set(names))
        found[name] = value
  except _Unusable as reason:
    raise errors.InputError(
      f"{path}: is no MATLAB file of version 5 that can be read: {reason}."
    ) from reason
  return {name: found[name] for name in names if name in found}


def _elements(
  data: bytes, *, is_padded: bool = True
) -> Iterator[tuple[int, bytes]]:
  """Yields type and data of each element."""
  start = 0
  while start < len(data):
    if start + 8 > len(data):
      raise _Unusable("it is cut off")
    kind, size = struct.unpack_from("<II", data, start)
    if kind >> 16:  # A small element: size, type and data in eight bytes.
      kind, size = kind & 0xFFFF, kind >> 16
      first, step = start + 4, 8
      if size > 4:
        raise _Unusable("it is damaged")
    else:
      first = start + 8
      step = 8 + (-(-size // 8) * 8 if is_padded else size)
    if first + size > len(data):
      raise _Unusable("it is cut off")
    yield kind, data[first : first + size]
    start += step


def _decompress(data):
  reader = zlib.decompressobj()
  try:
    plain = reader.decompress(data, _MAX_BYTES)
  except zlib.error as error:
    raise _Unusable("it is damaged") from error
  if reader.unconsumed_tail:
    raise _Unusable(f"a variable is larger than {_MAX_BYTES} bytes")
  if len(plain) < 8:
    raise _Unusable("it is cut off")
  kind, size = struct.unpack_from("<II", plain)
  if kind != _MATRIX or 8 + size > len(plain):
    raise _Unusable("it is damaged")
  return kind, plain[8 : 8 + size]


def _matrix(data, wanted):
  """Returns the name of a matrix, and its numbers where they are wanted."""
  parts = _elements(data)
  kinds, flags = next(parts, (0, b""))
  if kinds != _UINT32 or len(flags) != 8:
    raise _Unusable("it is damaged")
  [flags, _] = struct.unpack("<II", flags)
  (of_sizes, sizes), (of_name, name) = (
    next(parts, (0, b"")),
    next(parts, (0, b"")),
  )
  if of_sizes != _INT32 or of_name != _INT8 or len(sizes) % 4:
    raise _Unusable("it is damaged")
  name = name.decode("latin-1")
  if name not in wanted:
    return name, None
  if flags & 0xFF not in _NUMERIC_CLASSES or flags & _IS_COMPLEX:
    raise _Unusable(f"{name} is no matrix of real numbers")
  kind, numbers = next(parts, (0, b""))
  shape = np.frombuffer(sizes, "<i4").astype(np.int64)
  if kind not in _DTYPES or len(shape) < 2 or (shape < 0).any():
    raise _Unusable(f"{name} is damaged")
  dtype = np.dtype(_DTYPES[kind])
  if len(numbers) != dtype.itemsize * int(np.prod(shape.astype(object))):
    raise _Unusable(f"{name} is damaged")
  value = np.frombuffer(numbers, dtype).astype(np.float64)
  return name, value.reshape(shape, order="F")
