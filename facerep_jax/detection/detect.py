"""Face detectors: CenterFace, OpenCV's cascades, or a file of the user's."""

import functools
import logging
import os
from collections.abc import Callable

import numpy as np

from facerep_jax import errors
from facerep_jax.detection import boxes, center_face

_log = logging.getLogger(__name__)

# Maps uint8 [H, W, 3] RGB to float32 [N, 6]: x0, y0, x1, y1 in pixels, a score,
# and 1 for a nearly frontal face, else 0; best first. A detector that cannot
# tell the last leaves it out: [N, 5].
Detector = Callable[[np.ndarray], np.ndarray]

CASCADE = "cascade"
CENTERFACE = "centerface"
NAMES = (CENTERFACE, CASCADE)
HELP = (
  f"{', '.join(NAMES)} or a model file (.onnx) for cv2.FaceDetectorYN; "
  f"default: {CENTERFACE} where it is installed, else {CASCADE}"
)
MAX_SIDE_PX = 480  # Detection runs on an image reduced to this.
_FRONTAL = "haarcascade_frontalface_alt2.xml"
_PROFILE = "haarcascade_profileface.xml"
_FRONTAL_NEIGHBOURS = 4
_PROFILE_NEIGHBOURS = 6  # The profile cascade errs more often.
# The frontal cascade finds turned faces, too, but with fewer hits. With as many
# as this, few are turned by over 30 degrees; docs/tracks.md has the shares.
_FRONTAL_HITS = 20
_MODEL_SCORE = 0.6
_LANDMARKS = slice(4, 14)  # Of a model's row: eyes, nose, corners of the mouth.


def default_name() -> str:
  """Returns which detector is used where none is asked for."""
  return CASCADE if center_face.find_file() is None else CENTERFACE


def model_file(model: str) -> str | None:
  """Returns the file that a detector's network lies in.

  Args:
    model: As for `make_detector`.

  Returns:
    Its path; None for the cascades.

  Raises:
    InputError: CenterFace is not installed.
  """
  if model == CASCADE:
    return None
  if model != CENTERFACE:
    return model
  path = center_face.find_file()
  if path is None:
    raise errors.InputError(
      f"--detector={CENTERFACE}: its network is not installed: "
      f"{center_face.INSTALL}"
    )
  return path


def make_detector(model: str | None = None) -> Detector:
  """Makes the face detector.

  Args:
    model: One of `NAMES`, or a model file for `cv2.FaceDetectorYN` (.onnx);
      None for `default_name`, and where that is the cascades, the log names
      once what would find more.

  Returns:
    A function from uint8 [H, W, 3] RGB to float32 [N, 6]: x0, y0, x1, y1 in
    pixels of the image, a score (not comparable between detectors), and 1 for
    a nearly frontal face, else 0; best first. Of a model without landmarks,
    [N, 5]: the last is unknown.

  Raises:
    InputError: OpenCV or CenterFace is missing or without what is needed, or
      the model cannot be read.
  """
  cv2 = errors.require("cv2", "video", "finding faces")
  if model is None:
    model = default_name()
    if model == CASCADE:
      _say_what_is_missing()
  if model == CASCADE:
    return _Haar(cv2)
  path = model_file(model)
  kind = center_face.CenterFace if model == CENTERFACE else _Model
  return kind(cv2, path)


@functools.cache
def _say_what_is_missing():
  _log.info(
    "faces are found by OpenCV's cascades, which miss dark, turned and covered "
    "ones; CenterFace finds more: %s",
    center_face.INSTALL,
  )


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
    self._cascades = boxes.PerThread(
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
    small, scale = boxes.reduced(cv2, image, MAX_SIDE_PX)
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
    return boxes.suppress(np.concatenate([faces, told], axis=1))

  def _find(self, cascade, grey, neighbours):
    side = max(20, int(boxes.MIN_FACE * min(grey.shape)))
    places, hits = cascade.detectMultiScale2(
      np.ascontiguousarray(grey), 1.1, neighbours, minSize=(side, side)
    )
    faces = np.zeros((len(places), 5), np.float32)
    for face, (x, y, width, height), hit in zip(faces, places, hits):
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
        f"detector model {path}: no such file; expected "
        f"{' or '.join(NAMES)}, or an .onnx model for cv2.FaceDetectorYN."
      )
    if not _is_utf8(path):
      # OpenCV would end the process.
      raise errors.InputError(
        f"detector model {path}: its name is no UTF-8; rename it."
      )
    self._net = boxes.PerThread(self._load)

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
    small, scale = boxes.reduced(cv2, image, MAX_SIDE_PX)
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
      columns.append(boxes.is_frontal(found[:, _LANDMARKS].reshape(-1, 5, 2)))
    return boxes.suppress(np.stack(columns, axis=1))
