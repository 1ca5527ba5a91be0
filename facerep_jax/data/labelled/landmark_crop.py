"""Cuts the face out of a photo whose landmarks are known."""

from collections.abc import Callable

import numpy as np

from facerep_jax import errors
from facerep_jax.detection import crop

# What an image of a set with landmarks can be cut to, and what cut that is:
# the square that `make_tracks` cuts; the box of the 300-W protocol; nothing.
CROPS = {"square": "track", "box": "face", "none": "photo"}

# The box of a face detector from the box around 68 landmarks, which ends at
# the brows. Medians over 45 faces of OpenCV's Haar cascades: side 1.13, middle
# 0.16 further up, in longer sides of the landmarks' box.
_FACE_SIDE = 1.15
_FACE_RISE = 0.15


def face_box(landmarks_px: np.ndarray) -> np.ndarray:
  """Estimates the box that a face detector would give.

  Args:
    landmarks_px: [68, 2] float; the centre of the top left pixel is (0, 0).

  Returns:
    float64 [4] square x0, y0, x1, y1 from border to border: the border of the
    top left pixel is (0, 0), as `crop.crop_box` takes it.
  """
  low, high = _bounds(landmarks_px)
  side = (high - low).max()
  middle = (low + high) / 2 - (0, _FACE_RISE * side)
  half = _FACE_SIDE * side / 2
  return np.concatenate([middle - half, middle + half])


def _bounds(landmarks_px):
  """Returns both ends of the landmarks' box, from the image's border."""
  points = np.asarray(landmarks_px, np.float64) + 0.5
  low, high = points.min(axis=0), points.max(axis=0)
  if not ((high > low).all() and np.isfinite(points).all()):
    raise errors.InputError(
      f"landmarks from {low.tolist()} to {high.tolist()} px span no box."
    )
  return low, high


def plan(
  crop_name: str, landmarks_px: np.ndarray
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
  """Plans one of `CROPS`.

  Args:
    crop_name: Which.
    landmarks_px: [68, 2] float.

  Returns:
    A function that cuts the image, and the landmarks in the cut.

  Raises:
    InputError: There is no such crop, or the landmarks span no box.
  """
  if crop_name not in CROPS:
    raise errors.InputError(
      f"crop is {crop_name!r}, expected one of {', '.join(CROPS)}."
    )
  if crop_name == "none":
    return lambda image: image, np.asarray(landmarks_px, np.float64)
  planner = plan_square if crop_name == "square" else plan_box
  return planner(landmarks_px)


def plan_square(
  landmarks_px: np.ndarray, scale: float = crop.SCALE
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
  """Plans the cut of `make_tracks`: the face's box times a scale.

  Args:
    landmarks_px: [68, 2] float.
    scale: Side of the square over that of `face_box`.

  Returns:
    A function that cuts the square out of the image, pixels kept at their
    size, the border repeated beyond the image; and the landmarks in the cut.

  Raises:
    InputError: The landmarks span no box.
  """
  box = face_box(landmarks_px)
  x0, y0, x1, _ = crop.square_box(box, scale)
  size_px = max(1, round(x1 - x0))
  points = _map(landmarks_px, (x0, y0), size_px / (x1 - x0))
  return lambda image: crop.crop_box(image, box, size_px, scale), points


def plan_box(
  landmarks_px: np.ndarray, margin: float = 0.1
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
  """Plans the cut of the published 300-W protocol.

  Args:
    landmarks_px: [68, 2] float.
    margin: What the box of the landmarks grows by on each side, share of that
      side.

  Returns:
    A function that cuts the box out of the image and stretches it to a square
    of its longer side; and the landmarks in that square.

  Raises:
    InputError: The landmarks span no box.
  """
  low, high = _bounds(landmarks_px)
  grow = margin * (high - low)
  low, high = low - grow, high + grow
  size_px = max(1, round((high - low).max()))
  points = _map(landmarks_px, low, size_px / (high - low))
  box = (*low, *high)
  return lambda image: crop.stretch(image, box, size_px), points


def _map(landmarks_px, corner, scale):
  """Moves points along with a cut; borders scale, so centres shift by 0.5."""
  points = np.asarray(landmarks_px, np.float64) + 0.5
  return (points - corner) * scale - 0.5
