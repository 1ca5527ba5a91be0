"""Test images with what was read from them, as pictures to look at."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

_ENLARGE = 3
_MAX_SIDE_PX = 520  # Larger pictures are enlarged less, so that pages load.
_TRUE, _PREDICTED = "#00c000", "#ff2020"


class Picture(NamedTuple):
  """A test image and what the run's own linear probe made of it.

  Attributes:
    image: uint8 [H, W, 3], RGB.
    caption: Text below it.
    true_points: [L, 2] float, x and y in px of the image, the centre of its
      top left pixel at (0, 0); None where there are no landmarks.
    predicted_points: The same.
  """

  image: np.ndarray
  caption: str
  true_points: np.ndarray | None = None
  predicted_points: np.ndarray | None = None


def enlarge(picture: Picture) -> Image.Image:
  """Enlarges a picture and draws its points.

  Args:
    picture: The picture.

  Returns:
    An image three times as large, or less where that would be over 520 px;
    true points are green dots, predicted ones red crosses.
  """
  height, width = picture.image.shape[:2]
  scale = max(1, min(_ENLARGE, _MAX_SIDE_PX // max(height, width)))
  image = Image.fromarray(picture.image).resize(
    (width * scale, height * scale), Image.Resampling.NEAREST
  )
  draw = ImageDraw.Draw(image)
  r = max(1.5, min(image.size) / 120)
  for x, y in _places(picture.true_points, scale):
    draw.ellipse((x - r, y - r, x + r, y + r), fill=_TRUE)
  for x, y in _places(picture.predicted_points, scale):
    draw.line((x - r, y - r, x + r, y + r), fill=_PREDICTED)
    draw.line((x - r, y + r, x + r, y - r), fill=_PREDICTED)
  return image


def _places(points, scale):
  """Returns where points lie in the enlarged picture, but for unknown ones."""
  if points is None:
    return []
  points = np.asarray(points, float)
  return (points[np.isfinite(points).all(axis=1)] + 0.5) * scale - 0.5
