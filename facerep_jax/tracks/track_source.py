"""The tracks of one split of a data set: random access to its records."""

import hashlib
import logging
import os
import pathlib
import threading
from collections.abc import Iterable

import google_crc32c
import numpy as np

from facerep_jax import errors
from facerep_jax.tracks import contents, index, schema, tfrecord

_log = logging.getLogger(__name__)
_VERSION = "2-"  # Of the fingerprint.
# Frames whose places are kept: 12 bytes each, and some for each record.
_MOST_PLACES = 2**21


class TrackSource:
  """Random access to the tracks of one split.

  Attributes:
    paths: The shards.
    index: One row per record.
    file: [N] int64, position in `paths` of each record's file.
  """

  def __init__(
    self,
    directory: str | os.PathLike,
    split: str,
    *,
    on_bad_record: str = "error",
  ):
    self.paths = shard_paths(directory, split)
    shards, num_bad = index.load_all(self.paths, on_bad_record=on_bad_record)
    self.index, self.file = index.join(shards)
    num_lost = _compare(directory, split, self.paths, shards, on_bad_record)
    self._num_missing = max(num_bad, num_lost)
    if not len(self.index.offset):
      raise errors.InputError(
        f"{directory}: split {split!r} holds no usable track. Make the tracks "
        "again with more people or another --split."
      )
    self._reader = tfrecord.Reader(self.paths)
    self._bad = set()
    self._lock = threading.Lock()
    self._places, self._num_places = {}, 0

  def __len__(self):
    return len(self.index.offset)

  def read(
    self,
    record: int,
    labels: Iterable[str] = tuple(schema.LABELS),
    maps: Iterable[str] = (),
  ) -> schema.Track:
    """Reads one track; raises `BadRecordError` if it cannot be used.

    Args:
      record: Number of the record.
      labels: Names of `schema.LABELS` that are wanted.
      maps: Names of `schema.MAPS` that are wanted.

    Returns:
      The track, images still encoded; of the wanted labels and maps, those
      that it holds.
    """
    return self._parse(self._read(record), record, labels, maps)

  def read_frames(self, record: int, picks: Iterable[int]) -> list[bytes]:
    """Reads some frames of a track, and no more of it than it must.

    The first time, the record is read and checked as `read` does. Where its
    frames lie and their checksums are kept, and after that only the frames that
    are wanted are read and checked.

    Args:
      record: Number of the record.
      picks: Numbers of frames in it.

    Returns:
      The images of these, encoded.

    Raises:
      BadRecordError: It cannot be used.
      InputError: The file cannot be read.
    """
    known = self._places.get(record)
    if known is not None:
      picked = known[picks].tolist()
      start = int(self.index.offset[record])
      parts = self._reader.read_parts(
        int(self.file[record]),
        int(self.index.number[record]),
        [(start + offset, length) for offset, length, _ in picked],
      )
      checksums = [google_crc32c.value(part) for part in parts]
      if checksums == [checksum for _, _, checksum in picked]:
        return parts
    # What has changed since then gets the messages of a whole record.
    data = self._read(record)
    places = schema.frame_places(data)
    if places is None:
      frames = self._parse(data, record, (), ()).frames
      return [frames[pick] for pick in picks]
    frames = [data[start : start + length] for start, length in places]
    if self._num_places < _MOST_PLACES:
      known = [(*x, google_crc32c.value(y)) for x, y in zip(places, frames)]
      with self._lock:
        self._num_places += len(known) * (record not in self._places)
        self._places[record] = np.array(known, np.uint32)
    return [frames[pick] for pick in picks]

  def _read(self, record):
    """Reads the bytes of a record, and checks them."""
    return self._reader.read(
      int(self.file[record]),
      int(self.index.number[record]),
      int(self.index.offset[record]),
      int(self.index.length[record]),
      int(self.index.checksum[record]),
    )

  def _parse(self, data, record, labels, maps):
    path, number = self.paths[self.file[record]], self.index.number[record]
    return schema.parse_record(data, path, int(number), labels, maps)

  def name(self, record: int) -> str:
    """Names a record for messages: file and number."""
    path = self.paths[self.file[record]]
    return f"{path}: record {self.index.number[record]}"

  def note_bad(self, record: int, error: errors.InputError) -> None:
    """Counts a record that was skipped, once, and logs it."""
    with self._lock:
      if record in self._bad:
        return
      self._bad.add(record)
    _log.warning("skipped: %s", error)

  @property
  def num_bad(self) -> int:
    """How many records could not be used so far."""
    return self._num_missing + len(self._bad)

  def fingerprint(self) -> str:
    """Hashes what decides the samples: shards, records, and whose they are."""
    digest = self._records_digest()
    for column in (self.index.num_frames, self.index.number):
      digest.update(np.ascontiguousarray(column).tobytes())
    for name in (*self.index.person.tolist(), *self.index.video.tolist()):
      digest.update(f"{len(name)} {name}".encode())
    return _VERSION + digest.hexdigest()[:16]

  def is_of(self, fingerprint: str) -> bool:
    """Says whether a fingerprint that was saved is that of these tracks."""
    if fingerprint.startswith(_VERSION):
      return fingerprint == self.fingerprint()
    # Runs of before names counted.
    return fingerprint == self._records_digest().hexdigest()[:16]

  def _records_digest(self):
    digest = hashlib.sha256()
    for path in self.paths:
      digest.update(os.path.basename(path).encode())
    for column in (self.index.offset, self.index.checksum):
      digest.update(np.ascontiguousarray(column).tobytes())
    return digest


def _compare(directory, split, paths, shards, on_bad_record):
  """Compares a split with its manifest; returns how many records it lacks."""
  known = contents.read_manifest(directory).get("splits", {}).get(split, {})
  differing = contents.differences(known, paths, shards)
  if not differing:
    return 0
  text = f"{directory}: split {split!r}: {'; '.join(differing)}"
  if on_bad_record == "error":
    raise errors.InputError(
      f"{text}. Make or copy the tracks again, or set "
      'config.data.on_bad_record="skip".'
    )
  _log.warning("%s: what is left is used.", text)
  # One that is there twice stands for none that is gone.
  there = {x for rows in shards for x in zip(rows.checksum, rows.length)}
  return max(0, int(known.get("records", 0)) - len(there))


def shard_paths(directory: str | os.PathLike, split: str) -> list[str]:
  """Lists the shards of a split.

  Args:
    directory: What `make_tracks` wrote.
    split: "train", "validation" or "test".

  Returns:
    Paths in order.

  Raises:
    InputError: The folder is missing, incomplete, lacks a shard, or holds
      shards of several data sets.
  """
  directory = pathlib.Path(directory)
  manifest = directory / "manifest.json"
  if not manifest.is_file():
    state = "is incomplete" if directory.is_dir() else "does not exist"
    raise errors.InputError(
      f"{directory}: expected a folder of face tracks, but it {state} (no "
      "manifest.json). Make it with: python -m facerep_jax.make_tracks "
      f"--source=PATH --output={directory}"
    )
  shards = sorted(directory.glob(f"*-{split}.tfrecord-?????-of-?????"))
  if not shards:
    raise errors.InputError(
      f"{directory}: holds no split {split!r}. Make the tracks again with "
      "more people or another --split."
    )
  stem, _, total = shards[0].name.rpartition("-of-")
  for number in range(int(total)):
    name = f"{stem[:-5]}{number:05d}-of-{total}"
    if not (directory / name).is_file():
      raise errors.InputError(
        f"{directory / name}: this shard of split {split!r} is missing. Make "
        "or copy the tracks again."
      )
  if len(shards) != int(total):
    raise errors.InputError(
      f"{directory}: {len(shards)} shards of split {split!r}, but "
      f"{shards[0].name} is one of {int(total)}: they belong to several data "
      "sets. Make the tracks again in an empty folder."
    )
  return [str(shard) for shard in shards]
