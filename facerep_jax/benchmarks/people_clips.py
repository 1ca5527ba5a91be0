"""Clips joined of recordings by cuts and dissolves, and what became of them."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facerep_jax.benchmarks import people_recordings
from facerep_jax.files import animation

KINDS = ("cut", "dissolve")
DISSOLVE_S = 0.5
_HALF = 0.5  # Of a real recording, before and after another one.
_FIRST_FRAMES = 18  # Of a drawn recording, before the other person.


class Shot(NamedTuple):
  """A part of a clip.

  Attributes:
    person: Who is seen.
    first: First frame in which nothing else is seen.
    last: Last such frame.
  """

  person: str
  first: int
  last: int


class Clip(NamedTuple):
  """Recordings joined to one.

  Attributes:
    frames: uint8 [T, H, W, 3].
    fps: Frames a second.
    shots: In order.
  """

  frames: np.ndarray
  fps: float
  shots: list[Shot]


class Ends(NamedTuple):
  """What became of the shots of some clips.

  Attributes:
    changes: Transitions from one person to another.
    changes_ended: Those at which no track goes on.
    same: Transitions between shots of one person.
    same_ended: Those at which no track goes on.
    shots: How many shots there are.
    empty: Shots without a track of their own.
    extra: Tracks beyond one a shot.
  """

  changes: int
  changes_ended: int
  same: int
  same_ended: int
  shots: int
  empty: int
  extra: int


def join(parts: Sequence[people_recordings.Recording], kind: str) -> Clip:
  """Joins recordings of one size and rate to a clip.

  Args:
    parts: In order.
    kind: One of `KINDS`. In a dissolve, the last half second of a part and the
      first of the next one are mixed, so that the clip is shorter.

  Returns:
    The clip.
  """
  fps = parts[0].fps
  overlap = 0 if kind == "cut" else round(DISSOLVE_S * fps)
  share = (np.arange(overlap) + 1) / (overlap + 1)
  frames = parts[0].frames
  shots = [Shot(parts[0].person, 0, len(frames) - 1)]
  for part in parts[1:]:
    start = len(frames) - overlap
    weight = share[:, None, None, None]
    mixed = (1 - weight) * frames[start:] + weight * part.frames[:overlap]
    shots[-1] = shots[-1]._replace(last=start - 1)
    shots.append(
      Shot(part.person, start + overlap, start + len(part.frames) - 1)
    )
    mixed = np.rint(mixed).astype(np.uint8)
    frames = np.concatenate([frames[:start], mixed, part.frames[overlap:]])
  return Clip(frames, fps, shots)


def of_drawn(three: Sequence[people_recordings.Recording], kind: str) -> Clip:
  """Joins what `people_recordings.draw_shots` draws for a clip.

  Args:
    three: Recordings of a person, of another one, and of the first again.
    kind: As for `join`.

  Returns:
    A part of the first, the second, the rest of the first, and the third.
  """
  first, other, again = three
  head, tail = _halves(first, _FIRST_FRAMES)
  return join((head, other, tail, again), kind)


def of_filmed(
  recordings: Sequence[people_recordings.Recording], kind: str
) -> list[Clip]:
  """Joins each recording and the next one, which are of other people.

  Args:
    recordings: Of one size and rate.
    kind: As for `join`.

  Returns:
    As many clips: half of a recording, the next one, and the other half.
  """
  clips = []
  for number, one in enumerate(recordings):
    head, tail = _halves(one, int(_HALF * len(one.frames)))
    other = recordings[(number + 1) % len(recordings)]
    clips.append(join((head, other, tail), kind))
  return clips


def _halves(recording, count):
  return (
    recording._replace(frames=recording.frames[:count]),
    recording._replace(frames=recording.frames[count:]),
  )


def write(clips: Sequence[Clip], folder: pathlib.Path) -> None:
  """Writes clips as MP4, named so that they sort by number.

  Args:
    clips: The clips.
    folder: Where to.

  Raises:
    InputError: What writes MP4 is not installed.
  """
  for number, clip in enumerate(clips):
    path = folder / f"{number:04d}.mp4"
    animation.save(path, clip.frames / np.float32(255), clip.fps)


def shot_of(clip: Clip, frames: Sequence[int]) -> int | None:
  """Returns the shot that most frames of a track are of; None: of none."""
  counts = [sum(x.first <= i <= x.last for i in frames) for x in clip.shots]
  return int(np.argmax(counts)) if max(counts) else None


def ends(clips: Sequence[Clip], tracks: Sequence[list[list[int]]]) -> Ends:
  """Compares tracks with the shots of their clips.

  Args:
    clips: The clips.
    tracks: Of each clip its tracks, as lists of frames.

  Returns:
    Counts over all clips.
  """
  total = np.zeros(len(Ends._fields), int)
  for clip, found in zip(clips, tracks, strict=True):
    total += _ends(clip, found)
  return Ends(*total.tolist())


def _ends(clip, tracks):
  is_ended = {True: [], False: []}
  for before, after in zip(clip.shots, clip.shots[1:]):
    goes_on = any(
      min(frames) <= before.last and max(frames) >= after.first
      for frames in tracks
    )
    is_ended[before.person != after.person].append(not goes_on)
  shots = [shot_of(clip, frames) for frames in tracks]
  counts = [shots.count(number) for number in range(len(clip.shots))]
  return (
    len(is_ended[True]),
    sum(is_ended[True]),
    len(is_ended[False]),
    sum(is_ended[False]),
    len(counts),
    counts.count(0),
    sum(max(0, count - 1) for count in counts),
  )
