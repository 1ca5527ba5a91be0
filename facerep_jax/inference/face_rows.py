"""Faces with what a table says of each: of videos, photos or tracks."""

import contextlib
import functools
import logging
import math
import os
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from facerep_jax import errors
from facerep_jax.data import (
  listing,
  photos,
  sources,
  unit_report,
  video_faces,
)
from facerep_jax.detection import crop, detect
from facerep_jax.inference import face_folder, read_ahead
from facerep_jax.video import video_file

_log = logging.getLogger(__name__)
# Frames looked at before tracks are made of them: what is known of these is in
# memory, 40 MB with one face a frame. Tracks end there.
MOST_LOOKED = 10_000


class Face(NamedTuple):
  """A face in a frame.

  Attributes:
    file: Number of its file, from 0.
    frame: Number of the frame in the video; 0 of a photo.
    seconds: Time since the first frame; NaN of a photo.
    track: Number of its track in the file, from 0; of a photo, which of its
      faces it is.
    found: Where it is; None where that is unknown.
    image: Its crop, uint8 [H, W, 3].
    origin_px: Left and top of the crop in the picture, px from border to
      border, and pixels of the picture to a pixel of the crop; None where that
      is unknown.
  """

  file: int
  frame: int
  seconds: float
  track: int
  found: photos.Found | None
  image: np.ndarray
  origin_px: tuple[float, float, float] | None = None


class Batch(NamedTuple):
  """Some faces, and what became of files meanwhile.

  Attributes:
    faces: At most as many as were asked for.
    skipped: A line for each file that cannot be used, with the reason.
    damaged: A line for each kind of loss in a file that was used.
    noted: What was assumed of pixels and times, once for each file.
  """

  faces: list[Face]
  skipped: list[str]
  damaged: list[str]
  noted: list[str]


def _empty():
  return Batch([], [], [], [])


class Source(Protocol):
  """Faces that are read when they are asked for, once.

  Attributes:
    place: What the user gave.
    kind: What a file is called: "videos" or "images".
    files: Names of the files, by number; complete after reading.
    num_files: How many there are in all.
    total: What `take_done` adds up to in the end.
    unit: Of `total`.
    together: Pairs of tracks, as (file, track), that are there at the same
      time, and so of different people; complete after reading.
  """

  place: str
  kind: str
  files: list[str]
  num_files: int
  total: int
  unit: str
  together: set[tuple[tuple[int, int], tuple[int, int]]]

  def read(self, size: int) -> Generator[Batch, None, None]:
    """Yields all faces, `size` at a time."""
    ...

  def leave(self) -> None:
    """Ends reading before the next item; for another thread to call."""
    ...

  def take_done(self, *, is_over: bool = False) -> int:
    """Returns how much was done since the last call.

    Reading is ahead of what is done with the faces, so that the last unit
    counts when all is over.
    """
    ...


def of_videos(
  place: str | os.PathLike,
  choice: video_faces.Choice | None = None,
  detector: str | None = None,
) -> Source:
  """Finds the videos of a folder, or takes a single one.

  Args:
    place: A video, or a folder of them; subfolders count.
    choice: Which frames; by default all.
    detector: As `detect.make_detector` takes it.

  Returns:
    All faces of these frames.

  Raises:
    InputError: There is no video, or what reads videos and finds faces is not
      installed.
  """
  place = os.fspath(place)
  root, names = _find_videos(place)
  video_file.default_reader()
  find = detect.make_detector(detector)
  return _Videos(place, root, names, find, choice or video_faces.Choice())


def _find_videos(place):
  """Returns a folder and the videos below it that a path stands for."""
  known = ", ".join(video_file.EXTENSIONS)
  if os.path.isdir(place):
    held = listing.find(place)
    if not held.videos:
      raise errors.InputError(
        f"--videos={place}: holds no video (looked for {known}); "
        f"{listing.say_empty(held.without_images())}."
      )
    if others := held.without_images():
      _log.info("%s: passed over %s", place, listing.say(others))
    return place, sorted(held.videos, key=sources.natural_key)
  if not os.path.exists(place):
    raise errors.InputError(f"--videos={place}: no such file or folder.")
  if not listing.is_video(place):
    raise errors.InputError(
      f"--videos={place}: expected a video ({known}) or a folder."
    )
  return os.path.dirname(place), [os.path.basename(place)]


class _Part(NamedTuple):
  """A part of a video in which faces were looked for, or its end.

  Attributes:
    video: Number of the video.
    followed: The tracks of the part; None at the end of the video.
    report: Of the video; complete at its end.
  """

  video: int
  followed: video_faces.Followed | None
  report: unit_report.Report


class _Videos:
  """The faces of videos; see `Source`.

  Each video is read twice, part by part: one thread looks for the faces of a
  part while another one cuts out those of the part before. Each writes how far
  it is, the first one `_looked_s`, the second one `_cut_s`.
  """

  kind, unit = "videos", "s of video"

  def __init__(self, place, root, names, find, choice):
    self.place, self.files, self.num_files = place, names, len(names)
    self.together = set()
    self._find, self._choice = find, choice
    self._paths = [os.path.join(root, name) for name in names]
    ends = [min(video_file.declared_s(x), choice.stop_s) for x in self._paths]
    self._start_s = np.concatenate([[0.0], np.cumsum(ends)])
    self.total = max(1, math.ceil(self._start_s[-1]))
    self._looked_s = self._cut_s = 0.0
    self._taken, self._is_left = 0, False

  def leave(self):
    self._is_left = True

  def read(self, size):
    batch = _empty()
    with contextlib.closing(self._faces()) as found:
      for one in found:
        if not isinstance(one, Face):
          _add_report(one, batch)
          continue
        batch.faces.append(one)
        if len(batch.faces) == size:
          yield batch
          batch = _empty()
    yield batch

  def _faces(self):
    """Yields the faces of all videos, and at the end of each its report."""
    parts = read_ahead.iterate(self._parts(), 1, on_leave=self.leave)
    frames, count = None, 0
    with contextlib.closing(parts):
      for video, followed, report in parts:
        if followed is None:
          if not (count or report.problem):
            report.problem = f"{report.path}: {_why_none(report)}."
          yield report
          frames, count = None, 0
          continue
        if frames is None:
          frames = iter(video_file.Video(report.path))
        self.together.update(
          ((video, count + a), (video, count + b)) for a, b in followed.together
        )
        for face in _cut(video, count, followed, frames):
          self._cut_s = self._time(video, face.seconds)
          yield face
        count += len(followed.tracks)

  def _parts(self):
    """Yields what is found in each part of each video, and their ends."""
    for video, path in enumerate(self._paths):
      name = self.files[video]
      report = unit_report.Report(self.kind, self.place, "", name, path)
      looked = video_faces.look(
        path,
        self._find,
        self._choice,
        report,
        most=MOST_LOOKED,
        on_time=functools.partial(self._note_looked, video),
      )
      try:
        for part in looked:
          followed = video_faces.follow(part) if part.index else None
          del part  # So that only one is in memory.
          if followed is not None:
            yield _Part(video, followed, report)
      except video_file.UnreadableError as error:
        report.problem = str(error)
      yield _Part(video, None, report)

  def _note_looked(self, video, time_s):
    if self._is_left:
      raise read_ahead.LeftError
    self._looked_s = self._time(video, time_s)

  def _time(self, video, time_s):
    """Returns a time of a video, counted from the start of the first one."""
    start_s, end_s = self._start_s[video : video + 2]
    return min(start_s + time_s, end_s)

  def take_done(self, *, is_over=False):
    done = math.floor((self._looked_s + self._cut_s) / 2)
    done = self.total if is_over else min(done, self.total - 1)
    new, self._taken = done - self._taken, done
    return new


def _add_report(report, batch):
  """Says in a batch what became of a video."""
  if report.problem:
    batch.skipped.append(report.problem)
  for reason, entry in report.skipped.items():
    batch.damaged.append(f"{report.path}: {entry['count']} x {reason}")
  batch.noted.extend(report.notes)


def _why_none(report):
  """Says why there is no face in a video."""
  if not report.num_decoded:
    return "no frame decodes"
  return "no face found" if report.num_kept else "no frame at these times"


def _cut(number, first, followed, frames) -> Iterator[Face]:
  """Yields the faces of tracks, cut out of the frames."""
  for seen in video_faces.read_again(frames, followed.tracks):
    track, row = followed.tracks[seen.track], seen.position
    box_px = track.box_px[row]
    score = float(followed.scores[seen.track][row])
    yield Face(
      number,
      seen.frame.index,
      seen.frame.time_s,
      first + seen.track,
      photos.Found(box_px, score, int(track.detected[row])),
      crop.crop_box(seen.pixels, box_px, photos.FACE_PX),
      origin(box_px, photos.FACE_PX),
    )


def origin(box_px: np.ndarray, size_px: int) -> tuple[float, float, float]:
  """Says where a crop lies in its picture.

  Args:
    box_px: [4] float, of the face.
    size_px: Side of what `crop.crop_box` cuts around it.

  Returns:
    `Face.origin_px`.
  """
  left, top, right, _ = crop.square_box(box_px)
  return float(left), float(top), float(right - left) / size_px


def of_folder(faces: face_folder.FaceFolder) -> Source:
  """Takes faces of the photos of a folder, or the frames of tracks.

  Args:
    faces: Of the folder.

  Returns:
    A file a photo, in which each face is a track; of tracks a file is
    PERSON/VIDEO/TRACK.
  """
  return _Folder(faces)


class _Folder:
  """The faces of photos or tracks; see `Source`."""

  kind = unit = "images"

  def __init__(self, faces):
    self.place, self._faces = faces.folder, faces
    self.files, self.together, self._numbers = [], set(), {}
    self.num_files = self.total = faces.num_images
    self._done, self._taken = 0, 0

  def leave(self):
    pass  # A batch of photos is read in little time.

  def read(self, size):
    batch = _empty()
    for some in self._faces.read(size):
      batch.skipped.extend(some.skipped)
      batch.noted.extend(x for x in some.columns.get(photos.NOTES, ()) if x)
      for face in self._of(some):
        batch.faces.append(face)
        # Photos may have many faces each.
        if len(batch.faces) == size:
          yield batch
          batch = _empty()
      self._done += some.num_photos
    yield batch

  def _of(self, some) -> Iterator[Face]:
    """Yields the faces of some photos, or of frames of tracks."""
    frames = some.columns.get("frame_index")
    times = some.columns.get("time_s")
    for i, path in enumerate(some.paths):
      # The last part of a frame's path is its number.
      name = path if frames is None else path.rpartition("/")[0]
      file = self._number(name)
      frame, seconds = (0, math.nan)
      if frames is not None:
        frame, seconds = frames[i], times[i]
      found, image = some.found[i], some.images[i]
      # A photo without a face is whole.
      place = (0.0, 0.0, 1.0) if frames is None else None
      if found is not None:
        place = origin(found.box_px, len(image))
      track = some.numbers[i] if some.numbers else 0
      self.together.update(((file, x), (file, track)) for x in range(track))
      yield Face(file, frame, seconds, track, found, image, place)

  def _number(self, name):
    """Returns the number of a file."""
    if name not in self._numbers:
      self._numbers[name] = len(self.files)
      self.files.append(name)
    return self._numbers[name]

  def take_done(self, *, is_over=False):
    done = self.total if is_over else min(self._done, self.total - 1)
    new, self._taken = done - self._taken, done
    return new
