"""Safe decoding of image files: sizes are checked before pixels are touched."""

import dataclasses
import io
import os
import struct

import numpy as np
from PIL import Image, ImageOps, features

from facerep_jax import errors
from facerep_jax.files import colour

try:
  import pillow_heif  # Optional: pictures of many phones.
except ModuleNotFoundError:
  pillow_heif = None
else:
  pillow_heif.register_heif_opener()

# Larger images are refused by their header: a 30,000 x 30,000 px image is a
# file of a few MB and would take 2.7 GB decoded.
MAX_PIXELS = 8192 * 8192
MIN_SIDE_PX = 16  # No face can be told on less.
MAX_FILE_BYTES = 256 * 2**20
HEIF_EXTENSIONS = (".heic", ".heif", ".hif")
EXTENSIONS = (
  *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".jfif", ".jpe"),
  *(".gif", ".tif", ".tiff"),
  *((".avif",) if "avif" in features.get_supported() else ()),
  *(HEIF_EXTENSIONS if pillow_heif else ()),
)
_FORMATS = (
  *("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF"),
  *(("AVIF",) if ".avif" in EXTENSIONS else ()),
  *(("HEIF",) if pillow_heif else ()),
)
# These hold animations or pages; of others, such as MPO and HEIF, the further
# pictures are previews and maps that belong to the first one.
_SERIES = ("GIF", "TIFF", "PNG", "WEBP", "AVIF")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
HEIF_HINT = 'HEIC, read with pip install "facerep_jax[heif]"'
FIRST_OF_SERIES = "animation or several pages: the first picture was taken"
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright.
# What Pillow's decoders raise of damaged files: those of TIFF, AVIF and HEIF
# give the last ones.
_DAMAGE = (
  *(OSError, ValueError, SyntaxError, IndexError, KeyError, struct.error),
  *(RuntimeError, EOFError, TypeError, ZeroDivisionError, OverflowError),
)


class ImageError(errors.InputError):
  """An image that cannot be used.

  Attributes:
    reason: The kind of fault, one of a few texts to count by.
  """

  def __init__(self, message: str, reason: str = ""):
    super().__init__(message)
    self.reason = reason


def _fault(name, reason, detail=""):
  text = f"{reason}: {detail}" if detail else reason
  return ImageError(f"{name}: {text}.", reason)


@dataclasses.dataclass(frozen=True)
class Decoded:
  """An image and what its file was like.

  Attributes:
    pixels: uint8 [H, W, 3] sRGB, upright.
    is_plain: The file holds just these pixels as JPEG or PNG: 8-bit RGB and no
      orientation to apply, so its bytes can be stored as they are.
    notes: What was assumed of file and pixels, a few texts to count by.
  """

  pixels: np.ndarray
  is_plain: bool
  notes: tuple[str, ...] = ()


def read_file(path: str) -> bytes:
  """Reads an image file.

  Args:
    path: File to read.

  Returns:
    Its bytes.

  Raises:
    ImageError: It cannot be read, or is larger than `MAX_FILE_BYTES`.
  """
  try:
    if os.path.getsize(path) > MAX_FILE_BYTES:
      raise _fault(path, "file too large", f"over {MAX_FILE_BYTES} bytes")
    with open(path, "rb") as file:
      return file.read()
  except OSError as error:
    raise _fault(path, "unreadable file", str(error.strerror)) from error


def decode(data: bytes, name: str) -> Decoded:
  """Decodes an image of any common format to RGB, see `colour.to_rgb`.

  Of animations and of files with several pages, the first picture.

  Args:
    data: Encoded image.
    name: File or record it comes from, for the message.

  Returns:
    The upright image.

  Raises:
    ImageError: The image is empty, unknown, damaged, does not say what its
      numbers mean, or its header says a size below `MIN_SIDE_PX` or above
      `MAX_PIXELS`.
  """
  if not data:
    raise _fault(name, "empty file")
  try:
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
  except (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
  ) as error:
    limit = f"over {MAX_PIXELS} px by its header"
    raise _fault(name, "image too large", limit) from error
  except _DAMAGE as error:
    raise _fault(name, "not an image", _why(data)) from error
  _check_size(image.size, name)
  try:
    image.load()  # Of some formats, it turns the image upright.
    orientation = image.getexif().get(_ORIENTATION, 1)
    is_usual = image.format in ("JPEG", "PNG") and image.mode == "RGB"
    pixels, notes, is_changed = colour.to_rgb(image)
    is_series = image.format in _SERIES and getattr(image, "n_frames", 1) > 1
    if orientation != 1:
      pixels = _upright(pixels, orientation)
  except colour.PixelsError as error:
    raise _fault(name, "pixels of unknown meaning", str(error)) from error
  except _DAMAGE as error:
    raise _fault(name, "damaged image", str(error)) from error
  is_plain = is_usual and not (is_changed or is_series) and orientation == 1
  return Decoded(pixels, is_plain, notes + (FIRST_OF_SERIES,) * is_series)


def _upright(pixels, orientation):
  image = Image.fromarray(pixels)
  image.getexif()[_ORIENTATION] = orientation
  return np.asarray(ImageOps.exif_transpose(image))


def _why(data):
  """Says of what cannot be opened what it is, where that helps."""
  is_heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
  return HEIF_HINT if is_heif and not pillow_heif else ""


def _check_size(size, name):
  width, height = size
  if min(width, height) < MIN_SIDE_PX:
    raise _fault(
      name,
      "image too small",
      f"{width} x {height} px, expected at least {MIN_SIDE_PX} px a side",
    )
  if width * height > MAX_PIXELS:
    raise _fault(
      name,
      "image too large",
      f"{width} x {height} px, expected at most {MAX_PIXELS} px in all",
    )


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
  """Encodes an image as JPEG without chroma subsampling.

  Args:
    pixels: uint8 [H, W, 3] RGB.
    quality: 1 to 100.

  Returns:
    The bytes of the file.
  """
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(
    buffer, "JPEG", quality=quality, subsampling="4:4:4"
  )
  return buffer.getvalue()
