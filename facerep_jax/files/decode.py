"""Decodes frames, with simplejpeg where it is installed and safe to use."""

import numpy as np

from facerep_jax.files import images

try:
  import simplejpeg  # Optional: the same pixels sooner.
except ModuleNotFoundError:
  simplejpeg = None

# In a JPEG whose header holds none of these, before the first scan, the pixels
# are upright sRGB as they are.
_MARKS = (b"Exif\0", b"tiff:Orientation", b"ICC_PROFILE\0")
_SCAN = b"\xda"


def decode(data: bytes, name: str, out: np.ndarray | None = None) -> np.ndarray:
  """Decodes an image to the same pixels as `images.decode`, but sooner.

  Args:
    data: Encoded image.
    name: File or record it comes from, for the message.
    out: uint8 [H, W, 3], contiguous: where to decode to. What it holds is lost.

  Returns:
    uint8 [H, W, 3] RGB, upright: `out`, or an array of its own where the image
    is of another size or of an unusual kind.

  Raises:
    ImageError: As `images.decode`.
  """
  pixels = _decode_plain_jpeg(data, out)
  return images.decode(data, name).pixels if pixels is None else pixels


def decode_noted(data: bytes, name: str) -> images.Decoded:
  """Returns what `images.decode` returns, but sooner."""
  pixels = _decode_plain_jpeg(data)
  if pixels is None:
    return images.decode(data, name)
  return images.Decoded(pixels, is_plain=True)


def _first_scan(data):
  """Returns where the first scan of a JPEG begins; None where that is unknown.

  Pillow, too, looks for marks in front of it only.
  """
  at = 2
  while data[at : at + 1] == b"\xff":
    kind = data[at + 1 : at + 2]
    if kind == _SCAN:
      return at
    at += 2 + int.from_bytes(data[at + 2 : at + 4])
  return None


def _decode_plain_jpeg(data, out=None):
  """Returns the pixels of an upright RGB JPEG; None for all that is unusual."""
  if simplejpeg is None or not data.startswith(b"\xff\xd8"):
    return None
  header = data[: _first_scan(data)]
  if any(mark in header for mark in _MARKS):
    return None
  try:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    is_small = min(height, width) < images.MIN_SIDE_PX
    if colours != "YCbCr" or is_small or height * width > images.MAX_PIXELS:
      return None
    if out is None or out.shape != (height, width, 3):
      return simplejpeg.decode_jpeg(data)
    simplejpeg.decode_jpeg(data, buffer=out)
    return out
  except ValueError:  # Damaged; Pillow reads some of that, or says why not.
    return None
