"""The frames of which a first look makes its measurements."""

from typing import NamedTuple

import numpy as np

from facerep_jax.files import decode, images
from facerep_jax.tracks import schema, tfrecord, track_source

# Enough for a first look; it should not take long beside the training.
_MAX_CHUNKS = 160
_FRAMES_PER_CHUNK = 8
_MAX_PEOPLE = 60
_FRAMES_PER_RECORDING = 4


class Frames(NamedTuple):
  """Frames of a split.

  Attributes:
    images: N times [H, W, 3] uint8.
    yaw_rad: [N] float64, NaN where the frame has no such label.
    person: [N] str.
    name: N names, each of one frame.
  """

  images: list[np.ndarray]
  yaw_rad: np.ndarray
  person: np.ndarray
  name: list[str]

  @property
  def is_labelled(self) -> np.ndarray:
    """Which have a yaw, [N] bool."""
    return np.isfinite(self.yaw_rad)

  def labelled(self) -> "Frames":
    """Returns those that have a yaw."""
    rows = np.flatnonzero(self.is_labelled)
    return Frames(
      [self.images[i] for i in rows],
      self.yaw_rad[rows],
      self.person[rows],
      [self.name[i] for i in rows],
    )


class Recording(NamedTuple):
  """What is seen of a person at one time.

  Attributes:
    images: A few frames, each [H, W, 3] uint8.
    frontal: The frame that is most frontal by its labels, the middle one
      without, likewise.
  """

  images: list[np.ndarray]
  frontal: np.ndarray


def spread(
  data_path: str, split: str, *, on_bad_record: str = "error"
) -> Frames:
  """Reads a few frames of chunks that are spread over a split.

  Args:
    data_path: Face tracks.
    split: Which part.
    on_bad_record: "error", or "skip" to leave out what cannot be used.

  Returns:
    The frames.

  Raises:
    InputError: The split is missing, or a record cannot be used.
  """
  source = track_source.TrackSource(
    data_path, split, on_bad_record=on_bad_record
  )
  rows = []
  for record in _spread(len(source), _MAX_CHUNKS):
    rows += _read(source, record, on_bad_record, _rows) or []
  columns = list(zip(*rows)) or [()] * 4
  return Frames(
    list(columns[0]),
    np.array(columns[1], np.float64),
    np.array(columns[2], np.str_),
    list(columns[3]),
  )


def recordings(
  data_path: str, split: str, *, on_bad_record: str = "error"
) -> dict[str, tuple[Recording, Recording]]:
  """Reads two recordings of each of some people.

  A recording is a track. Of a person's chunks the first and the last are taken,
  in order of their videos: they are of two videos where there are two.

  Args:
    data_path: Face tracks.
    split: Which part.
    on_bad_record: "error", or "skip" to leave out what cannot be used.

  Returns:
    By person, of those among 60 whose chunks are of two tracks.

  Raises:
    InputError: The split is missing, or a record cannot be used.
  """
  source = track_source.TrackSource(
    data_path, split, on_bad_record=on_bad_record
  )
  people, counts = np.unique(source.index.person, return_counts=True)
  people = people[counts > 1]
  found = {}
  for i in _spread(len(people), _MAX_PEOPLE):
    records = np.flatnonzero(source.index.person == people[i])
    ordered = records[np.argsort(source.index.video[records], kind="stable")]
    ends = [
      _read(source, record, on_bad_record, _recording)
      for record in (ordered[0], ordered[-1])
    ]
    # None where a record was skipped.
    if None not in ends and ends[0][0] != ends[1][0]:
      found[str(people[i])] = ends[0][1], ends[1][1]
  return found


def _spread(count, most):
  """Returns numbers of things, evenly spread, at most so many."""
  return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def _read(source, record, on_bad_record, take):
  """Applies `take` to a track; None where the track was skipped."""
  try:
    return take(source.read(record))
  except (tfrecord.BadRecordError, images.ImageError) as error:
    if on_bad_record == "error":
      raise
    source.note_bad(record, error)
    return None


def _rows(track):
  """Returns image, yaw, person and name of some frames."""
  yaw = track.labels.get("yaw_rad", np.full(len(track.frames), np.nan))
  return [
    (_decode(track, t), float(yaw[t]), track.person, _name(track, t))
    for t in _spread(len(track.frames), _FRAMES_PER_CHUNK)
  ]


def _recording(track):
  """Returns what tells a recording from others, and the recording."""
  chosen = _spread(len(track.frames), _FRAMES_PER_RECORDING)
  frames = [_decode(track, t) for t in chosen]
  frontal = _decode(track, _most_frontal(track))
  return (track.video, track.track), Recording(frames, frontal)


def _most_frontal(track: schema.Track) -> int:
  angles = [
    track.labels[name]
    for name in ("yaw_rad", "pitch_rad")
    if name in track.labels
  ]
  if not angles:
    return len(track.frames) // 2
  return int(np.argmin(np.square(angles).sum(axis=0)))


def _decode(track, t):
  return decode.decode(track.frames[t], _name(track, t))


def _name(track, t):
  return f"{track.person}-{track.video}-{track.track}-{t:03d}"
