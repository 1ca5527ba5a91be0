"""TFRecord files without TensorFlow: writing, checking, random access.

A record is 8 bytes of length (little-endian), 4 bytes masked CRC32C of these,
the data, and 4 bytes masked CRC32C of the data.
"""

import contextlib
import os
import struct
import threading
import weakref
from collections.abc import Iterator, Sequence

import google_crc32c

from facerep_jax import errors
from facerep_jax.files import atomic

HEADER_BYTES = 12
FOOTER_BYTES = 4
# Above this many files the reader opens a file for every read instead of
# keeping it open: processes commonly may hold 1,024 descriptors.
_MAX_OPEN_FILES = 512


class BadRecordError(errors.InputError):
  """A record that cannot be used; the message names its file and number."""


def masked_crc32c(data: bytes) -> int:
  """Computes the checksum of TFRecord files.

  Args:
    data: What to sum.

  Returns:
    CRC32C rotated right by 15 bits plus a constant, an unsigned 32-bit number.

  Source: TensorFlow's description of the TFRecord format.
  """
  crc = google_crc32c.value(data)
  return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class Writer:
  """Writes one TFRecord file, which appears under its name when complete.

  Use as a context manager; after an exception nothing is left.
  """

  def __init__(self, path: str | os.PathLike):
    self._path = os.fspath(path)

  def __enter__(self):
    with contextlib.ExitStack() as stack:
      temporary = stack.enter_context(atomic.whole(self._path))
      self._file = stack.enter_context(open(temporary, "wb"))
      self._stack = stack.pop_all()
    return self

  def write(self, record: bytes) -> None:
    """Appends one record."""
    length = struct.pack("<Q", len(record))
    self._file.write(length)
    self._file.write(struct.pack("<I", masked_crc32c(length)))
    self._file.write(record)
    self._file.write(struct.pack("<I", masked_crc32c(record)))

  def __exit__(self, kind, value, traceback):
    if kind is not None:
      self._stack.__exit__(kind, value, traceback)
      return
    with self._stack:  # A disk that is full shows now.
      self._file.flush()
      os.fsync(self._file.fileno())


def scan(path: str | os.PathLike) -> Iterator[tuple[int, int]]:
  """Walks the headers of a file, without reading the data.

  Args:
    path: A TFRecord file.

  Yields:
    Offset and length in bytes of the data of each record.

  Raises:
    BadRecordError: The file ends within a record, or a header is damaged (then
      no later record can be found either).
    InputError: The file cannot be opened.
  """
  path = os.fspath(path)
  try:
    file = open(path, "rb")  # noqa: SIM115
  except OSError as error:
    raise errors.InputError(
      f"{path}: cannot be read ({error.strerror}). Check the file."
    ) from error
  with file:
    size = os.fstat(file.fileno()).st_size
    offset, number = 0, 0
    while offset < size:
      file.seek(offset)
      header = file.read(HEADER_BYTES)
      if len(header) < HEADER_BYTES:
        raise _truncated(path, number, size, offset + HEADER_BYTES)
      length, crc = struct.unpack("<QI", header)
      if crc != masked_crc32c(header[:8]):
        raise BadRecordError(
          f"{path}: record {number} (byte {offset}): the checksum of its "
          "length does not match: the file is damaged or no TFRecord file. "
          "Make or copy it again."
        )
      end = offset + HEADER_BYTES + length + FOOTER_BYTES
      if end > size:
        raise _truncated(path, number, size, end)
      yield offset + HEADER_BYTES, length
      offset, number = end, number + 1


def _truncated(path, number, size, end):
  return BadRecordError(
    f"{path}: record {number} is cut off: the file has {size} bytes, the "
    f"record ends at {end} or later. Make or copy the file again."
  )


def check_record(
  data: bytes,
  length: int,
  path: str,
  number: int,
  checksum: int | None = None,
) -> bytes:
  """Checks the data of one record against its checksum.

  Args:
    data: Data and footer as read from the file.
    length: Expected length of the data in bytes.
    path: File, for the message.
    number: Number of the record in the file, for the message.
    checksum: Masked CRC32C that the data must have; None for any.

  Returns:
    The data without the footer.

  Raises:
    BadRecordError: The data is short or its checksum does not match.
  """
  if len(data) < length + FOOTER_BYTES:
    raise BadRecordError(
      f"{path}: record {number} is cut off: {len(data)} of "
      f"{length + FOOTER_BYTES} bytes. Make or copy the file again."
    )
  record = data[:length]
  stored = struct.unpack_from("<I", data, length)[0]
  if stored != masked_crc32c(record):
    raise BadRecordError(
      f"{path}: record {number}: the checksum of its data does not match: the "
      "file is damaged. Make or copy it again, or set "
      'config.data.on_bad_record="skip".'
    )
  if checksum not in (None, stored):
    raise BadRecordError(
      f"{path}: record {number}: is sound, but another one than the index "
      "knows: the file was changed after it was made. Make or copy it again, "
      'or set config.data.on_bad_record="skip".'
    )
  return record


def read_records(path: str | os.PathLike) -> Iterator[bytes]:
  """Reads a file from start to end.

  Args:
    path: A TFRecord file.

  Yields:
    The data of each record, its checksum checked.

  Raises:
    BadRecordError: As `scan`, or the data of a record is damaged.
    InputError: As `scan`.
  """
  path = os.fspath(path)
  reader = Reader([path])
  for number, (offset, length) in enumerate(scan(path)):
    yield reader.read(0, number, offset, length)


class Reader:
  """Random access to the records of several files, from any thread.

  Open files are dropped when the reader is pickled.

  Attributes:
    paths: The files.
  """

  def __init__(self, paths: Sequence[str | os.PathLike]):
    self.paths = [os.fspath(path) for path in paths]
    self._open: dict[int, int] = {}
    self._lock = threading.Lock()
    # Unlike __del__, this is safe while the interpreter shuts down.
    weakref.finalize(self, _close, self._open)

  def __getstate__(self):
    return {"paths": self.paths}

  def __setstate__(self, state):
    self.__init__(state["paths"])

  def read(
    self,
    file: int,
    number: int,
    offset: int,
    length: int,
    checksum: int | None = None,
  ) -> bytes:
    """Reads one record.

    Args:
      file: Position of its file in `paths`.
      number: Number of the record in the file, for messages.
      offset: Offset of its data in bytes.
      length: Length of its data in bytes.
      checksum: As for `check_record`.

    Returns:
      The data, its checksum checked.

    Raises:
      BadRecordError: The data is short or damaged.
      InputError: The file cannot be read.
    """
    path = self.paths[file]
    place = (offset, length + FOOTER_BYTES)
    [data] = self.read_parts(file, number, [place])
    return check_record(data, length, path, number, checksum)

  def read_parts(
    self, file: int, number: int, places: Sequence[tuple[int, int]]
  ) -> list[bytes]:
    """Reads parts of a file; nothing is checked.

    Args:
      file: Position of the file in `paths`.
      number: Number of the record that they belong to, for messages.
      places: Offset and length in bytes of each part.

    Returns:
      The parts; shorter ones where the file ends.

    Raises:
      InputError: The file cannot be read.
    """
    path = self.paths[file]
    try:
      if len(self.paths) > _MAX_OPEN_FILES:
        with open(path, "rb") as opened:
          return [os.pread(opened.fileno(), n, at) for at, n in places]
      descriptor = self._descriptor(file)
      return [os.pread(descriptor, n, at) for at, n in places]
    except OSError as error:
      raise errors.InputError(
        f"{path}: record {number} cannot be read ({error.strerror}). Check the "
        "file and its disk."
      ) from error

  def _descriptor(self, file):
    with self._lock:
      if file not in self._open:
        self._open[file] = os.open(self.paths[file], os.O_RDONLY)
      return self._open[file]


def _close(descriptors):
  for descriptor in descriptors.values():
    os.close(descriptor)
