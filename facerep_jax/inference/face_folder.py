"""The faces of a folder of photos, or of face tracks."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from facerep_jax import errors
from facerep_jax.data import photos
from facerep_jax.inference import crop_choice, track_frames


class FaceFolder(NamedTuple):
  """Faces that are read when they are asked for.

  Attributes:
    folder: Where they are.
    num_images: How many images they come from.
    read: Maps the number of images at a time, 1 or more, to their faces.
  """

  folder: str
  num_images: int
  read: Callable[[int], Iterator[photos.Faces]]


def of_photos(
  folder: str | os.PathLike,
  crop: str = "auto",
  detector: str | None = None,
  *,
  is_all: bool = False,
) -> FaceFolder:
  """Finds the photos of a folder, and decides how faces are cut out of them.

  Args:
    folder: Where they are; subfolders count.
    crop: One of `photos.CROPS`; see `crop_choice.choose`.
    detector: As `detect.make_detector` takes it.
    is_all: Take all faces of each photo, not the main one alone.

  Returns:
    Their faces.

  Raises:
    InputError: The folder does not exist or holds no image, or no detector is
      installed, and one is needed.
  """
  folder = os.fspath(folder)
  paths = photos.find(folder)
  cut = crop_choice.of_folder(folder, paths, crop, detector, is_all=is_all)
  return FaceFolder(
    folder, len(paths), lambda size: photos.read(folder, paths, cut, size)
  )


def of_photos_or_tracks(
  folder: str | os.PathLike,
  crop: str = "auto",
  detector: str | None = None,
  *,
  faces: str | None = "main",
) -> FaceFolder:
  """Does what `of_photos` does, or finds the frames of face tracks.

  Args:
    folder: Of photos, or what `make_tracks` wrote.
    crop: As for `of_photos`; not "face" for tracks.
    detector: As for `of_photos`.
    faces: Of photos, which faces of each to take: one of `photos.FACES`; None:
      all, unless `crop` is "none". Not "all" for tracks.

  Returns:
    The faces; of tracks, with the columns of `track_frames.read`.

  Raises:
    InputError: As `of_photos`, or the tracks cannot be used.
  """
  folder = os.fspath(folder)
  if not track_frames.are_in(folder):
    is_all = faces == "all" or (faces is None and crop != "none")
    return of_photos(folder, crop, detector, is_all=is_all)
  if crop == "face":
    raise errors.InputError(
      f"--crop=face: {folder} holds face tracks, whose faces are cut "
      "already; leave --crop out."
    )
  if faces == "all":
    raise errors.InputError(
      f"--faces=all: {folder} holds face tracks, of one face a frame; leave "
      "--faces out."
    )
  return FaceFolder(
    folder,
    track_frames.count(folder),
    lambda size: track_frames.read(folder, size),
  )
