"""Samples of a run: which track, which frames, which crop.

Sample i is a pure function of (seed, i), so that a run continues from any i,
and hosts share the work in any way.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from facerep_jax import errors, setting_ranges
from facerep_jax.data import transforms, turn_ramp
from facerep_jax.files import decode, images
from facerep_jax.tracks import tfrecord, track_source

# One fixed id per use of randomness; they never change.
_ORDER, _DRAW, _SIDE = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How samples are drawn from the tracks of a split.

  Attributes:
    num_frames: T, frames of a sample.
    size_px: Side of the frames in pixels.
    min_frames: Tracks of fewer frames are left out.
    with_replacement: Whether a frame may come more than once in a sample; if
      not, it does only where a track has fewer than T.
    sample_by: "person" (an epoch is one draw per person: a random video, a
      random chunk of it), "recordings" (likewise, but the frames come from all
      chunks of the person, or as many as there are frames, those of one behind
      each other) or "chunk" (each chunk once).
    seed: Of all randomness.
    is_shuffled: Whether each epoch has a new order.
    is_jittered: Whether crops are drawn at random, or are the middle ones.
    use_mirror: Whether half of the samples are mirrored.
    colour_jitter: Strength of the colour jitter, 0 (none) to 1.
    on_bad_record: "error", or "skip" to draw another record instead.
    resize_on: Where frames are cut and resized: "host", or "device": then a
      sample holds whole frames, and `training.device_frames` does the rest.
    crop: What the network sees of a frame.
    ramp: Which frames are drawn at which step of the training; None for all.
    batch_size: Samples of a step, for the ramp.
    setting: Names a setting in messages.
  """

  num_frames: int
  size_px: int
  min_frames: int = 0
  with_replacement: bool = False
  sample_by: str = "person"
  seed: int = 0
  is_shuffled: bool = True
  is_jittered: bool = True
  use_mirror: bool = False
  colour_jitter: float = 0.0
  on_bad_record: str = "error"
  resize_on: str = "host"
  crop: transforms.Crop = dataclasses.field(default_factory=transforms.Crop)
  ramp: turn_ramp.TurnRamp | None = None
  batch_size: int = 1
  setting: Callable[[str], str] = dataclasses.field(
    default=errors.setting, compare=False, repr=False
  )

  def __post_init__(self):
    for name, allowed in (
      ("sample_by", ("person", "recordings", "chunk")),
      ("on_bad_record", ("error", "skip")),
      ("resize_on", ("host", "device")),
    ):
      if getattr(self, name) not in allowed:
        raise errors.InputError(
          f"{self.setting(f'data.{name}')}: expected one of {allowed}, got "
          f"{getattr(self, name)!r}."
        )
    if self.sample_by == "recordings" and self.ramp:
      raise errors.InputError(
        f'{self.setting("data.sample_by")}="recordings" knows no '
        f"{self.setting('data.turn_ramp')}. Set its first_deg to 0."
      )
    setting_ranges.check_fields(self, "data.", self.setting)


class Samples:
  """Sample i, for i from 0 without end: the random-access view of a run.

  A random-access source, as grain takes them.

  Attributes:
    epoch_size: Samples of one epoch.
  """

  def __init__(self, source: track_source.TrackSource, sampling: Sampling):
    self._source, self._sampling = source, sampling
    keep = np.flatnonzero(
      source.index.num_frames
      >= max(sampling.min_frames, min(2, sampling.num_frames))
    )
    if not len(keep) and sampling.min_frames > 2:
      raise errors.InputError(
        f"{source.paths[0]}: no track has {sampling.min_frames} frames, "
        f"{sampling.setting('data.min_frames')}. Set it lower, or make longer "
        "tracks."
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
      `frames` [T, H, W, 3] uint8 and `record` int64, the record that it, or
      its first frame, came from. With `resize_on="device"` H and W are those of
      the stored frames, and there are `boxes` [T, 7] float32, a
      `transforms.Box` each, and where they are used `is_mirrored` bool and
      `colour` [3] float32, see `transforms.colour_factors`.

    Raises:
      BadRecordError: Its record cannot be used (with "skip": no record can).
      InputError: No track has frames that the ramp allows.
    """
    return {name: rows[0] for name, rows in self.batch([sample]).items()}

  def batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
    """Reads samples into one array each of what they hold.

    Args:
      numbers: Of the samples, from 0.

    Returns:
      As of `__getitem__`, with an axis of samples before the others.

    Raises:
      BadRecordError: As for `__getitem__`.
      InputError: Likewise.
    """
    rows = {
      name: np.empty((len(numbers), *shape), dtype)
      for name, (shape, dtype) in self.spec().items()
    }
    records = [
      self._read(sample, {name: x[row, ...] for name, x in rows.items()})
      for row, sample in enumerate(numbers)
    ]
    return rows | {"record": np.array(records, np.int64)}

  def _read(self, sample, out):
    """Reads a sample into arrays; returns the record that it came from."""
    first = None
    for attempt in range(max(100, 2 * self.epoch_size)):
      records, rng, epoch = self._draw(sample, attempt)
      try:
        if self._load(records, rng, epoch, sample, out):
          return records[0]
      except UnusableError as error:
        if self._sampling.on_bad_record == "error":
          raise error.reason from error
        self._source.note_bad(error.record, error.reason)
        first = first or error.reason
    if first is None:
      setting = self._sampling.setting("data.turn_ramp.first_deg")
      raise errors.InputError(
        f"{self._source.paths[0]}: none of the tracks has frames that turn by "
        f"at most {self._sampling.ramp.first_deg:g} degrees. Raise {setting}, "
        "or set it to 0 for no ramp."
      )
    raise tfrecord.BadRecordError(f"no usable record is left. First: {first}")

  def _draw(self, sample, attempt):
    """Draws the records of a sample; each attempt takes other ones."""
    seed, is_shuffled = self._sampling.seed, self._sampling.is_shuffled
    if not is_shuffled:
      sample, attempt = sample + attempt, 0
    epoch, place = divmod(sample, self.epoch_size)
    key = (seed, _DRAW, sample, attempt) if attempt else (seed, _DRAW, sample)
    rng = _generator(key)
    if attempt:
      # Not the next sample's: that would be in the batch twice.
      place = int(rng.integers(self.epoch_size))
    elif is_shuffled:
      place = _order(seed, epoch, self.epoch_size)[place]
    videos = self._groups[place]
    if self._sampling.sample_by == "recordings":
      order = rng.permutation(np.concatenate(videos))
      return order[: self._sampling.num_frames].tolist(), rng, epoch
    records = videos[rng.integers(len(videos))]
    return [int(records[rng.integers(len(records))])], rng, epoch

  def spec(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns shape and type of what a sample holds for training, by name."""
    sampling = self._sampling
    count, size = sampling.num_frames, sampling.size_px
    if sampling.resize_on == "host":
      return {"frames": ((count, size, size, 3), np.dtype(np.uint8))}
    spec = {
      "frames": ((count, *self._stored_shape), np.dtype(np.uint8)),
      "boxes": ((count, 7), np.dtype(np.float32)),
    }
    if sampling.use_mirror:
      spec["is_mirrored"] = ((), np.dtype(bool))
    if sampling.colour_jitter:
      spec["colour"] = ((3,), np.dtype(np.float32))
    return spec

  @functools.cached_property
  def _stored_shape(self):
    """Height, width and channels of the stored frames, by the first of them."""
    for record in range(len(self._source)):
      try:
        [file] = self._source.read_frames(record, [0])
        return self._decode(file, record, 0).shape
      except tfrecord.BadRecordError as error:
        if self._sampling.on_bad_record == "error":
          raise
        first = error
    raise tfrecord.BadRecordError(f"no usable record is left. Last: {first}")

  def _decode(self, file, record, pick, out=None):
    """Decodes a frame; into an array, if there is one of its size."""
    name = f"{self._source.name(record)}: frame {pick}"
    try:
      return decode.decode(file, name, out)
    except images.ImageError as error:
      raise tfrecord.BadRecordError(str(error)) from error

  def _shares(self, records):
    """Divides the frames of a sample among records, as evenly as it goes."""
    if len(records) == 1:
      return [self._sampling.num_frames]
    ends = np.linspace(0, self._sampling.num_frames, len(records) + 1)
    return np.diff(ends.round().astype(int)).tolist()

  def _pick(self, frames, number, rng):
    """Draws a number of frames from some, or from as many as a number."""
    count = frames if isinstance(frames, int) else len(frames)
    can_repeat = self._sampling.with_replacement or count < number
    return rng.choice(frames, number, replace=can_repeat)

  def _is_mirrored(self, rng):
    return self._sampling.use_mirror and rng.random() < 0.5

  def _cut(self, record, files, picks, squares, out):
    """Decodes frames and cuts a square out of each, into an array."""
    frame_px, size_px = self._sampling.crop.frame_px, self._sampling.size_px
    for file, pick, square, row in zip(files, picks, squares, out):
      image = self._decode(file, record, pick)
      row[...] = transforms.crop_and_resize(image, square, frame_px, size_px)

  def _keep_whole(self, record, files, picks, squares, out, boxes):
    """Decodes frames into an array, and says where their squares are."""
    frame_px = self._sampling.crop.frame_px
    for file, pick, square, row, box in zip(files, picks, squares, out, boxes):
      image = self._decode(file, record, pick, row)
      if image is not row:
        if image.shape != row.shape:
          raise self._other_size(record, pick, image.shape, row.shape)
        row[...] = image
      box[:] = transforms.box(*row.shape[:2], square, frame_px)

  def _other_size(self, record, pick, got, want):
    return errors.InputError(
      f"{self._source.name(record)}: frame {pick}: has {got[1]} x {got[0]} px, "
      f"the first frame {want[1]} x {want[0]} px, but frames are resized on "
      "the device only where all have one size. Set "
      f'{self._sampling.setting("data.resize_on")}="host".'
    )

  def _pick_by_turn(self, labels, count, step, rng):
    """Draws frames that the ramp allows; None if there are too few."""
    ramp, number = self._sampling.ramp, self._sampling.num_frames
    frames = np.flatnonzero(ramp.allowed(labels, count, step, rng))
    if not ramp.frontal_first:
      is_enough = len(frames) >= min(2, number)
      return self._pick(frames, number, rng) if is_enough else None
    frontal = np.flatnonzero(ramp.frontal(labels, count))
    if not len(frontal):
      return None
    first = rng.choice(frontal)
    others = frames[frames != first]
    if number == 1 or not len(others):
      return np.full(number, first)
    can_repeat = self._sampling.with_replacement or len(others) < number - 1
    rest = rng.choice(others, number - 1, replace=can_repeat)
    return np.concatenate([[first], rest])

  def _load(self, records, rng, epoch, sample, out):
    """Reads records for a sample; False if the ramp allows too few frames."""
    frames, stop = out["frames"], 0
    for record, number in zip(records, self._shares(records)):
      part = slice(stop, stop + number)
      stop += number
      try:
        if not self._frames(record, out, part, rng, epoch, sample):
          return False
      except tfrecord.BadRecordError as error:
        raise UnusableError(record, error) from error
    is_mirrored = self._is_mirrored(rng)
    strength = self._sampling.colour_jitter
    if "boxes" in out:
      if "is_mirrored" in out:
        out["is_mirrored"][...] = is_mirrored
      if strength:
        out["colour"][...] = transforms.colour_factors(strength, rng)
      return True
    if is_mirrored:
      frames[...] = transforms.mirror(frames)
    if strength:
      frames[...] = transforms.jitter_colour(frames, strength, rng)
    return True

  def _frames(self, record, out, part, rng, epoch, sample):
    """Draws frames of a record into a part of a sample; False if too few."""
    sampling, frames = self._sampling, out["frames"][part]
    step = sample // sampling.batch_size
    count = int(self._source.index.num_frames[record])
    if sampling.ramp is not None and sampling.ramp.is_on(step):
      track = self._source.read(record, labels=turn_ramp.LABELS)
      picks = self._pick_by_turn(track.labels, count, step, rng)
      if picks is None:
        return False
      files = [track.frames[pick] for pick in picks]
    else:
      picks = self._pick(count, len(frames), rng)
      files = self._source.read_frames(record, picks)
    crop = sampling.crop
    side = _epoch_side(sampling.seed, epoch, crop)
    is_jittered = sampling.is_jittered
    squares = [
      crop.jittered(side, rng) if is_jittered else crop.middle() for _ in picks
    ]
    if "boxes" in out:
      boxes = out["boxes"][part]
      self._keep_whole(record, files, picks, squares, frames, boxes)
    else:
      self._cut(record, files, picks, squares, frames)
    return True


class UnusableError(Exception):
  """Says which record of a sample cannot be used, and why."""

  def __init__(self, record: int, reason: tfrecord.BadRecordError):
    super().__init__(str(reason))
    self.record, self.reason = record, reason


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


def _generator(key):
  """Returns the generator of `default_rng(key)`, sooner for small numbers."""
  if max(key) >= 2**32:
    return np.random.default_rng(key)
  # NumPy takes ten steps to divide each number of a tuple into such words.
  entropy = np.random.SeedSequence(np.array(key, np.uint32))
  return np.random.Generator(np.random.PCG64(entropy))


@functools.lru_cache(maxsize=4)
def _order(seed, epoch, size):
  return np.random.default_rng((seed, _ORDER, epoch)).permutation(size)


@functools.lru_cache(maxsize=4)
def _epoch_side(seed, epoch, crop):
  rng = np.random.default_rng((seed, _SIDE, epoch))
  return int(rng.integers(crop.min_side_px, crop.max_side_px + 1))
