"""Decodes frames, with simplejpeg where it is installed and safe to use."""

import numpy as np

from facerep_jax.files import images

try:
  import simplejpeg  # Optional: the same pixels sooner.
except ModuleNotFoundError:
  simplejpeg = None

# In a JPEG that holds none of these, the pixels are upright sRGB as they are.
_MARKS = (b"Exif\0", b"tiff:Orientation", b"ICC_PROFILE\0")


def decode(data: bytes, name: str) -> np.ndarray:
  """Decodes an image to the same pixels as `images.decode`, but sooner.

  Args:
    data: Encoded image.
    name: File or record it comes from, for the message.

  Returns:
    uint8 [H, W, 3] RGB, upright.

  Raises:
    ImageError: As `images.decode`.
  """
  return decode_noted(data, name).pixels


def decode_noted(data: bytes, name: str) -> images.Decoded:
  """Returns what `images.decode` returns, but sooner."""
  pixels = _decode_plain_jpeg(data)
  if pixels is None:
    return images.decode(data, name)
  return images.Decoded(pixels, is_plain=True)


def _decode_plain_jpeg(data):
  """Returns the pixels of an upright RGB JPEG; None for all that is unusual."""
  is_jpeg = simplejpeg is not None and data.startswith(b"\xff\xd8")
  if not is_jpeg or any(mark in data for mark in _MARKS):
    return None
  try:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    is_small = min(height, width) < images.MIN_SIDE_PX
    if colours != "YCbCr" or is_small or height * width > images.MAX_PIXELS:
      return None
    return simplejpeg.decode_jpeg(data)
  except ValueError:  # Damaged; Pillow reads some of that, or says why not.
    return None
