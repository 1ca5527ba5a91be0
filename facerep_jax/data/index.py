"""The index of a shard: where its records are, and whose track each holds."""

import dataclasses
import io
import logging
import os
import secrets
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from facerep_jax import errors
from facerep_jax.data import schema, tfrecord

_log = logging.getLogger(__name__)

VERSION = 2
SUFFIX = ".index"
_CHECKSUM = struct.Struct("<I")


@dataclasses.dataclass
class Index:
  """One row per record.

  Attributes:
    offset: [N] int64, where the data starts in the file, bytes.
    length: [N] int64, bytes of data.
    number: [N] int64, number of the record in its file.
    num_frames: [N] int64, frames of the chunk.
    checksum: [N] int64, masked CRC32C of the data.
    person: [N] str.
    video: [N] str, person and video: unique in the data set.
  """

  offset: np.ndarray
  length: np.ndarray
  number: np.ndarray
  num_frames: np.ndarray
  checksum: np.ndarray
  person: np.ndarray
  video: np.ndarray


def build(
  path: str | os.PathLike, *, on_bad_record: str = "error"
) -> tuple[Index, int]:
  """Makes the index of a shard by reading all of it.

  Args:
    path: The shard.
    on_bad_record: "error", or "skip" to leave out what cannot be used.

  Returns:
    The index, and how many records were left out. What lies behind a damaged
    header or a cut cannot be counted: it counts as one.

  Raises:
    BadRecordError: A record cannot be used and `on_bad_record` is "error".
  """
  path = os.fspath(path)
  rows, num_bad, places = [], 0, []
  try:
    for place in tfrecord.scan(path):
      places.append(place)
  except tfrecord.BadRecordError:
    if on_bad_record == "error":
      raise
    num_bad += 1
  reader = tfrecord.Reader([path])
  for number, (offset, length) in enumerate(places):
    try:
      data = reader.read(0, number, offset, length)
      track = _parse(data, path, number, tuple(schema.LABELS))
    except tfrecord.BadRecordError:
      if on_bad_record == "error":
        raise
      num_bad += 1
      continue
    video = f"{track.person}/{track.video}"
    count, checksum = len(track.frames), tfrecord.masked_crc32c(data)
    rows.append((offset, length, number, count, checksum, track.person, video))
  columns = list(zip(*rows)) or [()] * 7
  numbers = [np.array(column, np.int64) for column in columns[:5]]
  texts = [np.array(column, np.str_) for column in columns[5:]]
  return Index(*numbers, *texts), num_bad


def read_track(
  reader: tfrecord.Reader,
  file: int,
  number: int,
  offset: int,
  length: int,
  labels: Iterable[str] = tuple(schema.LABELS),
  maps: Iterable[str] = (),
) -> schema.Track:
  """Reads and parses one record.

  Args:
    reader: Of the files.
    file: As for `tfrecord.Reader.read`, and so the next three.
    number: Number of the record.
    offset: Offset of its data in bytes.
    length: Length of its data in bytes.
    labels: As for `schema.parse`.
    maps: Likewise.

  Returns:
    The track, images still encoded.

  Raises:
    BadRecordError: The record is damaged, or holds no track.
  """
  data = reader.read(file, number, offset, length)
  return _parse(data, reader.paths[file], number, labels, maps)


def _parse(data, path, number, labels, maps=()):
  try:
    return schema.parse(data, labels, maps)
  except errors.InputError as error:
    raise tfrecord.BadRecordError(
      f"{path}: record {number}: {error}"
    ) from error


def write(path: str | os.PathLike) -> None:
  """Makes the index of a complete shard and stores it beside the shard.

  Args:
    path: The shard; the index gets its name plus ".index".

  Raises:
    BadRecordError: A record of the shard cannot be used.
  """
  _store(path, build(path)[0])


def _store(path, index):
  target = os.fspath(path) + SUFFIX
  size = np.int64(os.path.getsize(path))
  arrays = io.BytesIO()
  np.savez(
    arrays, version=np.int64(VERSION), size=size, **dataclasses.asdict(index)
  )
  data = arrays.getvalue()
  # Several hosts may store the same index at once.
  temporary = f"{target}.{secrets.token_hex(4)}.tmp"
  try:
    with open(temporary, "wb") as file:
      file.write(data + _CHECKSUM.pack(tfrecord.masked_crc32c(data)))
    os.replace(temporary, target)
  finally:
    if os.path.exists(temporary):
      os.unlink(temporary)


def load(
  path: str | os.PathLike, *, on_bad_record: str = "error"
) -> tuple[Index, int]:
  """Loads the index of a shard; makes it when it is missing or out of date.

  Args:
    path: The shard.
    on_bad_record: As for `build`.

  Returns:
    As `build`.

  Raises:
    BadRecordError: As `build`, when the index has to be made.
  """
  path = os.fspath(path)
  stored = _load_stored(path)
  if stored is not None:
    return stored, 0
  _log.info("%s: no index that fits; reading the file to make one.", path)
  index, num_bad = build(path, on_bad_record=on_bad_record)
  if not num_bad:
    try:
      _store(path, index)
    except OSError as error:  # Such as a folder that is read-only.
      _log.info("%s%s: not stored (%s).", path, SUFFIX, error.strerror)
  return index, num_bad


def _load_stored(path):
  """Returns the index beside a shard, or None where it is of no use."""
  try:
    with open(path + SUFFIX, "rb") as file:
      stored = file.read()
  except OSError:
    return None
  data, checksum = stored[: -_CHECKSUM.size], stored[-_CHECKSUM.size :]
  # What passes is what `_store` wrote: nothing below can fail.
  if checksum != _CHECKSUM.pack(tfrecord.masked_crc32c(data)):
    return None
  with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
    if arrays["version"] != VERSION or arrays["size"] != os.path.getsize(path):
      return None
    names = [field.name for field in dataclasses.fields(Index)]
    return Index(**{name: arrays[name] for name in names})


def load_all(
  paths: Sequence[str | os.PathLike], *, on_bad_record: str = "error"
) -> tuple[Index, np.ndarray, int]:
  """Loads and joins the indexes of several shards.

  Args:
    paths: The shards.
    on_bad_record: As for `build`.

  Returns:
    The joined index; [N] int64, position in `paths` of each record's file;
    how many records were left out.

  Raises:
    BadRecordError: As `build`.
  """
  loaded = [load(path, on_bad_record=on_bad_record) for path in paths]
  joined = Index(
    *(
      np.concatenate([getattr(index, field.name) for index, _ in loaded])
      for field in dataclasses.fields(Index)
    )
  )
  file = np.repeat(
    np.arange(len(loaded)), [len(index.offset) for index, _ in loaded]
  )
  return joined, file, sum(num_bad for _, num_bad in loaded)
