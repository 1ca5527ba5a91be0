"""Cropping, resizing and augmentation of the frames of one track."""

import dataclasses
import functools
import importlib
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from facerep_jax import errors, setting_ranges


@dataclasses.dataclass(frozen=True)
class Crop:
  """The square that a network sees of a track's frame.

  All lengths are in units of a frame of `frame_px`, whatever its real size.
  The defaults are FAb-Net's: a window of 190 px around (128, 103); training
  takes squares of 170 to 189 px at random places in it, inference the middle
  170 px.

  Attributes:
    frame_px: The frame's side, the unit of the others.
    centre_x_px: Middle of the window.
    centre_y_px: Middle of the window.
    window_px: Side of the window in which training jitters.
    min_side_px: Least side of a crop, and the side without jitter.
    max_side_px: Greatest side of a crop.

  Source: the authors' published data loader (resize to 256, pad 20, 80, 20,
    30, centre crop 190, random crop); the padding never shows.
  """

  frame_px: int = 256
  centre_x_px: int = 128
  centre_y_px: int = 103
  window_px: int = 190
  min_side_px: int = 170
  max_side_px: int = 189

  def __post_init__(self):
    setting_ranges.check_fields(self, "data.crop.")
    half = self.window_px / 2
    ends = (
      self.centre_x_px - half,
      self.centre_y_px - half,
      self.frame_px - self.centre_x_px - half,
      self.frame_px - self.centre_y_px - half,
    )
    sides = 0 < self.min_side_px <= self.max_side_px <= self.window_px
    if min(ends) < 0 or not sides:
      raise errors.InputError(
        "config.data.crop: expected a window inside the frame and 0 < "
        "min_side_px <= max_side_px <= window_px, got "
        f"{dataclasses.asdict(self)}."
      )

  def middle(self) -> tuple[float, float, float]:
    """Returns left, top and side of the crop without jitter."""
    half = self.min_side_px / 2
    return (
      self.centre_x_px - half,
      self.centre_y_px - half,
      float(self.min_side_px),
    )

  def jittered(
    self, side_px: int, rng: np.random.Generator
  ) -> tuple[float, float, float]:
    """Draws a place for a crop of `side_px`: left, top and side."""
    room = self.window_px - side_px
    # One by one: NumPy takes longer for an array of two, of the same numbers.
    left, top = int(rng.integers(room + 1)), int(rng.integers(room + 1))
    half = self.window_px / 2
    return (
      self.centre_x_px - half + left,
      self.centre_y_px - half + top,
      float(side_px),
    )


class Box(NamedTuple):
  """A square of a stored frame; all numbers in its pixels.

  Attributes:
    left: Where it begins.
    top: Likewise.
    side: Its side.
    column: First whole column of pixels that it touches.
    row: Likewise.
    right: One behind the last of these columns.
    bottom: Likewise.
  """

  left: float
  top: float
  side: float
  column: int
  row: int
  right: int
  bottom: int


def box(
  height: int,
  width: int,
  square: tuple[float, float, float],
  frame_px: int,
) -> Box:
  """Says where a square lies in a stored frame.

  Args:
    height: Of the stored frame in pixels; where it is not square, the largest
      central square is the frame.
    width: Likewise.
    square: Left, top and side, in units of a frame of `frame_px` on each side.
    frame_px: The unit.

  Returns:
    The same in pixels of the stored frame.
  """
  unit = min(height, width) / frame_px
  left = (width - min(height, width)) / 2 + square[0] * unit
  top = (height - min(height, width)) / 2 + square[1] * unit
  side = square[2] * unit
  return Box(
    *(left, top, side),
    *(math.floor(left), math.floor(top)),
    min(math.ceil(left + side), width),
    min(math.ceil(top + side), height),
  )


def crop_and_resize(
  image: np.ndarray,
  square: tuple[float, float, float],
  frame_px: int,
  size_px: int,
) -> np.ndarray:
  """Cuts a square out of a frame and resizes it, in one resampling.

  Args:
    image: [h, w, 3] uint8, or float of any range; of an image that is not
      square, the largest central square is the frame.
    square: Left, top and side, in units of a frame of `frame_px` on each side.
    frame_px: The unit.
    size_px: Side of the result in pixels.

  Returns:
    [size_px, size_px, 3], uint8 or float32; bilinear, with antialiasing when it
    shrinks; nothing of what lies beyond the square. Whole pixels of uint8 are
    enlarged by OpenCV where it is installed, in a seventh of Pillow's time and
    to within one level of it: Pillow rounds twice.

  Differs: the published loader resizes to 256 px, cuts, and resizes again;
    one resampling is the same for frames of 256 px, and sharper for others.
  """
  place = box(*image.shape[:2], square, frame_px)
  # Pillow's filter would reach for pixels beyond its box: cut them off first.
  image = image[place.row : place.bottom, place.column : place.right]
  left, top = place.left - place.column, place.top - place.row
  inner = (left, top, left + place.side, top + place.side)
  size = (size_px, size_px)
  if image.dtype == np.uint8:
    is_whole = inner == (0, 0, *image.shape[1::-1])
    if is_whole and size_px >= place.side and _opencv():
      return _opencv().resize(image, size)
    picture = Image.fromarray(image)
    return np.asarray(
      picture.resize(size, Image.Resampling.BILINEAR, box=inner)
    )
  planes = [
    Image.fromarray(np.ascontiguousarray(image[..., c], np.float32))
    for c in range(image.shape[-1])
  ]
  resized = [
    p.resize(size, Image.Resampling.BILINEAR, box=inner) for p in planes
  ]
  return np.stack([np.asarray(p) for p in resized], axis=-1)


@functools.cache
def _opencv():
  """Returns the module where it is installed, else None."""
  try:
    return importlib.import_module("cv2")
  except ImportError:
    return None


def mirror(frames: np.ndarray) -> np.ndarray:
  """Mirrors frames [T, H, W, 3] left to right."""
  return np.ascontiguousarray(frames[:, :, ::-1])


def colour_factors(strength: float, rng: np.random.Generator) -> np.ndarray:
  """Draws the factors of `jitter_colour`.

  Args:
    strength: As for `jitter_colour`.
    rng: Likewise.

  Returns:
    [3] float32: of brightness, contrast and saturation.
  """
  return rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)


def jitter_colour(
  frames: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
  """Changes brightness, contrast and saturation, alike for all frames.

  Args:
    frames: [T, H, W, 3] uint8.
    strength: Each factor is drawn from 1 - strength to 1 + strength.
    rng: Where the three factors come from.

  Returns:
    [T, H, W, 3] uint8, rounded and limited to 0..255 as a camera would.
  """
  brightness, contrast, saturation = colour_factors(strength, rng)
  luma = np.array([0.299, 0.587, 0.114], np.float32)
  x = frames.astype(np.float32) * brightness
  grey = x @ luma
  x = (x - grey.mean()) * contrast + grey.mean()
  grey = (x @ luma)[..., None]
  x = (x - grey) * saturation + grey
  return np.clip(np.rint(x), 0, 255).astype(np.uint8)
