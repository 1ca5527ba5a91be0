"""Batches of frames from face tracks: the input pipeline.

Sample i of a run is a pure function of (seed, i): which track, which frames,
which crop. Hosts take their rows of each global batch, so the same batches come
whatever the number of hosts, and a run continues from any i.
"""

import dataclasses
import functools
import hashlib
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grain
import numpy as np

from facerep_jax import errors
from facerep_jax.data import images, index, schema, tfrecord, transforms

try:
  import simplejpeg  # Optional: the same pixels sooner.
except ModuleNotFoundError:
  simplejpeg = None

_log = logging.getLogger(__name__)

# One fixed id per use of randomness; they never change.
_ORDER, _DRAW, _SIDE = 0, 1, 2
# In a JPEG that holds neither, the pixels are upright as they are.
_ORIENTATION_MARKS = (b"Exif\0", b"tiff:Orientation")


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How samples are drawn from the tracks of a split.

  Attributes:
    num_frames: T, frames of a sample.
    size_px: Side of the frames in pixels.
    sample_by: "person" (an epoch is one draw per person: a random video, a
      random chunk of it) or "chunk" (each chunk once).
    seed: Of all randomness.
    is_shuffled: Whether each epoch has a new order.
    is_jittered: Whether crops are drawn at random, or are the middle ones.
    use_mirror: Whether half of the samples are mirrored.
    colour: Strength of the colour jitter, 0 (none) to 1.
    on_bad_record: "error", or "skip" to take the next sample instead.
    crop: What the network sees of a frame.
  """

  num_frames: int
  size_px: int
  sample_by: str = "person"
  seed: int = 0
  is_shuffled: bool = True
  is_jittered: bool = True
  use_mirror: bool = False
  colour: float = 0.0
  on_bad_record: str = "error"
  crop: transforms.Crop = dataclasses.field(default_factory=transforms.Crop)

  def __post_init__(self):
    for name, allowed in (
      ("sample_by", ("person", "chunk")),
      ("on_bad_record", ("error", "skip")),
    ):
      if getattr(self, name) not in allowed:
        raise errors.InputError(
          f"config.data.{name}: expected one of {allowed}, got "
          f"{getattr(self, name)!r}."
        )
    if not 0 <= self.colour <= 1:
      raise errors.InputError(
        f"config.data.colour: expected 0 to 1, got {self.colour}."
      )


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
    self.index, self.file, self._num_missing = index.load_all(
      self.paths, on_bad_record=on_bad_record
    )
    if not len(self.index.offset):
      raise errors.InputError(
        f"{directory}: split {split!r} holds no usable track. Make the tracks "
        "again with more people or another --split."
      )
    self._reader = tfrecord.Reader(self.paths)
    self._bad = set()
    self._lock = threading.Lock()

  def __len__(self):
    return len(self.index.offset)

  def read(
    self, record: int, labels: Iterable[str] = tuple(schema.LABELS)
  ) -> schema.Track:
    """Reads one track; raises `BadRecordError` if it cannot be used."""
    return index.read_track(
      self._reader,
      int(self.file[record]),
      int(self.index.number[record]),
      int(self.index.offset[record]),
      int(self.index.length[record]),
      labels,
    )

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
    """Hashes what decides the samples: the shards and their records."""
    digest = hashlib.sha256()
    for path in self.paths:
      digest.update(os.path.basename(path).encode())
    for column in (self.index.offset, self.index.checksum):
      digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


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


class Samples:
  """Sample i, for i from 0 without end: the random-access view of a run.

  A grain data source.

  Attributes:
    epoch_size: Samples of one epoch.
  """

  def __init__(self, source: TrackSource, sampling: Sampling):
    self._source, self._sampling = source, sampling
    keep = np.flatnonzero(
      source.index.num_frames >= min(2, sampling.num_frames)
    )
    if not len(keep):
      raise errors.InputError(
        f"{source.paths[0]}: every track has a single frame, but a sample "
        f"needs {sampling.num_frames} of one track. Use videos or folders of "
        "frames as the source."
      )
    self._groups = _group(source.index, keep, sampling.sample_by)
    self.epoch_size = len(self._groups)

  def __len__(self):
    return np.iinfo(np.int64).max // 2

  def __getitem__(self, sample: int) -> dict[str, np.ndarray]:
    """Reads a sample.

    Args:
      sample: Number of the sample, from 0.

    Returns:
      `frames` [T, H, W, 3] uint8 and `record` int64, the record it came from.

    Raises:
      BadRecordError: Its record cannot be used (with "skip": no record can).
    """
    first = None
    for attempt in range(max(100, 2 * self.epoch_size)):
      record, rng, epoch = self._draw(sample + attempt)
      try:
        return self._load(record, rng, epoch)
      except tfrecord.BadRecordError as error:
        if self._sampling.on_bad_record == "error":
          raise
        self._source.note_bad(record, error)
        first = first or error
    raise tfrecord.BadRecordError(f"no usable record is left. First: {first}")

  def _draw(self, sample):
    seed = self._sampling.seed
    epoch, place = divmod(sample, self.epoch_size)
    if self._sampling.is_shuffled:
      place = _order(seed, epoch, self.epoch_size)[place]
    rng = np.random.default_rng((seed, _DRAW, sample))
    videos = self._groups[place]
    records = videos[rng.integers(len(videos))]
    return int(records[rng.integers(len(records))]), rng, epoch

  def _load(self, record, rng, epoch):
    sampling = self._sampling
    track = self._source.read(record, labels=())
    count = len(track.frames)
    picks = rng.choice(
      count, sampling.num_frames, replace=count < sampling.num_frames
    )
    crop, frames = sampling.crop, []
    side = _epoch_side(sampling.seed, epoch, crop)
    for pick in picks:
      name = f"{self._source.name(record)}: frame {pick}"
      try:
        image = _decode(track.frames[pick], name)
      except images.ImageError as error:
        raise tfrecord.BadRecordError(str(error)) from error
      if sampling.is_jittered:
        square = crop.jittered(side, rng)
      else:
        square = crop.middle()
      frames.append(
        transforms.crop_and_resize(
          image, square, crop.frame_px, sampling.size_px
        )
      )
    frames = np.stack(frames)
    if sampling.use_mirror and rng.random() < 0.5:
      frames = transforms.mirror(frames)
    if sampling.colour:
      frames = transforms.jitter_colour(frames, sampling.colour, rng)
    return {"frames": frames, "record": np.int64(record)}


def _group(rows, keep, sample_by):
  """Groups records as [draw][video][chunk]."""
  if sample_by == "chunk":
    return [[[record]] for record in keep]
  people = {}
  for record in keep:
    videos = people.setdefault(rows.person[record], {})
    videos.setdefault(rows.video[record], []).append(record)
  return [
    [np.array(videos[name]) for name in sorted(videos)]
    for _, videos in sorted(people.items())
  ]


def _decode(data, name):
  """Decodes a frame; to the same pixels with and without simplejpeg."""
  pixels = _decode_plain_jpeg(data)
  return images.decode(data, name).pixels if pixels is None else pixels


def _decode_plain_jpeg(data):
  """Returns the pixels of an upright RGB JPEG; None for all that is unusual."""
  is_jpeg = simplejpeg is not None and data.startswith(b"\xff\xd8")
  if not is_jpeg or any(mark in data for mark in _ORIENTATION_MARKS):
    return None
  try:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    is_small = min(height, width) < images.MIN_SIDE_PX
    if colours != "YCbCr" or is_small or height * width > images.MAX_PIXELS:
      return None
    return simplejpeg.decode_jpeg(data)
  except ValueError:  # Damaged; Pillow reads some of that, or says why not.
    return None


@functools.lru_cache(maxsize=4)
def _order(seed, epoch, size):
  return np.random.default_rng((seed, _ORDER, epoch)).permutation(size)


@functools.lru_cache(maxsize=4)
def _epoch_side(seed, epoch, crop):
  rng = np.random.default_rng((seed, _SIDE, epoch))
  return int(rng.integers(crop.min_side_px, crop.max_side_px + 1))


def train_batches(
  samples: Samples,
  *,
  batch_size: int,
  start: int = 0,
  host: int = 0,
  num_hosts: int = 1,
  num_threads: int = 2,
  prefetch: int = 2,
  num_batches: int | None = None,
  finish: Callable[[dict[str, np.ndarray]], Any] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Reads this host's rows of the global batches.

  Args:
    samples: What to read.
    batch_size: Rows of a global batch.
    start: Sample with which to begin: those consumed before.
    host: Number of this host.
    num_hosts: Number of hosts; divides `batch_size`.
    num_threads: Threads that read and decode.
    prefetch: Batches that are read ahead.
    num_batches: How many to read; None for no end.
    finish: Applied to each batch by the threads that read, such as what sends
      it to the devices.

  Returns:
    Iterator over batches, or what `finish` makes of them: `frames`
    [batch_size / num_hosts, T, H, W, 3] uint8 and `record`
    [batch_size / num_hosts] int64.

  Raises:
    InputError: `num_hosts` does not divide `batch_size`.
  """
  if batch_size % num_hosts:
    raise errors.InputError(
      f"config.batch_size={batch_size} does not divide among {num_hosts} "
      "hosts. Choose a multiple."
    )
  rows = batch_size // num_hosts

  def global_sample(local):
    batch, row = divmod(local, rows)
    return samples[start + batch * batch_size + host * rows + row]

  total = len(samples) if num_batches is None else num_batches * rows
  # All is done by the threads that read: the consumer only takes what is ready.
  dataset = grain.MapDataset.range(total).map(global_sample).batch(rows)
  if finish is not None:
    dataset = dataset.map(finish)
  read = grain.ReadOptions(
    num_threads=num_threads, prefetch_buffer_size=prefetch
  )
  return iter(dataset.to_iter_dataset(read))


def eval_batches(
  samples: Samples,
  *,
  batch_size: int,
  num_samples: int,
  host: int = 0,
  num_hosts: int = 1,
  num_threads: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
  """Reads samples 0 to `num_samples` once; the last batch is padded.

  Args:
    samples: What to read.
    batch_size: Rows of a global batch.
    num_samples: How many samples count.
    host: Number of this host.
    num_hosts: Number of hosts; divides `batch_size`.
    num_threads: Threads that read and decode.

  Yields:
    Batches as `train_batches`, with `weight` [rows] float32: 1, and 0 in rows
    that only fill the last batch.
  """
  batches = train_batches(
    samples,
    batch_size=batch_size,
    host=host,
    num_hosts=num_hosts,
    num_threads=num_threads,
    num_batches=-(-num_samples // batch_size),
  )
  rows = batch_size // num_hosts
  for number, batch in enumerate(batches):
    place = number * batch_size + host * rows + np.arange(rows)
    yield batch | {"weight": (place < num_samples).astype(np.float32)}
