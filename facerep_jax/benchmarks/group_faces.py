"""The same synthetic people again and again, with one thing about them changed.

Of all changes of a factor, people, poses, expressions, lights, cameras and
noise are the same: rows of one level and of another are pairs.
"""

import multiprocessing
import pathlib
from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.synthetic import generator

SIZE_PX = 96
TRACKS = 2  # Of each person.
_FRAMES = 3  # Of a track; the outer ones are nearly neutral.
_PROBE_FRAMES = 8
_PROBE_SEED_STEP = 1_000_003  # Other people than those that are measured.
_LABELS = (
  "yaw_rad", "pitch_rad", "roll_rad", "landmarks_px", "action_units",
)  # fmt: skip
_TONES = {"palest": -1.5, "light": 0.0, "brown": 1.25, "darkest": 2.5}
_NO_BEARD = {"stubble": -3.0, "moustache": -3.0, "beard": -3.0}
_YOUNG_HAIR = {"hair_grey": -2.5, "hair_recede": -1.0}
_Change = generator.Change


class Factor(NamedTuple):
  """One thing that is changed.

  Attributes:
    name: In tables.
    levels: What is set, by the level's name. The first is the reference.
    is_colour: Whether it changes how reconstructions should look.
  """

  name: str
  levels: dict[str, generator.Change]
  is_colour: bool = False

  @property
  def reference(self) -> str:
    """The level that others are compared with."""
    return next(iter(self.levels))


class Faces(NamedTuple):
  """Frames of some people.

  Attributes:
    pixels: [N, S, S, 3] uint8.
    labels: Arrays [N, ...], as of `generator.draw_track`.
    person: [N] int.
    track: [N] int.
  """

  pixels: np.ndarray
  labels: dict[str, np.ndarray]
  person: np.ndarray
  track: np.ndarray


def _skin(tones, **settings):
  return {k: _Change(skin_tone=_TONES[k], **settings) for k in tones}


def _looks(**levels):
  return {k: _Change(look=v) for k, v in levels.items()}


FACTORS = (
  Factor("skin tone", _skin(("light", "palest", "brown", "darkest")), True),
  Factor(
    "skin tone, exposure held",
    _skin(("light", "palest", "darkest"), exposed_for=_TONES["light"]),
    True,
  ),
  Factor(
    "shape of the head",
    {
      "average": _Change(shape={"child": 0.0}),
      "long face": _Change(shape={"child": -2.0}),
      "like a child's": _Change(shape={"child": 2.5}),
    },
  ),
  Factor(
    "wrinkles",
    _looks(
      few={"age": -1.0, **_YOUNG_HAIR},
      many={"age": 2.5, **_YOUNG_HAIR},
    ),
  ),
  Factor("glasses", {k: _Change(glasses=k) for k in ("none", "clear", "dark")}),
  Factor(
    "on the head", {k: _Change(cover=k) for k in ("none", "cap", "scarf")}
  ),
  Factor(
    "hair",
    _looks(
      short={"hair_length": -0.3, **_NO_BEARD},
      shaved={"hair_length": -2.0, **_NO_BEARD},
      long={"hair_length": 1.2, **_NO_BEARD},
    ),
  ),
)


def draw(
  change: generator.Change,
  num_people: int,
  seed: int,
  pool: futures.Executor,
) -> Faces:
  """Draws the people who are measured, all with built-in heads.

  Args:
    change: What is set for all of them.
    num_people: How many; each has two tracks of three frames.
    seed: Of the people.
    pool: What draws tracks.

  Returns:
    The frames, in the order of people, tracks and time for any change.
  """
  settings = _settings(seed, num_people, _FRAMES, "")
  return _draw(settings, change, TRACKS, pool)


def draw_for_probes(
  num_people: int, seed: int, pool: futures.Executor
) -> Faces:
  """Draws the people that linear probes are fitted to, as they come.

  Args:
    num_people: How many, half with ICT's heads; each has a track of eight
      frames.
    seed: Of those who are measured; these are others.
    pool: What draws tracks.

  Returns:
    The frames.
  """
  seed += _PROBE_SEED_STEP
  settings = _settings(seed, num_people, _PROBE_FRAMES, "mixed")
  return _draw(settings, _Change(), 1, pool)


def file_name(factor: str, level: str) -> str:
  """Returns the name of the file in which the frames of a level are kept."""
  words = f"{factor} {level}".replace(",", "").replace("'", "").split()
  return "_".join(words) + ".npz"


def workers(num: int) -> futures.ProcessPoolExecutor:
  """Makes a pool of processes that draw."""
  spawn = multiprocessing.get_context("spawn")
  return futures.ProcessPoolExecutor(num, spawn)


def kept(path: pathlib.Path, make) -> Faces:
  """Reads frames that an earlier call kept, or makes and keeps them.

  Args:
    path: Of the npz file.
    make: Function without arguments that returns `Faces`.

  Returns:
    The frames.

  Raises:
    InputError: The file holds something else.
  """
  if not path.exists():
    faces = make()
    arrays = {k: v for k, v in faces._asdict().items() if k != "labels"}
    with atomic.whole(path) as temporary, temporary.open("wb") as file:
      np.savez(file, **arrays, **faces.labels)
    return faces
  with np.load(path) as file:
    found = {name: file[name] for name in file.files}
  if {"pixels", "person", "track", *_LABELS} - set(found):
    raise errors.InputError(f"{path}: holds no frames. Remove it.")
  own = {k: found.pop(k) for k in ("pixels", "person", "track")}
  return Faces(labels=found, **own)


def _settings(seed, num_people, num_frames, heads):
  return generator.Settings(
    seed=seed,
    num_people=num_people,
    tracks_per_person=TRACKS,
    num_frames=num_frames,
    size_px=SIZE_PX,
    heads=heads,
  )


def _draw(settings, change, tracks, pool):
  places = [
    (person, track)
    for person in range(settings.num_people)
    for track in range(tracks)
  ]
  jobs = [(settings, change, *place) for place in places]
  drawn = list(pool.map(_one, jobs, chunksize=4))
  labels = {
    name: np.concatenate([one.labels[name] for one in drawn])
    for name in _LABELS
  }
  person, track = np.repeat(np.array(places), settings.num_frames, axis=0).T
  pixels = np.concatenate([one.frames for one in drawn])
  return Faces(pixels, labels, person, track)


def _one(job: Sequence):
  """Draws one track; for a pool."""
  settings, change, person, track = job
  return generator.draw_track(settings, person, track, change)
