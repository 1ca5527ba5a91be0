"""Photos from the page: decoded, cut, and kept for a while, in memory."""

import collections
import secrets
import threading

import numpy as np

from facerep_jax import errors
from facerep_jax.data import photos
from facerep_jax.detection import detect
from facerep_jax.faces import rendering
from facerep_jax.files import decode
from facerep_jax.inference import crop_choice

MOST_KEPT = 12  # Photos; the ones not used for longest go first.
MOST_BYTES = 32 * 2**20


class Photo:
  """A photo that was given.

  Attributes:
    image: The face as it was cut, uint8 [H, W, 3].
    kind: How: "face", "whole" or "none".
    notes: What was assumed of its pixels.
    codes: Its codes; None where the model finds none.
    faces: What was decoded of it, by what was done to its expression.
  """

  def __init__(self, image: np.ndarray, kind: str, notes: tuple[str, ...]):
    self.image, self.kind, self.notes = image, kind, notes
    self.codes: dict[str, np.ndarray] | None = None
    self.faces: collections.OrderedDict[str, rendering.Face] = (
      collections.OrderedDict()
    )


def read(data: bytes, kind: str = "auto", detector: str | None = None) -> Photo:
  """Decodes a photo and cuts the face out of it.

  Args:
    data: Its file.
    kind: One of `photos.CROPS`. With "auto", a photo that looks cut to the face
      already is left whole, as `crop_choice.choose` does with a folder.
    detector: As `detect.make_detector` takes it.

  Returns:
    The photo.

  Raises:
    InputError: It cannot be used, or no face is found and one is needed.
  """
  decoded = decode.decode_noted(data, "this photo")
  if kind == "auto":
    find = detect.make_detector(detector)
    seen = crop_choice.look(1, lambda number: decoded.pixels, find)
    if seen.is_cropped and seen.num_found:
      return Photo(decoded.pixels, "none", decoded.notes)
  cut = photos.make_cutter(kind, detector)(decoded.pixels)
  if cut.image is None:
    raise errors.InputError("this photo: no face found.")
  return Photo(cut.image, cut.kind, decoded.notes)


class Kept:
  """The photos of all pages that are open, a bounded number of them."""

  def __init__(self):
    self._photos = collections.OrderedDict()
    self._lock = threading.Lock()

  def add(self, photo: Photo) -> str:
    """Keeps a photo.

    Args:
      photo: The photo.

    Returns:
      Its name, which cannot be guessed.
    """
    name = secrets.token_urlsafe(12)
    with self._lock:
      self._photos[name] = photo
      while len(self._photos) > MOST_KEPT:
        self._photos.popitem(last=False)
    return name

  def get(self, name: str) -> Photo:
    """Returns a photo.

    Args:
      name: As `add` returned it.

    Raises:
      InputError: It is no longer kept.
    """
    with self._lock:
      if name not in self._photos:
        raise errors.InputError(
          "this photo is no longer kept; give it once more."
        )
      self._photos.move_to_end(name)
      return self._photos[name]
