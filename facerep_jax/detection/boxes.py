"""What face detectors share: boxes without doubles, sizes, frontal faces."""

import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

MIN_FACE = 0.1  # Of the shorter side of the image; smaller faces are not found.
# How far the tip of a frontal face's nose may lie from the middle between the
# eyes, along the line through them, in distances of the eyes: the median at 20
# degrees of yaw in synthetic faces (`generator.draw_labels`).
FRONTAL_OFFSET = 0.26
_OVERLAP = 0.5  # Of the smaller box; above, the weaker face is dropped.


def suppress(faces: np.ndarray) -> np.ndarray:
  """Drops faces that mostly cover a better one.

  Args:
    faces: [N, 5 or more] x0, y0, x1, y1, score, and what else is known.

  Returns:
    [M, as many], best score first; of two boxes whose intersection is over half
    of the smaller one, only the better.
  """
  kept = []
  for face in faces[np.argsort(-faces[:, 4], kind="stable")]:
    if all(_overlap(face, other) <= _OVERLAP for other in kept):
      kept.append(face)
  return np.array(kept, np.float32).reshape(-1, faces.shape[1])


def is_frontal(landmarks: np.ndarray) -> np.ndarray:
  """Tells nearly frontal faces by how far the nose is off the middle.

  Args:
    landmarks: [N, 5, 2] x, y of both eyes, the tip of the nose and both corners
      of the mouth, in any unit.

  Returns:
    [N] bool; false where both eyes are at one place.
  """
  first, second, nose = landmarks[:, 0], landmarks[:, 1], landmarks[:, 2]
  across = second - first
  square = (across**2).sum(axis=1)
  off = ((nose - (first + second) / 2) * across).sum(axis=1)
  return (square > 0) & (np.abs(off) <= FRONTAL_OFFSET * square)


def _overlap(a, b):
  """Returns intersection over the smaller area."""
  width = min(a[2], b[2]) - max(a[0], b[0])
  height = min(a[3], b[3]) - max(a[1], b[1])
  if width <= 0 or height <= 0:
    return 0.0
  return width * height / min(_area(a), _area(b))


def _area(box):
  return (box[2] - box[0]) * (box[3] - box[1])


def reduced(
  cv2: types.ModuleType, image: np.ndarray, max_side_px: int
) -> tuple[np.ndarray, float]:
  """Reduces an image to a longest side.

  Args:
    cv2: OpenCV.
    image: uint8 [H, W, 3].
    max_side_px: Most pixels of its longer side.

  Returns:
    uint8 [h, w, 3], and its scale, at most 1.
  """
  height, width = image.shape[:2]
  scale = min(1.0, max_side_px / max(height, width))
  if scale == 1.0:
    return image, 1.0
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


class PerThread(threading.local):
  """What each thread makes for itself, at its first use.

  OpenCV's detectors keep what they work on: threads must not share one.

  Attributes:
    value: This thread's own.
  """

  def __init__(self, make: Callable[[], Any]):
    self.value = make()
