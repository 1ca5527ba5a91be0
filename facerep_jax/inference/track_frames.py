"""The stored frames of face tracks, for the command that embeds them."""

import json
import pathlib
from collections.abc import Iterator

import numpy as np

from facerep_jax import errors
from facerep_jax.data import build, photos
from facerep_jax.files import decode, images
from facerep_jax.tracks import schema, track_source

_LABELS = ("time_s", "box_px", "detected")
_COLUMNS = ("split", "frame_index", "time_s", "source_fps")


def are_in(folder: str) -> bool:
  """Says whether a folder holds face tracks rather than photos."""
  return (pathlib.Path(folder) / build.MANIFEST).is_file()


def count(folder: str) -> int:
  """Returns the number of frames that a folder of tracks holds.

  Raises:
    InputError: Its manifest or shards cannot be used.
  """
  return sum(int(s.index.num_frames.sum()) for _, s in _sources(folder))


def read(folder: str, size: int) -> Iterator[photos.Faces]:
  """Reads the frames of all tracks of a folder.

  Args:
    folder: What `make_tracks` wrote.
    size: Frames at a time; of 1 or more.

  Yields:
    `photos.Faces` of each `size` frames, in the order of splits and records.
    Their paths are PERSON/VIDEO/TRACK/FRAME, their columns `split` str,
    `frame_index` int, `time_s` (seconds since the first frame of the video)
    and `source_fps` (frames a second that the video declares); NaN where the
    tracks do not tell.

  Raises:
    InputError: The manifest, a shard or a record cannot be used.
  """
  faces = _empty()
  for split, source in _sources(folder):
    rates = _rates(folder)
    for record in range(len(source)):
      track = source.read(record, _LABELS)
      name = source.name(record)
      for row in _rows(track, split, rates):
        _add(faces, row, name)
        if len(faces.paths) + len(faces.skipped) == size:
          yield faces
          faces = _empty()
  if faces.paths or faces.skipped:
    yield faces


def _empty():
  return photos.Faces([], [], [], [], {name: [] for name in _COLUMNS}, [])


def _sources(folder):
  splits = _manifest(folder).get("splits")
  if not splits:
    raise errors.InputError(
      f"{folder}: its {build.MANIFEST} names no splits; make the tracks again."
    )
  for split in splits:
    yield split, track_source.TrackSource(folder, split)


def _manifest(folder):
  path = pathlib.Path(folder) / build.MANIFEST
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise errors.InputError(
      f"{path}: not a manifest of face tracks ({error})."
    ) from error


def _rates(folder):
  """Returns frames a second by person and video."""
  return {
    (report["person"], report["name"]): report["source_fps"]
    for report in _manifest(folder).get("videos", ())
    if report.get("source_fps")
  }


def _rows(track: schema.Track, split, rates):
  times = track.labels.get("time_s", np.full(len(track.frames), np.nan))
  rate = rates.get((track.person, track.video), np.nan)
  place = f"{track.person}/{track.video}/{track.track}"
  for i, (data, number) in enumerate(zip(track.frames, track.frame_index)):
    values = split, int(number), float(times[i]), rate
    yield f"{place}/{number}", data, values, _found(track.labels, i)


def _found(labels, i):
  """Says where the face of a frame was in its video, where that is kept."""
  if "box_px" not in labels:
    return None
  detected = int(labels["detected"][i]) if "detected" in labels else -1
  return photos.Found(labels["box_px"][i], detected=detected)


def _add(faces, row, record):
  path, data, values, found = row
  try:
    pixels = decode.decode(data, f"{record}, {path}")
  except images.ImageError as error:
    faces.skipped.append(str(error))
    return
  faces.paths.append(path)
  faces.images.append(pixels)
  faces.kinds.append("none")
  faces.found.append(found)
  for name, value in zip(_COLUMNS, values):
    faces.columns[name].append(value)
