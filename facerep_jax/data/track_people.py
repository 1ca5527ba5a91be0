"""Tells people apart within a video: who is where, and who comes after whom."""

import dataclasses

import numpy as np

from facerep_jax.data import sources
from facerep_jax.detection import face_look, face_tracker

LOOKS_PER_S = 6.0  # More than these are not compared.
_MAX_CHANGE_S = 2.5  # The longest transition that is told by its course.
_MIN_STAY_S = 1.0  # What stays shorter between two transitions is dropped.
_WINDOW = 3  # Looks over which an end of a track is averaged.
# Faces whose edges are further apart than this look different: for they are of
# different people, or for they have turned. Which of both it is, shows in how
# the picture as a whole turns from one into the other. Measured on talking
# heads, on edits made of them, and on heads that turn; docs/tracks.md has more.
_EDGES = 0.12
# In a dissolve or a fade, pictures in between lie on the line between the two:
# off it by this share of its length, at most. Edits: up to 0.06; turns: 0.17
# and more (0.13 where there is only one in between).
_OFF_LINE = 0.1
# In a wipe, each pixel belongs to one picture or the other: differences add up,
# to this share at least. Colours change then, too; with heads that turn, by at
# most 0.031 where differences add up to that.
_ADDS_UP = 0.93
_COLOURS = 0.035
_COLOURS_ALONE = (
  0.1  # For a change without a course: after a gap, or a slow one.
)
_TAIL = 0.05  # Of the way; a transition starts and ends beyond.
_PER_LOOK = 0.03  # Of its size, that a transition must grow by to be longer.
# Below both, faces of two tracks are of one person.
_SAME_EDGES, _SAME_COLOURS = 0.15, 0.03
_MAX_COMPARED = 12  # Faces a track, when two tracks are compared.


@dataclasses.dataclass
class Found:
  """The tracks of a video.

  Attributes:
    tracks: As `face_tracker.follow` returns them.
    people: Number of the person of each track, from 0; see `who`.
    num_divided: Places where a track was ended because the face changed.
  """

  tracks: list[face_tracker.FaceTrack]
  people: list[int]
  num_divided: int


def find(
  times_s: np.ndarray,
  faces: list[np.ndarray],
  cuts: np.ndarray,
  looks: face_look.Looks,
) -> Found:
  """Links faces into tracks of one person each, and tells people apart.

  Args:
    times_s: [N] time of each frame looked at, ascending.
    faces: N arrays [K, 5 or 6], as detectors return them.
    cuts: [N] bool, True where a new scene starts with this frame.
    looks: Of the same frames and faces.

  Returns:
    The tracks, and who is who.
  """
  num_divided = 0

  def parts(frames, numbers):
    nonlocal num_divided
    found = divide(frames, numbers, times_s, looks)
    num_divided += len(found) - 1
    return found

  tracks = face_tracker.follow(times_s, faces, cuts, parts)
  return Found(tracks, who(tracks, looks), num_divided)


def name(person: str, video: str, number: int) -> str:
  """Names a person of a video.

  Args:
    person: Whom the video is said to be of.
    video: Its name.
    number: As `who` returns it.

  Returns:
    `person` for 0, else the name of the video with a number from 2 behind.
  """
  return person if number == 0 else f"{video}{sources.MARK}{number + 1}"


def divide(
  frames: np.ndarray,
  numbers: np.ndarray,
  times_s: np.ndarray,
  looks: face_look.Looks,
) -> list[slice]:
  """Finds the parts of a track in which the face stays the same.

  Args:
    frames: [n] frames in which the face was detected, ascending.
    numbers: [n] which of the faces of each frame it is.
    times_s: [N] times of all frames.
    looks: Of all frames.

  Returns:
    Slices of the n detections, in order; a transition between two is left out.
  """
  if len(frames) < 2 * face_tracker.MIN_DETECTIONS:
    return [slice(0, len(frames))]
  seen = _Seen(frames, numbers, times_s, looks)
  parts = _divide(seen, 0, len(seen.times_s) - 1)
  kept = []
  for number, (first, last) in enumerate(parts):
    is_between = 0 < number < len(parts) - 1
    stay_s = seen.times_s[last] - seen.times_s[first]
    if is_between and stay_s < _MIN_STAY_S:
      continue
    # Detections that were not compared belong to the look before them.
    start = 0 if number == 0 else seen.which[first]
    stop = seen.which[last] + 1
    if number == len(parts) - 1:
      stop = len(frames)
    kept.append(slice(int(start), int(stop)))
  return kept


class _Seen:
  """The looks at one face, and how they differ."""

  def __init__(self, frames, numbers, times_s, looks):
    self.which = _thin(times_s[frames])
    frames, numbers = frames[self.which], numbers[self.which]
    self.times_s = times_s[frames]
    self.edges, self.colours = (
      np.stack([rows[f][n] for f, n in zip(frames, numbers)]).astype(np.float32)
      for rows in (looks.edges, looks.colours)
    )
    # Faces that were not detected meanwhile are in the pictures still.
    every = np.arange(frames[0], frames[-1] + 1)
    every = every[_thin(times_s[every], keep=np.isin(every, frames))]
    self._place = np.searchsorted(every, frames)
    self._pictures = np.stack([looks.pictures[i] for i in every]).reshape(
      len(every), -1
    )
    self._transitions = self._find()

  def _find(self):
    """Returns (first, last, size) of each transition that is possible."""
    found = []
    # One look that is unlike its neighbours, such as a flash, is no transition:
    # there must be another one at both sides.
    for i in range(1, len(self.times_s) - 2):
      until = np.searchsorted(
        self.times_s, self.times_s[i] + _MAX_CHANGE_S, "right"
      )
      later = np.arange(i + 1, min(until, len(self.times_s) - 1))
      edges, colours = self.apart(i, later)
      edges = np.minimum(edges, self.apart(i - 1, later)[0])
      edges = np.minimum(edges, self.apart(i, later + 1)[0])
      for j, tint in zip(later, colours):
        if edges[j - i - 1] > _EDGES:
          size, adds_up, off_line = self._course(i, j)
          if off_line < _OFF_LINE or (adds_up > _ADDS_UP and tint > _COLOURS):
            found.append((i, int(j), size))
    return found

  def _course(self, i, j):
    """Measures how the picture turns from look i into look j.

    Returns:
      Mean difference of the two, less for long transitions; how far differences
      add up, at most 1; how far pictures lie off the line, infinite where there
      is none in between.
    """
    _, off, done, whole = self._line(i, j)
    size = np.abs(whole).mean()
    if not len(done) or not size:
      return size, 1.0, np.inf
    way = np.abs(done).mean(1) + np.abs(whole - done).mean(1)
    adds_up = (size / way).min()
    return size * (1 - _PER_LOOK * len(done)), adds_up, off.max()

  def _line(self, i, j):
    """Lays the pictures between two looks on the line from one to the other.

    Returns:
      How far each is on its way, 0 to 1, and how far off it; their differences
      to the first picture, and that of the last one.
    """
    part = slice(self._place[i], self._place[j] + 1)
    pictures = self._pictures[part].astype(np.float32) / 255
    whole, done = pictures[-1] - pictures[0], pictures[1:-1] - pictures[0]
    length_sq = max(whole @ whole, 1e-12)
    share = np.clip(done @ whole / length_sq, 0, 1)
    off = np.linalg.norm(done - share[:, None] * whole, axis=1)
    return share, off / np.sqrt(length_sq), done, whole

  def _shorten(self, i, j):
    """Leaves out what is before and behind a transition."""
    share = self._line(i, j)[0]
    share = np.concatenate([[0.0], share, [1.0]])
    share = share[self._place[i : j + 1] - self._place[i]]
    first = int(np.flatnonzero(share <= _TAIL)[-1])
    last = first + int(np.flatnonzero(share[first:] >= 1 - _TAIL)[0])
    return i + first, i + last

  def apart(self, i, j):
    """Returns the distances of edges and colours of looks."""
    return (
      face_look.distance(self.edges[i], self.edges[j]),
      face_look.distance(self.colours[i], self.colours[j]),
    )

  def largest(self, first, last):
    """Returns the largest transition within some looks, or None."""
    inside = [x for x in self._transitions if first <= x[0] and x[1] <= last]
    if not inside:
      return None
    return self._shorten(*max(inside, key=lambda x: x[2])[:2])

  def is_unlike(self, left, right):
    """Tells whether the means of some looks are of different people."""
    edges, colours = (
      face_look.distance(rows[left].mean(0), rows[right].mean(0))
      for rows in (self.edges, self.colours)
    )
    return edges > _EDGES and colours > _COLOURS_ALONE

  def has_gap(self, i):
    """Tells whether the face was lost between look i and the next one."""
    return self._place[i + 1] - self._place[i] > 1

  def boundary(self, first, last):
    """Returns the last look before the place that divides looks best."""
    rows = np.concatenate([self.edges, self.colours], 1)[first : last + 1]
    count = np.arange(1, len(rows))
    sums = np.cumsum(rows, 0)
    left = sums[:-1] / count[:, None]
    right = (sums[-1] - sums[:-1]) / (len(rows) - count)[:, None]
    weight = count * (len(rows) - count)
    return first + int(np.argmax(weight * ((left - right) ** 2).sum(1)))


def _thin(times_s, keep=None):
  """Returns which of some times to take, `LOOKS_PER_S` of them at most."""
  taken, last = [], -np.inf
  step = 0.9 / LOOKS_PER_S  # Frames do not come that exactly.
  for i, time in enumerate(times_s):
    if time - last >= step or (keep is not None and keep[i]):
      taken.append(i)
      last = time
  return np.array(taken)


def _divide(seen, first, last):
  """Returns the first and the last look of each part of some looks."""
  if last - first < 2 * _WINDOW - 1:
    return [(first, last)]
  found = seen.largest(first, last)
  if found is None:
    found = _unlike_neighbours(seen, first, last)
  if found is None:
    ends = slice(first, first + _WINDOW), slice(last + 1 - _WINDOW, last + 1)
    if not seen.is_unlike(*ends):
      return [(first, last)]
    before = seen.boundary(first, last)
    found = before, before + 1
  return _divide(seen, first, found[0]) + _divide(seen, found[1], last)


def _unlike_neighbours(seen, first, last):
  """Returns the looks around a gap with different people at its sides."""
  for i in range(first + _WINDOW - 1, last - _WINDOW + 1):
    sides = slice(i + 1 - _WINDOW, i + 1), slice(i + 1, i + 1 + _WINDOW)
    if seen.has_gap(i) and seen.is_unlike(*sides):
      return i, i + 1
  return None


def who(
  tracks: list[face_tracker.FaceTrack], looks: face_look.Looks
) -> list[int]:
  """Tells which tracks of a video are of one person.

  Tracks that were detected in one frame are of different people. Others are of
  the same person where some of their faces look alike.

  Args:
    tracks: With `index` into the frames of `looks`, and with `face`.
    looks: Of the video.

  Returns:
    A number for each track, from 0; 0 is the person of which most is seen: the
    sum of the areas of detected faces.
  """
  groups: list[list[int]] = []
  for number, track in enumerate(tracks):
    best, least = None, np.inf
    for group in groups:
      if any(_are_together(track, tracks[other]) for other in group):
        continue
      apart = min(_apart(track, tracks[other], looks) for other in group)
      if apart < min(1.0, least):
        best, least = group, apart
    if best is None:
      groups.append([number])
    else:
      best.append(number)
  groups.sort(key=lambda group: -sum(_area(tracks[x]) for x in group))
  place = {track: i for i, group in enumerate(groups) for track in group}
  return [place[number] for number in range(len(tracks))]


def _are_together(a, b):
  """Tells whether two tracks were detected in one frame."""
  frames = [track.index[track.detected == 1] for track in (a, b)]
  return bool(np.isin(*frames).any())


def _apart(a, b, looks):
  """Returns how unlike the likest faces of two tracks are; 1: the limit."""
  edges, colours = (
    face_look.distance(_some(a, rows)[:, None], _some(b, rows)[None]).min()
    for rows in (looks.edges, looks.colours)
  )
  return max(edges / _SAME_EDGES, colours / _SAME_COLOURS)


def _some(track, rows):
  """Returns [n, D] of detected faces, spread over the track."""
  seen = np.flatnonzero(track.detected)
  count = min(len(seen), _MAX_COMPARED)
  seen = seen[np.linspace(0, len(seen) - 1, count).round().astype(int)]
  return np.stack([rows[track.index[i]][track.face[i]] for i in seen])


def _area(track):
  sides = track.box_px[:, 2:] - track.box_px[:, :2]
  return float((sides.prod(1) * track.detected).sum())
