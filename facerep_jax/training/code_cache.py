"""Codes of all training frames, computed once and kept in one file.

A stage whose loss sees frames only through networks that do not learn needs no
frames: their codes, plain and mirrored, are the same in every epoch.
"""

import dataclasses
import functools
import itertools
import logging
import pathlib

import google_crc32c
import grain
import jax
import numpy as np

from facerep_jax import cli, distributed, errors, sharding
from facerep_jax.data import batches, samples, whole_tracks
from facerep_jax.files import atomic, outputs
from facerep_jax.runs import stages
from facerep_jax.systems import base
from facerep_jax.tracks import tfrecord, track_source

_log = logging.getLogger(__name__)
_FORMAT = 2  # Of the file.
_ROWS = 64  # Frames that are encoded at a time, at most.
_BLOCK_BYTES = 2**22


class CodeSamples(samples.Samples):
  """Sample i as `Samples` draws it, with codes in the place of frames.

  Args:
    source: The tracks.
    sampling: As for `Samples`; without jitter and changes of colour, which
      would make new frames.
    codes: [all frames, 2, K] float32, of each frame and of its mirror image,
      record by record; NaN where the record cannot be used.
  """

  def __init__(
    self,
    source: track_source.TrackSource,
    sampling: samples.Sampling,
    codes: np.ndarray,
  ):
    super().__init__(source, sampling)
    counts = source.index.num_frames
    self._start = np.concatenate([[0], np.cumsum(counts)])
    self._codes = codes

  def spec(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns shape and type of what a sample holds for training, by name."""
    shape = (self._sampling.num_frames, self._codes.shape[-1])
    return {"codes": (shape, np.dtype(np.float32))}

  def _load(self, records, rng, epoch, sample, out):
    del epoch, sample  # Only crops that vary, and ramps, depend on these.
    rows = []
    for record, number in zip(records, self._shares(records)):
      start, stop = self._start[record : record + 2]
      if np.isnan(self._codes[start, 0, 0]):
        raise samples.UnusableError(record, self._reason(record))
      rows.append(start + self._pick(int(stop - start), number, rng))
    side = int(self._is_mirrored(rng))
    out["codes"][...] = self._codes[np.concatenate(rows), side]
    return True

  def _reason(self, record):
    return tfrecord.BadRecordError(
      f"{self._source.name(record)}: could not be used when the codes of its "
      "frames were computed. Make the tracks again, or set "
      'config.data.on_bad_record="skip".'
    )


def _check(sampling):
  """Checks that each frame of a run has one code."""
  setting = sampling.setting
  if sampling.ramp:
    raise errors.InputError(
      f"{setting('data.cache_codes')}=True knows no "
      f"{setting('data.turn_ramp')}. Set its first_deg to 0, or do without the "
      "cache."
    )
  if sampling.is_jittered or sampling.colour_jitter:
    raise errors.InputError(
      f"{setting('data.cache_codes')}=True needs frames that are the same in "
      f"every epoch. Set {setting('data.use_jitter')}=False and "
      f"{setting('data.colour_jitter')}=0, or do without the cache."
    )


def make(
  place: pathlib.Path,
  system: base.System,
  frozen: base.PyTree,
  source: track_source.TrackSource,
  sampling: samples.Sampling,
) -> np.ndarray:
  """Encodes every frame of a split, or opens what was encoded before.

  All processes of a run call it together. Each encodes a part of the records,
  to a file of its own; process 0 joins the files.

  Args:
    place: Folder of the run, where `codes.npy` is kept.
    system: One with `encode`.
    frozen: Its frozen parameters.
    source: The tracks.
    sampling: How frames are cut.

  Returns:
    [all frames, 2, K] float32, read from the file as needed; NaN for frames of
    records that cannot be used ("skip").

  Raises:
    InputError: A record, or with "skip" every record, cannot be used; or frames
      change from epoch to epoch.
  """
  _check(sampling)
  path = place / "codes.npy"
  frozen = jax.device_get(frozen)
  key = {
    "format": _FORMAT,
    "source": source.fingerprint(),
    "size_px": sampling.size_px,
    "crop": dataclasses.asdict(sampling.crop),
    "frozen": stages.fingerprint(frozen),
  }
  number, count = jax.process_index(), jax.process_count()
  # What one process does not find, all make together.
  if distributed.any_says("codes", not _is_sound(path, key)):
    write = functools.partial(_write, system, frozen, source, sampling)
    if count == 1:
      _write_alone(path, key, write, source)
    else:
      _write_together(path, key, write, source, number, count)
  if number == 0:
    _remove_parts(path)
  return np.load(path, mmap_mode="r")


def _write_alone(path, key, write, source):
  """Encodes all records."""

  def write_all(temporary):
    write(temporary, range(len(source)))
    _check_usable(_is_usable(temporary), source)

  _keep(path, key, write_all)


def _write_together(path, key, write, source, number, count):
  """Encodes the part of the records that is this process's; joins all parts."""
  parts = [_part(path, key, i, count) for i in range(count)]
  own, its_key = parts[number]
  if not _is_sound(own, its_key):  # A run that was ended may have left it.
    share = shares(source.index.num_frames, count)[number]
    _keep(own, its_key, lambda temporary: write(temporary, share))
  is_usable = distributed.any_says("parts of the codes", _is_usable(own))
  if number == 0 and not is_usable:
    _remove_parts(path)
  _check_usable(is_usable, source)
  if number == 0:
    for part, its_key in parts:
      _await(part, its_key)
    _keep(path, key, lambda temporary: _concatenate(temporary, parts))
  distributed.wait("codes")
  _await(path, key)


def _part(path, key, number, count):
  """Returns the file of a part, and its key."""
  name = f"{path.stem}.part-{number:05d}-of-{count:05d}.npy"
  return path.with_name(name), key | {"part": number, "of": count}


def _remove_parts(path):
  for part in path.parent.glob(f"{path.stem}.part-*"):
    part.unlink(missing_ok=True)


def shares(num_frames: np.ndarray, count: int) -> list[range]:
  """Divides records among processes: blocks of about as many frames.

  Args:
    num_frames: [records] int, frames of each record.
    count: Number of processes.

  Returns:
    The records of each process, in order; none where there are too few.
  """
  before = np.cumsum(num_frames) - num_frames
  ends = [
    int(np.searchsorted(before, total))
    for total in np.sum(num_frames) * np.arange(count + 1) / count
  ]
  ends[-1] = len(num_frames)
  return [range(*x) for x in itertools.pairwise(ends)]


def _concatenate(temporary, parts):
  """Puts the codes of all parts into one file."""
  arrays = [np.load(part, mmap_mode="r") for part, _ in parts]
  shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
  out, stop = _open(temporary, shape), 0
  for array in arrays:
    rows = slice(stop, stop + len(array))
    stop = rows.stop
    out[rows] = array
  out.flush()


def _open(path, shape):
  """Opens a file of codes, with room on the disk."""
  out = np.lib.format.open_memmap(
    path, mode="w+", dtype=np.float32, shape=shape
  )
  outputs.fill(path)
  return out


def _keep(path, key, write):
  """Writes codes and the note that belongs to them."""
  note = path.with_suffix(".json")
  with atomic.whole(path) as temporary:
    write(temporary)
    checksum = _checksum(temporary)
    # Of the file before: it must not stand beside this one.
    note.unlink(missing_ok=True)
  atomic.write_json(note, key | {"crc32c": checksum})


def _await(path, key):
  """Waits until a file that another process wrote is there, undamaged."""
  distributed.until_shown(
    lambda: _is_sound(path, key),
    f"{path}: is not what another process of this run wrote there. Give a "
    "--workdir on a file system that all processes share.",
  )


def _is_usable(path):
  """Says whether some frame of a file has a code."""
  return not np.isnan(np.load(path, mmap_mode="r")[:, 0, 0]).all()


def _check_usable(is_usable, source):
  if not is_usable:
    raise tfrecord.BadRecordError(
      f"{source.paths[0]}: not one of {len(source)} records can be used."
    )


def _is_sound(path, key):
  """Says whether codes are there, for this purpose, and undamaged."""
  note = path.with_suffix(".json")
  if not (path.is_file() and note.is_file()):
    return False
  try:
    known = atomic.read_json(note)
  except errors.InputError as error:
    _log.warning("%s The codes are not used.", error)
    return False
  checksum = known.pop("crc32c", None)
  if known != key:
    return False
  if checksum != _checksum(path):
    _log.warning(
      "%s: is damaged: its checksum is not that of %s. It is not used.",
      path,
      note.name,
    )
    return False
  return True


def _checksum(path):
  """Reads a file from start to end; returns its CRC32C."""
  crc = 0
  with open(path, "rb") as file:
    while block := file.read(_BLOCK_BYTES):
      crc = google_crc32c.extend(crc, block)
  return crc


def _write(system, frozen, source, sampling, path, records):
  """Encodes every frame of some records, behind each other, into a file."""
  counts = source.index.num_frames[records.start : records.stop].tolist()
  _log.info("encoding %d frames and their mirror images, once", sum(counts))
  mesh = sharding.make_mesh(jax.local_devices())
  encode = sharding.jit_on_batch(system.encode, mesh)
  size = sampling.size_px
  frame = jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
  width = jax.eval_shape(system.encode, frozen, frame).shape[-1]
  out, stop = _open(path, (sum(counts), 2, width)), 0
  with cli.Progress(len(records), "chunks", "frames encoded") as progress:
    for count, frames in zip(counts, _all_frames(source, sampling, records)):
      rows = slice(stop, stop + count)
      stop = rows.stop
      progress.advance(1, count)
      out[rows] = (
        np.nan if frames is None else _encode(encode, frozen, frames, mesh)
      )
  out.flush()


def _all_frames(source, sampling, records):
  """Yields the frames of records, [F, S, S, 3] uint8, or None."""
  whole = whole_tracks.WholeTracks(source, sampling)
  # In tuples: grain leaves elements out that are None.
  dataset = grain.MapDataset.range(records.start, records.stop).map(
    lambda i: (whole[i],)
  )
  for (frames,) in dataset.to_iter_dataset(
    grain.ReadOptions(num_threads=batches.cores(), prefetch_buffer_size=16)
  ):
    yield frames


def _encode(encode, frozen, frames, mesh):
  """Returns [F, 2, K], of frames and of their mirror images."""
  both = np.concatenate([frames, frames[:, :, ::-1]])
  codes = sharding.map_rows(encode, frozen, both, _ROWS, mesh)
  return np.stack([codes[: len(frames)], codes[len(frames) :]], axis=1)
