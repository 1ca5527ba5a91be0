"""The faces of a video: found, followed, and read again to be cut out."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from facerep_jax.data import track_people, unit_report
from facerep_jax.detection import detect, face_look, face_tracker
from facerep_jax.video import video_file

# Faces are looked for at least this often, however few frames are kept: links
# between frames need the face to have moved by less than its size.
MIN_DETECT_FPS = 5.0
_EPSILON_S = 1e-4  # Time stamps are rounded to the time base of the file.


@dataclasses.dataclass(frozen=True)
class Choice:
  """Which frames of a video are kept.

  Attributes:
    fps: At most so many a second; None for no limit.
    every: One of so many frames, counted from the start of the video.
    start_s: From this time on, seconds since the first frame.
    stop_s: Before this time.
  """

  fps: float | None = None
  every: int = 1
  start_s: float = 0.0
  stop_s: float = math.inf

  def pick(self) -> Callable[[video_file.Frame], tuple[bool, bool]]:
    """Makes what tells of each frame whether it is kept, and looked at.

    It is to be called once for each frame from `start_s` on, in order.
    """
    if self.fps is None:
      look = video_file.Clock(MIN_DETECT_FPS)
      return lambda frame: (
        frame.index % self.every == 0,
        look.is_due(frame.time_s),
      )
    often = math.ceil(MIN_DETECT_FPS / self.fps)
    keep = video_file.Clock(self.fps)
    look = video_file.Clock(self.fps * often)
    return lambda frame: (
      keep.is_due(frame.time_s),
      look.is_due(frame.time_s),
    )

  def is_before(self, time_s: float) -> bool:
    """Tells whether a time lies before the first one that counts."""
    return time_s < self.start_s - _EPSILON_S

  def is_behind(self, time_s: float) -> bool:
    """Tells whether a time lies behind the last one that counts."""
    return time_s >= self.stop_s - _EPSILON_S


@dataclasses.dataclass
class Looked:
  """The frames of a video, or of a part of it, in which faces were looked for.

  Attributes:
    index: Number of each frame in the video.
    times_s: Its time.
    is_kept: Whether it is one of those that are asked for.
    faces: Its faces, as detectors return them.
    looks: What they look like.
    changes: `frame_change` of every decoded frame but the first.
    first: Number of the first decoded frame.
  """

  index: list[int] = dataclasses.field(default_factory=list)
  times_s: list[float] = dataclasses.field(default_factory=list)
  is_kept: list[bool] = dataclasses.field(default_factory=list)
  faces: list[np.ndarray] = dataclasses.field(default_factory=list)
  looks: face_look.Looks = dataclasses.field(default_factory=face_look.Looks)
  changes: list[np.ndarray] = dataclasses.field(default_factory=list)
  first: int = 0

  def cuts(self) -> np.ndarray:
    """Returns [N] bool, true where a cut lies before a frame looked at."""
    changes = face_tracker.find_cuts(np.array(self.changes))
    cuts = self.first + 1 + np.flatnonzero(changes)
    before = np.searchsorted(cuts, self.index, side="right")
    return np.diff(before, prepend=0) > 0


def look(
  path: str,
  find: detect.Detector,
  choice: Choice,
  report: unit_report.Report,
  *,
  most: float = math.inf,
  on_time: Callable[[float], None] = lambda time_s: None,
) -> Iterator[Looked]:
  """Reads a video once, finding faces and changes of scene.

  Args:
    path: Of the video.
    find: Finds the faces of a frame.
    choice: Which frames are kept.
    report: Filled in; complete after iterating.
    most: Frames looked at a part, for memory: each takes some 4 KiB, and more
      for each of its faces.
    on_time: Called with the time of each decoded frame, seconds.

  Yields:
    What was seen in each part of the video; one for all of it where it has no
    more than `most` frames to look at, empty where nothing decodes.

  Raises:
    UnreadableError: As `video_file.Video`.
  """
  pick, looked, before = choice.pick(), Looked(), None
  last_s, longest_s = 0.0, 0.0
  opened = video_file.Video(path)
  for frame in opened:
    if choice.is_behind(frame.time_s):
      break
    report.num_decoded += 1
    longest_s = max(longest_s, frame.time_s - last_s)
    last_s = frame.time_s
    on_time(last_s)
    if choice.is_before(last_s):
      continue
    if len(looked.index) >= most:
      _count(looked, report)
      yield looked
      looked, before = Looked(), None
    now = frame.size_px, frame.thumbnail()
    if before is None:
      looked.first = frame.index
    else:
      looked.changes.append(_change(before, now))
    before = now
    _look_at(frame, pick(frame), find, looked)
  _count(looked, report)
  _describe(opened, path, report)
  report.duration_s, report.longest_step_s = last_s, longest_s
  yield looked


def _look_at(frame, picked, find, looked):
  """Finds the faces of a frame that is kept or looked at."""
  if not any(picked):
    return
  looked.index.append(frame.index)
  looked.times_s.append(frame.time_s)
  looked.is_kept.append(picked[0])
  image = frame.image()
  looked.faces.append(find(image))
  looked.looks.add(image, looked.faces[-1])


def _change(before, now):
  if before[0] != now[0]:  # Another size of frame: places do not compare.
    return np.ones(3)
  return face_tracker.frame_change(before[1], now[1])


def _count(looked, report):
  report.num_cuts += int(face_tracker.find_cuts(np.array(looked.changes)).sum())
  report.num_kept += sum(looked.is_kept)


def _describe(opened, path, report):
  """Puts down what the file says of itself, and what was lost of it."""
  for reason, count in opened.skipped.items():
    report.skip(reason, path, count)
  report.num_read = report.num_decoded + sum(opened.skipped.values())
  for text, count in opened.notes.items():
    report.note(text, count)
  report.source_fps = opened.facts.rate_fps
  report.start_s = opened.start_s


class Followed(NamedTuple):
  """The tracks of what was looked at, with their kept frames alone.

  Attributes:
    tracks: Their `index` counts the frames of the video.
    people: Number of the person of each, see `track_people.who`.
    scores: Of each track, [T] float32, as the detector gave them; NaN where the
      face was not detected.
    together: Pairs of tracks, by number, that were detected in one frame.
    num_divided: Places where a track was ended because the face changed.
  """

  tracks: list[face_tracker.FaceTrack]
  people: list[int]
  scores: list[np.ndarray]
  together: set[tuple[int, int]]
  num_divided: int


def follow(looked: Looked, least: int = 1) -> Followed:
  """Links the faces that were found into tracks of one person each.

  Args:
    looked: At least one frame.
    least: Kept frames of a track; those with fewer are dropped.

  Returns:
    The tracks.
  """
  found = track_people.find(
    np.array(looked.times_s), looked.faces, looked.cuts(), looked.looks
  )
  is_kept = np.array(looked.is_kept)
  frames = np.array(looked.index, np.int64)
  out = Followed([], [], [], set(), found.num_divided)
  by_frame = {}
  for track, person in zip(found.tracks, found.people):
    kept = is_kept[track.index]
    if kept.sum() < least:
      continue
    for place in track.index[track.detected == 1].tolist():
      by_frame.setdefault(place, []).append(len(out.tracks))
    out.scores.append(_scores(track.take(kept), looked.faces))
    moved = dataclasses.replace(track, index=frames[track.index])
    out.tracks.append(moved.take(kept))
    out.people.append(person)
  for numbers in by_frame.values():
    out.together.update((a, b) for a in numbers for b in numbers if a < b)
  return out


def _scores(track, faces):
  rows = zip(track.index.tolist(), track.face.tolist())
  found = [faces[i][face][4] if face >= 0 else np.nan for i, face in rows]
  return np.array(found, np.float32)


class Seen(NamedTuple):
  """A face of a track in a frame that was read again.

  Attributes:
    frame: The frame.
    pixels: Its image, uint8 [H, W, 3] RGB.
    track: Number of the track.
    position: Of the frame in the track.
  """

  frame: video_file.Frame
  pixels: np.ndarray
  track: int
  position: int


def read_again(
  frames: Iterator[video_file.Frame], tracks: list[face_tracker.FaceTrack]
) -> Iterator[Seen]:
  """Reads the frames of tracks once more, to cut the faces out of them.

  A video is read twice, so that no frame waits in memory: boxes are smoothed
  over the frames to come, too.

  Args:
    frames: Of the video. Those behind the last one of the tracks are not asked
      for, so that a later part of the video can go on with the same iterator.
    tracks: As `follow` returns them.

  Yields:
    Each face of each frame, in order of time.
  """
  places = {}
  for number, track in enumerate(tracks):
    for position, frame in enumerate(track.index.tolist()):
      places.setdefault(frame, []).append((number, position))
  if not places:
    return
  last = max(places)
  for frame in frames:
    if frame.index in places:
      pixels = frame.image()
      for number, position in places[frame.index]:
        yield Seen(frame, pixels, number, position)
    if frame.index >= last:
      return
