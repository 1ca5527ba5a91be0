"""Recordings of known people: drawn, of tracks on disk, and of videos."""

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data import listing, photos, sources
from facerep_jax.files import atomic
from facerep_jax.synthetic import generator
from facerep_jax.video import video_file

SIZE_PX = 96
RECORDINGS = 3  # Of each person.
FRAMES = 8  # Of a recording.
SHOT_FPS = 10.0  # Frames a second of recordings that become clips.
# Frames of the three recordings that a clip is made of: the first person's,
# another person's, and another one of the first person.
SHOT_FRAMES = (42, 24, 18)
_CLIP_SEED_STEP = 1_000_003  # Other people than those of `draw`.


class Recording(NamedTuple):
  """Frames of one person, as a camera saw them.

  Attributes:
    person: Who it is.
    frames: uint8 [T, H, W, 3].
    fps: Frames a second.
  """

  person: str
  frames: np.ndarray
  fps: float


def draw(num_people: int, seed: int) -> list[Recording]:
  """Draws three recordings of each of some synthetic people.

  Args:
    num_people: How many; half with built-in heads, half with ICT's.
    seed: Of the people.

  Returns:
    Recordings of 8 frames, 96 px; those of a person follow each other.
  """
  made = _settings(num_people, seed, FRAMES)
  return [
    _one(made, person, number)
    for person in range(num_people)
    for number in range(RECORDINGS)
  ]


def draw_shots(num_clips: int, seed: int) -> list[Recording]:
  """Draws what clips of two people each are made of.

  Args:
    num_clips: How many; their people are all different.
    seed: Of the people; they are others than those of `draw`.

  Returns:
    Three for each clip, of `SHOT_FRAMES` frames: of the first person, of the
    second, and of the first again.
  """
  found = []
  for clip in range(num_clips):
    first, second = 2 * clip, 2 * clip + 1
    places = (first, 0), (second, 0), (first, 1)
    for place, count in zip(places, SHOT_FRAMES):
      made = _settings(2 * num_clips, seed + _CLIP_SEED_STEP, count)
      found.append(_one(made, *place))
  return found


def kept(
  path: pathlib.Path, make: Callable[[], list[Recording]]
) -> list[Recording]:
  """Reads recordings that an earlier call kept, or makes and keeps them.

  Args:
    path: Of the npz file.
    make: Function without arguments that returns the recordings.

  Returns:
    The recordings.

  Raises:
    InputError: The file holds something else.
  """
  if not path.exists():
    found = make()
    arrays = {f"frames_{i}": x.frames for i, x in enumerate(found)}
    with atomic.whole(path) as temporary, temporary.open("wb") as file:
      np.savez(
        file,
        person=np.array([x.person for x in found]),
        fps=np.array([x.fps for x in found]),
        **arrays,
      )
    return found
  with np.load(path) as file:
    if {"person", "fps"} - set(file.files):
      raise errors.InputError(f"{path}: holds no recordings. Remove it.")
    rows = enumerate(zip(file["person"].tolist(), file["fps"].tolist()))
    return [
      Recording(person, file[f"frames_{i}"], fps) for i, (person, fps) in rows
    ]


def _settings(num_people, seed, num_frames):
  return generator.Settings(
    seed=seed,
    num_people=num_people,
    tracks_per_person=RECORDINGS,
    num_frames=num_frames,
    size_px=SIZE_PX,
    heads="mixed",
  )


def _one(made, person, number):
  drawn = generator.draw_track(made, person, number)
  return Recording(f"{made.seed}_{person}", drawn.frames, SHOT_FPS)


def of_folders(folder: str) -> list[Recording]:
  """Reads tracks of cut faces, PERSON/VIDEO/TRACK/NAME.jpg.

  Args:
    folder: Where they are.

  Returns:
    A recording a track.

  Raises:
    InputError: The folder holds no image, or one that cannot be used.
  """
  tracks = {}
  for path in sorted(photos.find(folder), key=sources.natural_key):
    tracks.setdefault(path.rpartition("/")[0], []).append(path)
  return [
    Recording(
      name.partition("/")[0],
      np.stack([photos.read_image(folder, x).pixels for x in paths]),
      SHOT_FPS,
    )
    for name, paths in tracks.items()
  ]


def of_videos(folder: str) -> list[Recording]:
  """Reads the videos of a folder, of one person each.

  Args:
    folder: Where they are.

  Returns:
    A recording a video, all frames in memory.

  Raises:
    InputError: The folder holds no video.
  """
  names = sorted(listing.find(folder).videos)
  if not names:
    raise errors.InputError(f"--videos={folder}: holds no video.")
  found = []
  for name in names:
    video = video_file.Video(os.path.join(folder, name))
    frames = [(frame.time_s, frame.image()) for frame in video]
    fps = (len(frames) - 1) / frames[-1][0]
    found.append(Recording(name, np.stack([x for _, x in frames]), fps))
  return found
