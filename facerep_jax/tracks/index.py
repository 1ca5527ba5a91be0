"""The index of a shard: where its records are, and whose track each holds."""

import dataclasses
import io
import logging
import os
import struct
from collections.abc import Sequence

import numpy as np

from facerep_jax.files import atomic
from facerep_jax.tracks import schema, tfrecord

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
      track = schema.parse_record(data, path, number)
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


def write(path: str | os.PathLike) -> Index:
  """Makes the index of a complete shard and stores it beside the shard.

  Args:
    path: The shard; the index gets its name plus ".index".

  Returns:
    The index.

  Raises:
    BadRecordError: A record of the shard cannot be used.
  """
  made, _ = build(path)
  _store(path, made)
  return made


def _store(path, index):
  target = os.fspath(path) + SUFFIX
  size = np.int64(os.path.getsize(path))
  arrays = io.BytesIO()
  np.savez(
    arrays, version=np.int64(VERSION), size=size, **dataclasses.asdict(index)
  )
  data = arrays.getvalue()
  # Several hosts may store the same index at once.
  with atomic.whole(target) as temporary:
    temporary.write_bytes(data + _CHECKSUM.pack(tfrecord.masked_crc32c(data)))


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
) -> tuple[list[Index], int]:
  """Loads the indexes of several shards.

  Args:
    paths: The shards.
    on_bad_record: As for `build`.

  Returns:
    An index a shard; how many records were left out.

  Raises:
    BadRecordError: As `build`.
  """
  loaded = [load(path, on_bad_record=on_bad_record) for path in paths]
  return [rows for rows, _ in loaded], sum(num_bad for _, num_bad in loaded)


def join(shards: Sequence[Index]) -> tuple[Index, np.ndarray]:
  """Joins the indexes of several shards.

  Args:
    shards: An index a shard.

  Returns:
    The joined index; [N] int64, position in `shards` of each record.
  """
  joined = Index(
    *(
      np.concatenate([getattr(rows, field.name) for rows in shards])
      for field in dataclasses.fields(Index)
    )
  )
  counts = [len(rows.offset) for rows in shards]
  return joined, np.repeat(np.arange(len(shards)), counts)
