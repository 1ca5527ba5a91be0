"""Codes of all training frames, computed once and kept in one file.

A stage whose loss sees frames only through networks that do not learn needs no
frames: their codes, plain and mirrored, are the same in every epoch.
"""

import dataclasses
import logging
import pathlib

import google_crc32c
import grain
import jax
import numpy as np

from facerep_jax import cli, errors, sharding
from facerep_jax.data import batches, samples
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
  path, note = place / "codes.npy", place / "codes.json"
  frozen = jax.device_get(frozen)
  key = {
    "format": _FORMAT,
    "source": source.fingerprint(),
    "size_px": sampling.size_px,
    "crop": dataclasses.asdict(sampling.crop),
    "frozen": stages.fingerprint(frozen),
  }
  if _is_sound(path, note, key):
    return np.load(path, mmap_mode="r")
  with atomic.whole(path) as temporary:
    _write(temporary, system, frozen, source, sampling)
    checksum = _checksum(temporary)
    # Of the file before: it must not stand beside this one.
    note.unlink(missing_ok=True)
  atomic.write_json(note, key | {"crc32c": checksum})
  return np.load(path, mmap_mode="r")


def _is_sound(path, note, key):
  """Says whether the codes are there, for this purpose, and undamaged."""
  if not (path.is_file() and note.is_file()):
    return False
  try:
    known = atomic.read_json(note)
  except errors.InputError as error:
    _log.warning("%s Encoding again.", error)
    return False
  checksum = known.pop("crc32c", None)
  if known != key:
    return False
  if checksum != _checksum(path):
    _log.warning(
      "%s: is damaged: its checksum is not that of codes.json. Encoding again.",
      path,
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


def _write(path, system, frozen, source, sampling):
  """Encodes every frame of a split into a file."""
  counts = source.index.num_frames.tolist()
  _log.info("encoding %d frames and their mirror images, once", sum(counts))
  mesh = sharding.make_mesh(jax.local_devices())
  encode = sharding.jit_on_batch(system.encode, mesh)
  out, stop, bad = None, 0, []
  with cli.Progress(len(source), "chunks", "frames encoded") as progress:
    for count, frames in zip(counts, _all_frames(source, sampling)):
      rows = slice(stop, stop + count)
      stop = rows.stop
      progress.advance(1, count)
      if frames is None:
        bad.append(rows)
        continue
      codes = _encode(encode, frozen, frames, mesh)
      if out is None:
        shape = (sum(counts), *codes.shape[1:])
        out = np.lib.format.open_memmap(
          path, mode="w+", dtype=np.float32, shape=shape
        )
        outputs.fill(path)
      out[rows] = codes
  if out is None:
    raise tfrecord.BadRecordError(
      f"{source.paths[0]}: not one of {len(source)} records can be used."
    )
  for rows in bad:
    out[rows] = np.nan
  out.flush()


def _all_frames(source, sampling):
  """Yields the frames of each record, [F, S, S, 3] uint8, or None."""
  whole = samples.WholeTracks(source, sampling)
  # In tuples: grain leaves elements out that are None.
  dataset = grain.MapDataset.range(len(whole)).map(lambda i: (whole[i],))
  for (frames,) in dataset.to_iter_dataset(
    grain.ReadOptions(num_threads=batches.cores(), prefetch_buffer_size=16)
  ):
    yield frames


def _encode(encode, frozen, frames, mesh):
  """Returns [F, 2, K], of frames and of their mirror images."""
  both = np.concatenate([frames, frames[:, :, ::-1]])
  codes = sharding.map_rows(encode, frozen, both, _ROWS, mesh)
  return np.stack([codes[: len(frames)], codes[len(frames) :]], axis=1)
