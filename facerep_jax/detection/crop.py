"""Cuts the square around a face, the same way in training and in use."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from facerep_jax import errors

SCALE = 1.6  # Side of the crop over the longer side of the detector's box.
# Height of the box's middle in the crop, share of its side: the middle of the
# window in which FAb-Net's own crop lies (`transforms.Crop`), so that this one
# is about the face and keeps the chin.
MIDDLE_Y = 103 / 256


def square_box(box_px: np.ndarray, scale: float = SCALE) -> np.ndarray:
  """Widens a face box to the square that is cut out.

  Args:
    box_px: [4] x0, y0, x1, y1 of the face.
    scale: Side of the square over the longer side of the box.

  Returns:
    float64 [4], the square with the box in its middle across and at `MIDDLE_Y`
    down; may reach over the image.
  """
  x0, y0, x1, y1 = np.asarray(box_px, np.float64)
  side = scale * max(x1 - x0, y1 - y0)
  left = (x0 + x1 - side) / 2
  top = (y0 + y1) / 2 - MIDDLE_Y * side
  return np.array([left, top, left + side, top + side])


def crop_box(
  image: np.ndarray, box_px: np.ndarray, size_px: int, scale: float = SCALE
) -> np.ndarray:
  """Cuts the square around a face box and resizes it.

  Outside of the image, the nearest pixel of its border is repeated. The square
  is not rounded to whole pixels, so a slow move of the box does not jitter.

  Args:
    image: uint8 [H, W, 3] RGB.
    box_px: [4] x0, y0, x1, y1 of the face, in pixels of `image`.
    size_px: Side of the result.
    scale: Side of the square over the longer side of the box.

  Returns:
    uint8 [size_px, size_px, 3].

  Raises:
    InputError: The box is empty or not finite, or its square misses the image.
  """
  errors.check_shape("image", image, "H W 3")
  height, width = image.shape[:2]
  square = square_box(box_px, scale)
  sides = np.subtract(box_px[2:], box_px[:2])
  if not (np.isfinite(square).all() and (sides > 0).all()):
    raise errors.InputError(
      f"face box {np.asarray(box_px).tolist()}: expected x0 < x1 and y0 < y1."
    )
  if _misses(square, width, height):
    raise errors.InputError(
      f"face box {np.asarray(box_px).tolist()} lies outside of the image of "
      f"{width} x {height} px."
    )
  return _resample(image, square, size_px)


def stretch(
  image: np.ndarray, box: tuple[float, float, float, float], size_px: int
) -> np.ndarray:
  """Cuts a box and stretches it to a square.

  Args:
    image: uint8 [H, W, 3] RGB.
    box: x0, y0, x1, y1 from border to border, px; beyond the image, its
      border is repeated.
    size_px: Side of the result.

  Returns:
    uint8 [size_px, size_px, 3].

  Raises:
    InputError: The box misses the image.
  """
  height, width = image.shape[:2]
  box = [float(x) for x in box]
  if _misses(box, width, height):
    raise errors.InputError(
      f"box {box} lies outside of the image of {width} x {height} px."
    )
  return _resample(image, box, size_px)


def _misses(box, width, height):
  """Says whether a box shows nothing of an image."""
  x0, y0, x1, y1 = box
  return x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0


def _resample(image, box, size_px):
  """Cuts a box and stretches it; the border of the image is repeated."""
  height, width = image.shape[:2]
  x0, y0, x1, y1 = box
  # Two pixels of margin, for the filter to look at.
  left, top = int(np.floor(x0)) - 2, int(np.floor(y0)) - 2
  right, bottom = int(np.ceil(x1)) + 2, int(np.ceil(y1)) + 2
  rows = np.clip(np.arange(top, bottom), 0, height - 1)
  columns = np.clip(np.arange(left, right), 0, width - 1)
  patch = Image.fromarray(image[rows[:, None], columns])
  part = (x0 - left, y0 - top, x1 - left, y1 - top)
  return np.asarray(
    patch.resize((size_px, size_px), Image.Resampling.BICUBIC, box=part)
  )


def whole_image(image: np.ndarray, size_px: int) -> np.ndarray:
  """Cuts the largest central square and resizes it.

  Args:
    image: uint8 [H, W, 3] RGB.
    size_px: Side of the result.

  Returns:
    uint8 [size_px, size_px, 3]; the pixels of `image` where it has that size.
  """
  errors.check_shape("image", image, "H W 3")
  height, width = image.shape[:2]
  side = min(height, width)
  x0, y0 = (width - side) / 2, (height - side) / 2
  return np.asarray(
    Image.fromarray(image).resize(
      (size_px, size_px),
      Image.Resampling.BICUBIC,
      box=(x0, y0, x0 + side, y0 + side),
    )
  )


def main_face(faces: np.ndarray, width: int, height: int) -> np.ndarray | None:
  """Picks the face that a picture is most likely of.

  Args:
    faces: [N, 4 or more] x0, y0, x1, y1 and what else detectors return.
    width: Width of the image in pixels.
    height: Height of the image in pixels.

  Returns:
    [as many] row of the face with the largest area, weighted by exp(-2 d^2)
    with d its distance from the centre of the image in half diagonals; None for
    N = 0.
  """
  number = main_face_number(faces, width, height)
  return None if number is None else faces[number]


def main_face_number(faces: np.ndarray, width: int, height: int) -> int | None:
  """Returns which face `main_face` picks; None for N = 0."""
  if not len(faces):
    return None
  x0, y0, x1, y1 = faces[:, :4].T
  dx, dy = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
  distance_sq = (dx**2 + dy**2) / ((width**2 + height**2) / 4)
  weight = (x1 - x0) * (y1 - y0) * np.exp(-2 * distance_sq)
  return int(np.argmax(weight))


class Cut(NamedTuple):
  """A face that was cut out of an image, or the image.

  Attributes:
    image: uint8 [H, W, 3]; None where there is no face and one is needed.
    kind: "face", "whole" or "none" (it was not looked for).
    face: [5 or 6] float32, as a detector found it; None without.
    others: Further faces of the image, where they are asked for.
  """

  image: np.ndarray | None
  kind: str
  face: np.ndarray | None = None
  others: tuple["Cut", ...] = ()


def find_and_crop(
  image: np.ndarray,
  detector: Callable[[np.ndarray], np.ndarray],
  size_px: int,
  scale: float = SCALE,
  *,
  is_all: bool = False,
) -> Cut:
  """Cuts out the main face of an image, or the whole image without one.

  Args:
    image: uint8 [H, W, 3] RGB.
    detector: Maps an image to faces; see `detect.make_detector`.
    size_px: Side of the result.
    scale: Side of the square over the longer side of the face box.
    is_all: Cut out the other faces, too.

  Returns:
    uint8 [size_px, size_px, 3], "face" or "whole", and the face; with `is_all`
    the other faces, from left to right.
  """
  errors.check_shape("image", image, "H W 3")
  faces = detector(image)
  main = main_face_number(faces, image.shape[1], image.shape[0])
  if main is None:
    return Cut(whole_image(image, size_px), "whole")

  def cut(number, others=()):
    face = faces[number]
    pixels = crop_box(image, face[:4], size_px, scale)
    return Cut(pixels, "face", face, others)

  if not is_all:
    return cut(main)
  rest = [i for i in range(len(faces)) if i != main]
  rest.sort(key=lambda i: faces[i, 0] + faces[i, 2])
  return cut(main, tuple(map(cut, rest)))
