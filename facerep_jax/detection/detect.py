"""Face detectors: OpenCV's Haar cascades, or a model file of the user's."""

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from facerep_jax import errors

# Maps uint8 [H, W, 3] RGB to float32 [N, 6]: x0, y0, x1, y1 in pixels, a score,
# and 1 for a nearly frontal face, else 0; best first. A detector that cannot
# tell the last leaves it out: [N, 5].
Detector = Callable[[np.ndarray], np.ndarray]

MAX_SIDE_PX = 480  # Detection runs on an image reduced to this.
MIN_FACE = 0.1  # Of the shorter side of the image; smaller faces are not found.
_FRONTAL = "haarcascade_frontalface_alt2.xml"
_PROFILE = "haarcascade_profileface.xml"
_FRONTAL_NEIGHBOURS = 4
_PROFILE_NEIGHBOURS = 6  # The profile cascade errs more often.
# The frontal cascade finds turned faces, too, but with fewer hits. With as many
# as this, few are turned by over 30 degrees; docs/tracks.md has the shares.
_FRONTAL_HITS = 20
_MODEL_SCORE = 0.6
# How far the tip of a frontal face's nose may lie from the middle between the
# eyes, along the line through them, in distances of the eyes: the median at 20
# degrees of yaw in synthetic faces (`generator.draw_labels`).
FRONTAL_OFFSET = 0.26
_LANDMARKS = slice(4, 14)  # Of a model's row: eyes, nose, corners of the mouth.
_OVERLAP = 0.5  # Of the smaller box; above, the weaker face is dropped.


def make_detector(model: str | None = None) -> Detector:
  """Makes the face detector.

  Args:
    model: A model file for `cv2.FaceDetectorYN` (.onnx); None for the cascades
      that come with OpenCV 4.

  Returns:
    A function from uint8 [H, W, 3] RGB to float32 [N, 6]: x0, y0, x1, y1 in
    pixels of the image, a score (not comparable between detectors), and 1 for
    a nearly frontal face, else 0; best first. Of a model without landmarks,
    [N, 5]: the last is unknown.

  Raises:
    InputError: OpenCV is missing or without what is needed, or the model
      cannot be read.
  """
  cv2 = errors.require("cv2", "video", "finding faces")
  return _Haar(cv2) if model is None else _Model(cv2, model)


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


def _reduced(cv2, image):
  """Returns the image reduced to MAX_SIDE_PX, and the scale."""
  height, width = image.shape[:2]
  scale = min(1.0, MAX_SIDE_PX / max(height, width))
  if scale == 1.0:
    return image, 1.0
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


class _PerThread(threading.local):
  """What each thread makes for itself, at its first use.

  OpenCV's detectors keep what they work on: threads must not share one.

  Attributes:
    value: This thread's own.
  """

  def __init__(self, make: Callable[[], Any]):
    self.value = make()


class _Haar:
  """Frontal faces; where there are none, profiles to either side."""

  def __init__(self, cv2):
    self._cv2 = cv2
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
      raise errors.InputError(
        f"OpenCV {cv2.__version__} comes without the Haar face cascades "
        '(OpenCV 5 dropped them): pip install "opencv-python-headless<5", or '
        "pass a model file for cv2.FaceDetectorYN (--detector=MODEL.onnx)."
      )
    self._cascades = _PerThread(
      lambda: [
        self._load(os.path.join(folder, name)) for name in (_FRONTAL, _PROFILE)
      ]
    )

  def _load(self, path):
    cascade = self._cv2.CascadeClassifier(path)
    if cascade.empty():
      raise errors.InputError(
        f"{path}: the face cascade of OpenCV {self._cv2.__version__} is "
        'missing or damaged: pip install --force-reinstall "opencv-python-'
        'headless<5", or pass --detector=MODEL.onnx.'
      )
    return cascade

  def __call__(self, image):
    errors.check_shape("image", image, "H W 3")
    cv2 = self._cv2
    small, scale = _reduced(cv2, image)
    grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    frontal, profile = self._cascades.value
    faces = self._find(frontal, grey, _FRONTAL_NEIGHBOURS)
    is_frontal = len(faces) > 0
    if not is_frontal:
      mirrored = self._find(profile, grey[:, ::-1], _PROFILE_NEIGHBOURS)
      mirrored[:, [0, 2]] = grey.shape[1] - mirrored[:, [2, 0]]
      faces = np.concatenate(
        [self._find(profile, grey, _PROFILE_NEIGHBOURS), mirrored]
      )
    faces[:, :4] /= scale
    told = is_frontal & (faces[:, 4:] >= _FRONTAL_HITS)
    return suppress(np.concatenate([faces, told], axis=1))

  def _find(self, cascade, grey, neighbours):
    side = max(20, int(MIN_FACE * min(grey.shape)))
    boxes, hits = cascade.detectMultiScale2(
      np.ascontiguousarray(grey), 1.1, neighbours, minSize=(side, side)
    )
    faces = np.zeros((len(boxes), 5), np.float32)
    for face, (x, y, width, height), hit in zip(faces, boxes, hits):
      face[:] = x, y, x + width, y + height, hit
    return faces


def _is_utf8(path):
  try:
    os.fspath(path).encode()
  except UnicodeEncodeError:
    return False
  return True


class _Model:
  """A model file run by `cv2.FaceDetectorYN`."""

  def __init__(self, cv2, path):
    self._cv2, self._path = cv2, path
    if not os.path.isfile(path):
      raise errors.InputError(
        f"detector model {path}: no such file; expected an .onnx model for "
        "cv2.FaceDetectorYN."
      )
    if not _is_utf8(path):
      # OpenCV would end the process.
      raise errors.InputError(
        f"detector model {path}: its name is no UTF-8; rename it."
      )
    self._net = _PerThread(self._load)

  def _load(self):
    cv2 = self._cv2
    try:
      return cv2.FaceDetectorYN.create(self._path, "", (320, 320), _MODEL_SCORE)
    except cv2.error as error:
      raise self._unusable() from error

  def _unusable(self):
    return errors.InputError(
      f"detector model {self._path}: OpenCV {self._cv2.__version__} cannot "
      "use it; expected an .onnx model for cv2.FaceDetectorYN, such as YuNet."
    )

  def __call__(self, image):
    errors.check_shape("image", image, "H W 3")
    cv2 = self._cv2
    small, scale = _reduced(cv2, image)
    net = self._net.value
    net.setInputSize((small.shape[1], small.shape[0]))
    try:
      found = net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
    except cv2.error as error:
      raise self._unusable() from error
    if found is None:
      return np.zeros((0, 6), np.float32)
    x, y, width, height = found[:, :4].T / scale
    columns = [x, y, x + width, y + height, found[:, -1]]
    if found.shape[1] > _LANDMARKS.stop:
      columns.append(is_frontal(found[:, _LANDMARKS].reshape(-1, 5, 2)))
    return suppress(np.stack(columns, axis=1))
