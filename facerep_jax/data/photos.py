"""A folder of photos as the faces on them, for the commands that take one."""

import argparse
import collections
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data import listing
from facerep_jax.detection import crop, detect
from facerep_jax.files import decode, images

_log = logging.getLogger(__name__)
# Side of the square that is cut around a face before the run's own crop: that
# of the frames which `make_tracks` stores by default.
FACE_PX = 256
NOTES = "notes"
CROPS = ("auto", "face", "none")
FACES = ("main", "all")
Cutter = Callable[[np.ndarray], crop.Cut]


class Found(NamedTuple):
  """Where a face was found.

  Attributes:
    box_px: [4] float32, x0, y0, x1, y1 in its picture.
    score: As the detector gave it; NaN where that is unknown.
    detected: 1 where it was detected, 0 where its box is interpolated, -1 where
      that is unknown.
  """

  box_px: np.ndarray
  score: float = np.nan
  detected: int = -1


class Faces(NamedTuple):
  """Faces of some photos.

  Attributes:
    paths: Of the photos that can be used, relative to their folder; a photo of
      several faces stands once for each, one after the other.
    images: Their faces, uint8 [H, W, 3].
    kinds: How they were cut: "face", "whole" or "none".
    skipped: A line for each photo that cannot be used, with the reason.
    columns: More on each face, by name; `NOTES` is what was assumed of its
      photo's pixels, "" for nothing and for further faces of a photo.
    found: Where the face of each is in its picture; None where it is unknown.
    numbers: Which face of its photo each is, from 0; empty where none has more
      than one.
  """

  paths: list[str]
  images: list[np.ndarray]
  kinds: list[str]
  skipped: list[str]
  columns: dict[str, list]
  found: Sequence[Found | None] = ()
  numbers: Sequence[int] = ()

  @property
  def num_photos(self) -> int:
    """How many photos these are, skipped ones included."""
    used = self.numbers.count(0) if self.numbers else len(self.paths)
    return used + len(self.skipped)


def add_arguments(
  parser: argparse.ArgumentParser, batch_size: int, *, is_needed: bool = True
) -> None:
  """Adds what tells which photos, and how faces are found and cut."""
  add = parser.add_argument
  add(
    "--images",
    required=is_needed,
    help="folder of images; subfolders count",
  )
  add(
    "--crop",
    choices=CROPS,
    default="auto",
    help="auto: find the face, else take the whole image, but leave all whole "
    "where they look like face crops already; face: skip images without a "
    "face; none: images are face crops already",
  )
  add("--detector", help=detect.HELP)
  add("--batch-size", type=int, default=batch_size, help="at a time")


def find(folder: str) -> list[str]:
  """Lists the images below a folder; the log says what is passed over.

  Args:
    folder: Where to look; see module `listing`.

  Returns:
    Paths relative to it, with "/", sorted.

  Raises:
    InputError: It does not exist, cannot be listed, or holds no image.
  """
  if not os.path.isdir(folder):
    raise errors.InputError(f"--images={folder}: no such folder.")
  held = listing.find(folder)
  others = held.without_videos()
  if not held.images:
    raise errors.InputError(
      f"--images={folder}: holds no image (looked for "
      f"{', '.join(images.EXTENSIONS)}); {listing.say_empty(others)}."
    )
  if others:
    _log.info("%s: passed over %s", folder, listing.say(others))
  return list(held.images)


def make_cutter(
  kind: str, model: str | None = None, *, is_all: bool = False
) -> Cutter:
  """Makes what cuts the face out of an image.

  Args:
    kind: One of `CROPS`.
    model: As `detect.make_detector` takes it.
    is_all: Cut out all faces of an image.

  Returns:
    A function from uint8 [H, W, 3] to what was cut; no image where "face" finds
    none.

  Raises:
    InputError: No detector is installed, and one is needed.
  """
  if kind == "none":
    return lambda image: crop.Cut(image, "none")
  detector = detect.make_detector(model)

  def cut(image):
    found = crop.find_and_crop(image, detector, FACE_PX, is_all=is_all)
    if found.kind == "whole":
      # Left as it is: the run's own crop resizes it, once.
      return found._replace(image=image if kind == "auto" else None)
    return found

  return cut


def read(
  folder: str, paths: list[str], cut: Cutter, size: int
) -> Iterator[Faces]:
  """Reads photos and cuts the faces out of them.

  Args:
    folder: Where they are.
    paths: Relative to it.
    cut: See `make_cutter`.
    size: Photos at a time; of 1 or more.

  Yields:
    `Faces` of each `size` photos; none where all of them are skipped.
  """
  for start in range(0, len(paths), size):
    faces = Faces([], [], [], [], {NOTES: []}, [], [])
    for path in paths[start : start + size]:
      try:
        decoded = read_image(folder, path)
      except images.ImageError as error:
        faces.skipped.append(str(error))
        continue
      face = cut(decoded.pixels)
      if face.image is None:
        faces.skipped.append(f"{path}: no face found.")
        continue
      for number, one in enumerate((face, *face.others)):
        faces.paths.append(path)
        faces.images.append(one.image)
        faces.kinds.append(one.kind)
        faces.found.append(_found(one.face))
        faces.numbers.append(number)
        # Once, for they are counted by photo.
        notes = decoded.notes if number == 0 else ()
        faces.columns[NOTES].append("; ".join(notes))
    yield faces


def _found(face):
  """Says where a detected face is."""
  return None if face is None else Found(face[:4], float(face[4]), 1)


def read_image(folder: str, path: str) -> images.Decoded:
  """Reads a photo.

  Args:
    folder: Where it is.
    path: Relative to it.

  Returns:
    Its pixels, uint8 [H, W, 3] RGB, and what was assumed of them.

  Raises:
    ImageError: It cannot be used.
  """
  file = os.path.join(folder, path)
  return decode.decode_noted(images.read_file(file), file)


def count_notes(notes: Iterable[str]) -> list[str]:
  """Says in a line each what was assumed of how many pictures."""
  counts = collections.Counter(notes)
  return [f"noted: {n} x {text}" for text, n in counts.items() if text]
