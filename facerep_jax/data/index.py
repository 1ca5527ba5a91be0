"""The index of a shard: where its records are, and whose track each holds."""

import dataclasses
import logging
import os
import zipfile
from collections.abc import Sequence

import numpy as np

from facerep_jax import errors
from facerep_jax.data import schema, tfrecord

_log = logging.getLogger(__name__)

VERSION = 1
SUFFIX = ".index"


@dataclasses.dataclass
class Index:
  """One row per record.

  Attributes:
    offset: [N] int64, where the data starts in the file, bytes.
    length: [N] int64, bytes of data.
    number: [N] int64, number of the record in its file.
    num_frames: [N] int64, frames of the chunk.
    person: [N] str.
    video: [N] str, person and video: unique in the data set.
  """

  offset: np.ndarray
  length: np.ndarray
  number: np.ndarray
  num_frames: np.ndarray
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
      track = read_track(reader, 0, number, offset, length)
    except tfrecord.BadRecordError:
      if on_bad_record == "error":
        raise
      num_bad += 1
      continue
    video = f"{track.person}/{track.video}"
    rows.append(
      (offset, length, number, len(track.frames), track.person, video)
    )
  columns = list(zip(*rows)) or [()] * 6
  numbers = [np.array(column, np.int64) for column in columns[:4]]
  texts = [np.array(column, np.str_) for column in columns[4:]]
  return Index(*numbers, *texts), num_bad


def read_track(
  reader: tfrecord.Reader, file: int, number: int, offset: int, length: int
) -> schema.Track:
  """Reads and parses one record; arguments as `tfrecord.Reader.read`.

  Returns:
    The track, images still encoded.

  Raises:
    BadRecordError: The record is damaged, or holds no track.
  """
  data = reader.read(file, number, offset, length)
  try:
    return schema.parse(data)
  except errors.InputError as error:
    raise tfrecord.BadRecordError(
      f"{reader.paths[file]}: record {number}: {error}"
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
  with open(target + ".tmp", "wb") as file:
    np.savez(
      file, version=np.int64(VERSION), size=size, **dataclasses.asdict(index)
    )
  os.replace(target + ".tmp", target)


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
  if not num_bad and os.access(os.path.dirname(path) or ".", os.W_OK):
    _store(path, index)
  return index, num_bad


def _load_stored(path):
  try:
    with np.load(path + SUFFIX, allow_pickle=False) as stored:
      if stored["version"] != VERSION:
        return None
      if stored["size"] != os.path.getsize(path):
        return None
      names = [field.name for field in dataclasses.fields(Index)]
      return Index(**{name: stored[name] for name in names})
  except (FileNotFoundError, KeyError, ValueError, zipfile.BadZipFile):
    return None


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
