"""Decides once for a set of images whether faces are cut out of them."""

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data import photos
from facerep_jax.detection import crop, detect

_log = logging.getLogger(__name__)
_SAMPLE = 32  # Images that are looked at.
# A face that takes as much of the image's side is cut already: the square that
# `crop.crop_box` cuts would reach beyond the image by a sixth of its side.
_TIGHT = 1.2 / crop.SCALE
# One that takes this much is cut about as it would be, so that cutting is only
# of use where it can be done to nearly all images.
_CLOSE = 0.93 / crop.SCALE
_NEARLY_ALL = 0.9
_MAIN_ALONE = "--faces=main: the main one alone"
_MAX_ASPECT = 1.25  # Longer images are no cut faces.


class Looked(NamedTuple):
  """What a sample of a set shows.

  Attributes:
    num_images: How many could be read.
    num_found: Those in which a face is found.
    share: Longer side of the main face's box over the shorter side of its
      image, median; 0 if none is found.
    aspect: Longer over shorter side of the images, median; 0 if none is read.
  """

  num_images: int
  num_found: int
  share: float
  aspect: float

  @property
  def is_cropped(self) -> bool:
    """Whether the images are cut to the face already."""
    if not self.num_images or self.aspect > _MAX_ASPECT:
      return False
    is_rare = self.num_found < _NEARLY_ALL * self.num_images
    limit = _CLOSE if is_rare else _TIGHT
    return not self.num_found or self.share >= limit


def look(
  count: int,
  read: Callable[[int], np.ndarray],
  detector: Callable[[np.ndarray], np.ndarray],
) -> Looked:
  """Looks for faces in a sample of a set, spread over all of it.

  Args:
    count: Images of the set.
    read: Maps a number below `count` to uint8 [H, W, 3] RGB. Images for which
      it raises `InputError` are passed over.
    detector: See `detect.make_detector`.

  Returns:
    What was seen.
  """
  shares, aspects = [], []
  picked = np.linspace(0, count - 1, min(count, _SAMPLE)).round().astype(int)
  for number in picked.tolist():
    try:
      image = read(number)
    except errors.InputError:
      continue  # Whoever reads all of them says so.
    height, width = image.shape[:2]
    aspects.append(max(height, width) / min(height, width))
    face = crop.main_face(detector(image), width, height)
    if face is not None:
      longer = max(face[2] - face[0], face[3] - face[1])
      shares.append(longer / min(height, width))
  median = [float(np.median(x)) if x else 0.0 for x in (shares, aspects)]
  return Looked(len(aspects), len(shares), *median)


def choose(
  kind: str,
  name: str,
  count: int,
  read: Callable[[int], np.ndarray],
  model: str | None = None,
  *,
  is_all: bool = False,
) -> photos.Cutter:
  """Makes what cuts the face out of each image of a set.

  Of "auto", the log says in one line what was decided, and why.

  Args:
    kind: One of `photos.CROPS`. With "auto", faces are cut out of all images in
      which one is found, or, where the set looks as if it were cut to the face
      already, all images are left whole.
    name: Of the set, for messages.
    count: As for `look`.
    read: As for `look`.
    model: As `detect.make_detector` takes it.
    is_all: Cut out all faces of an image. Images that are left whole have one.

  Returns:
    As `photos.make_cutter`.

  Raises:
    InputError: No detector is installed, and one is needed.
  """
  cut = photos.make_cutter(kind, model, is_all=is_all)
  if is_all and kind == "face":
    _log.info("%s: all faces of each image are taken (%s).", name, _MAIN_ALONE)
  if kind != "auto":
    return cut
  seen = look(count, read, detect.make_detector(model))
  found = f"a face found in {seen.num_found} of {seen.num_images} looked at"
  if seen.num_found:
    found += f", over {100 * seen.share:.0f} % of the image's side"
  if seen.is_cropped:
    _log.warning(
      "%s: %s: taken for cut to the face already, so ALL images are left WHOLE "
      "(--crop says otherwise).",
      name,
      found,
    )
    return lambda image: crop.Cut(image, "whole")
  _log.warning(
    "%s: %s: %s CUT OUT where one is found, images without are taken whole "
    "(--crop says otherwise).",
    name,
    found,
    f"ALL FACES ({_MAIN_ALONE}) are" if is_all else "the face is",
  )
  return cut


def of_folder(
  folder: str,
  paths: list[str],
  kind: str,
  model: str | None = None,
  *,
  is_all: bool = False,
) -> photos.Cutter:
  """Makes what cuts the images of a folder.

  Args:
    folder: Where they are.
    paths: Of the images, relative to it.
    kind: As for `choose`.
    model: As for `choose`.
    is_all: As for `choose`.

  Returns:
    As `choose`.

  Raises:
    InputError: As `choose`.
  """

  def read(number):
    return photos.read_image(folder, paths[number]).pixels

  return choose(kind, folder, len(paths), read, model, is_all=is_all)
