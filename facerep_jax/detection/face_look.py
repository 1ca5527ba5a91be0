"""What a face looks like, in few numbers: shape of its edges, and colours."""

import numpy as np

from facerep_jax import errors
from facerep_jax.detection import crop

SIDE_PX = 64  # Of the faces that are compared.
_MAX_SIDE_PX = 480  # Faces are taken from an image reduced to this.
_PICTURE_PX = (24, 16)  # Width and height of the image as a whole.
_CELLS = 8  # Along a side, for edges.
_ANGLES = 9
_CLIP = 0.5  # Most that one angle of a cell counts.
_LUMA, _CHROMA = 4, 10  # Bins.
_CHROMA_RANGE = (88, 168)  # Of 8-bit a and b; faces stay well within.


class Looks:
  """What frames show, and the faces found in them; filled frame by frame.

  Attributes:
    pictures: Of each frame, uint8 [16, 24, 3], the frame reduced to that.
    edges: Of each frame, float16 [K, 576] for its K faces, as `edges`.
    colours: Of each frame, float16 [K, 400], as `colours`.
  """

  def __init__(self):
    self.pictures: list[np.ndarray] = []
    self.edges: list[np.ndarray] = []
    self.colours: list[np.ndarray] = []

  def add(self, image: np.ndarray, faces: np.ndarray) -> None:
    """Takes down a frame.

    Args:
      image: uint8 [H, W, 3] RGB.
      faces: [K, 4 or more] x0, y0, x1, y1 in pixels of `image`, and more.
    """
    cv2 = errors.require("cv2", "video", "finding faces")
    height, width = image.shape[:2]
    scale = min(1.0, _MAX_SIDE_PX / max(height, width))
    small = image
    if scale < 1:
      size = max(1, round(width * scale)), max(1, round(height * scale))
      small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    self.pictures.append(
      cv2.resize(small, _PICTURE_PX, interpolation=cv2.INTER_AREA)
    )
    boxes = faces[:, :4] * scale
    shape = edges, _CELLS**2 * _ANGLES, 1.0
    tint = colours, _LUMA * _CHROMA**2, crop.SCALE
    for out, (measure, width, margin) in (
      (self.edges, shape),
      (self.colours, tint),
    ):
      rows = np.zeros((len(boxes), width), np.float16)
      for row, box in zip(rows, boxes):
        row[:] = measure(_square(cv2, small, box, margin))
      out.append(rows)


def _square(cv2, image, box_px, margin):
  """Returns the square of a face, uint8 [SIDE_PX, SIDE_PX, 3]."""
  x0, y0, x1, y1 = box_px
  scale = SIDE_PX / (margin * max(x1 - x0, y1 - y0, 1.0))
  left, top = (x0 + x1) / 2 * scale, (y0 + y1) / 2 * scale
  move = np.array(
    [[scale, 0, SIDE_PX / 2 - left], [0, scale, SIDE_PX / 2 - top]]
  )
  return cv2.warpAffine(
    image, move, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE
  )


def edges(face: np.ndarray) -> np.ndarray:
  """Computes histograms of oriented gradients of a face.

  Args:
    face: uint8 [64, 64, 3] RGB.

  Returns:
    float32 [576], 8 x 8 cells of 9 angles, each cell by the energy around it;
    of length 1, or 0 where there is no edge.

  Source: after Dalal and Triggs, CVPR 2005.
  """
  cv2 = errors.require("cv2", "video", "finding faces")
  grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
  dx, dy = (
    cv2.Sobel(grey, cv2.CV_32F, *order, ksize=1) for order in ((1, 0), (0, 1))
  )
  size, angle = cv2.cartToPolar(dx, dy)
  angle *= _ANGLES / np.pi
  low = angle.astype(np.int64)
  share = angle - low
  low %= _ANGLES
  place = np.arange(SIDE_PX) * _CELLS // SIDE_PX
  cell = (place[:, None] * _CELLS + place) * _ANGLES
  bins = np.stack([cell + low, cell + (low + 1) % _ANGLES])
  weights = np.stack([size * (1 - share), size * share])
  count = _CELLS**2 * _ANGLES
  found = np.bincount(bins.ravel(), weights.ravel(), count)
  found = found.reshape(_CELLS, _CELLS, _ANGLES)
  energy = np.pad((found**2).sum(-1), 1, mode="edge")
  around = sum(
    energy[i : i + _CELLS, j : j + _CELLS] for i in range(3) for j in range(3)
  )
  found = np.minimum(found / np.sqrt(around / 9 + 1)[..., None], _CLIP).ravel()
  length = np.linalg.norm(found)
  return (found / length if length else found).astype(np.float32)


def colours(face: np.ndarray) -> np.ndarray:
  """Computes the histogram of colours of a face and what is around it.

  Args:
    face: uint8 [64, 64, 3] RGB.

  Returns:
    float32 [400], square roots of the shares of 4 x 10 x 10 bins of L, a and b,
    which are blurred over a and b; of length 1.
  """
  cv2 = errors.require("cv2", "video", "finding faces")
  lab = cv2.cvtColor(face, cv2.COLOR_RGB2Lab).astype(int)
  low, high = _CHROMA_RANGE
  luma = lab[..., 0] * _LUMA // 256
  a, b = np.clip(
    (lab[..., 1:] - low) * _CHROMA // (high - low), 0, _CHROMA - 1
  ).transpose(2, 0, 1)
  bins = (luma * _CHROMA + a) * _CHROMA + b
  found = np.bincount(bins.ravel(), minlength=_LUMA * _CHROMA**2)
  found = found.reshape(_LUMA, _CHROMA, _CHROMA).astype(np.float32)
  found = cv2.GaussianBlur(found.transpose(1, 2, 0), (3, 3), 0.8)
  found = np.sqrt(found.transpose(2, 0, 1).ravel())
  return found / np.linalg.norm(found)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Returns one minus the cosine, 0 to 1 for what this module computes.

  Args:
    a: [..., D].
    b: [..., D].

  Returns:
    float32 [...]; 0 where both have no length, 1 where one has none.
  """
  a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
  lengths = [np.linalg.norm(x, axis=-1) for x in (a, b)]
  both = lengths[0] * lengths[1]
  cosine = (a * b).sum(-1) / np.where(both > 0, both, 1)
  return np.where((lengths[0] == 0) & (lengths[1] == 0), 0.0, 1 - cosine)
