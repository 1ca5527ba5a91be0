"""Pictures for the page: small JPEG files, in memory."""

import base64

import numpy as np
from PIL import Image

from facerep_jax.files import images

_QUALITY = 92


def jpeg(picture: np.ndarray, most_px: int | None = None) -> bytes:
  """Encodes a picture.

  Args:
    picture: [H, W, 3], uint8, or float in [0, 1].
    most_px: Longer side at most; larger pictures are reduced.

  Returns:
    The bytes of a JPEG file.
  """
  picture = np.asarray(picture)
  if picture.dtype != np.uint8:
    picture = (255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8)
  longer = max(picture.shape[:2])
  if most_px is not None and longer > most_px:
    height, width = (
      max(1, round(x * most_px / longer)) for x in picture.shape[:2]
    )
    picture = np.asarray(
      Image.fromarray(picture).resize((width, height), reducing_gap=2.0)
    )
  return images.encode_jpeg(picture, _QUALITY)


def address(picture: np.ndarray) -> str:
  """Encodes a picture as an address that holds it, for JSON; see `jpeg`."""
  return "data:image/jpeg;base64," + base64.b64encode(jpeg(picture)).decode()
