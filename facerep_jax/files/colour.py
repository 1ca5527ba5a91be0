"""Turns an opened image into 8-bit sRGB, by what its file declares."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms, features

BACKGROUND = 255  # White; what shines through transparent pixels.
TRANSPARENT = "transparent in places: put on white"
NO_PROFILE = "CMYK without a colour profile: colours are approximate"
BAD_PROFILE = "colour profile that cannot be used: taken as sRGB"
DARK = "16-bit grey below 4096: comes out dark"

_WHITE_16 = 65535
_WHITE_12 = 4095
_SRGB_GAMMA = 1 / 2.2  # What PNG files of sRGB pictures declare.
_GAMMA_SHARE = 0.05  # Nearer gammas are taken as that of sRGB.
_LEVELS = 2  # A profile that changes no colour by more is sRGB.
_MIN_IS_WHITE = (262, 0)  # TIFF: tag PhotometricInterpretation.
_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}


class PixelsError(ValueError):
  """Pixels whose file does not say what their numbers mean."""


def to_rgb(image: Image.Image) -> tuple[np.ndarray, tuple[str, ...], bool]:
  """Converts an image of any mode.

  16-bit grey is scaled to 8 bits, transparency is put on white, colours are
  taken to sRGB by the colour profile or the gamma of the file.

  Args:
    image: Opened image; it may be loaded by this.

  Returns:
    uint8 [H, W, 3]; notes on what was assumed; whether the numbers differ from
    those that the file holds.

  Raises:
    PixelsError: Nothing says which number is white.
    OSError, ValueError: Damaged data, as Pillow raises.
  """
  notes = []
  opaque, alpha = _split(_with_8_bits(image, notes))
  rgb = _to_srgb(opaque, image.info, notes)
  pixels = np.asarray(rgb)
  is_clear = alpha is not None and int(alpha.min()) < 255
  if is_clear:
    notes.append(TRANSPARENT)
    pixels = put_on_background(pixels, alpha)
  return pixels, tuple(notes), is_clear or rgb is not image


def put_on_background(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
  """Puts a transparent picture on `BACKGROUND`.

  Args:
    rgb: uint8 or uint16 [H, W, 3], not multiplied by alpha.
    alpha: [H, W] of the same type; 0 is transparent.

  Returns:
    The opaque picture, of the same type.
  """
  full = np.iinfo(rgb.dtype).max
  share = alpha[..., None].astype(np.float32) / full
  background = BACKGROUND / 255 * full
  mixed = share * rgb + (1 - share) * background
  return np.rint(mixed).astype(rgb.dtype)


def srgb_of_light(light: np.ndarray) -> np.ndarray:
  """Encodes linear light, 0 to 1, as sRGB values, 0 to 1 (IEC 61966-2-1)."""
  light = np.asarray(light)
  curve = 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055
  return np.where(light <= 0.0031308, 12.92 * light, curve)


def _with_8_bits(image, notes):
  """Returns the image with 8 bits a channel."""
  if image.mode == "F":
    return Image.fromarray(_scaled_float(np.asarray(image)))
  is_16 = image.mode.startswith("I;16")
  # Older versions of Pillow open 16-bit PNG and PPM files as "I".
  if image.mode == "I" and image.format in ("PNG", "PPM"):
    is_16 = True
  if not is_16:
    if image.mode == "I":
      raise PixelsError("32-bit or signed whole numbers, expected 8 or 16 bits")
    return image
  values = np.asarray(image).astype(np.int64)
  key, low = _MIN_IS_WHITE
  if getattr(image, "tag_v2", {}).get(key) == low:
    values = _WHITE_16 - values
  if values.max() <= _WHITE_12:
    notes.append(DARK)
  grey = Image.fromarray(_round(values * (255 / _WHITE_16)))
  hidden = image.info.get("transparency")
  if hidden is not None:
    grey.putalpha(Image.fromarray(_round(255.0 * (values != hidden))))
  return grey


def _scaled_float(values):
  low, high = values.min(), values.max()
  if not (low >= 0 and high <= 1):
    raise PixelsError(
      f"floating-point values from {low:g} to {high:g}, expected 0 to 1"
    )
  return _round(values * 255.0)


def _round(values):
  return np.rint(values).astype(np.uint8)


def _split(image):
  """Returns the image as "L", "RGB", "CMYK" or "LAB", and its alpha or None."""
  if image.has_transparency_data:
    is_grey = image.mode in ("L", "LA", "La", "1")
    clear = image.convert("RGBA")
    alpha = np.asarray(clear.getchannel("A"))
    opaque = clear.convert("RGB")
    return (opaque.getchannel(0) if is_grey else opaque), alpha
  if image.mode in ("RGB", "L", "CMYK", "LAB"):
    return image, None
  return image.convert("L" if image.mode == "1" else "RGB"), None


def _to_srgb(image, info, notes):
  """Returns the image as sRGB, itself if it is that already."""
  profile = info.get("icc_profile")
  if image.mode == "LAB":
    profile = None
    image = ImageCms.applyTransform(image, _from_lab())
  if profile:
    transform = _from_profile(profile, image.mode)
    if transform is None:
      notes.append(BAD_PROFILE)
    elif transform != "":
      return ImageCms.applyTransform(image, transform)
  if image.mode == "CMYK" and BAD_PROFILE not in notes:
    notes.append(NO_PROFILE)
  image = image if image.mode == "RGB" else image.convert("RGB")
  return image if profile or "srgb" in info else _by_gamma(image, info)


def _by_gamma(image, info):
  """Applies the gamma that a PNG file declares, if it is not that of sRGB."""
  gamma = info.get("gamma")
  if not gamma or abs(gamma / _SRGB_GAMMA - 1) < _GAMMA_SHARE:
    return image
  light = (np.arange(256) / 255) ** (1 / gamma)
  return image.point(_round(255 * srgb_of_light(light)).tolist() * 3)


@functools.lru_cache(maxsize=1)
def _from_lab():
  return ImageCms.buildTransform(
    ImageCms.createProfile("LAB"),
    ImageCms.createProfile("sRGB"),
    "LAB",
    "RGB",
  )


@functools.lru_cache(maxsize=16)
def _from_profile(data, mode):
  """Returns the transform to sRGB; "": none is needed; None: there is none."""
  if not features.check("littlecms2"):
    return None
  try:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    if profile.profile.xcolor_space != _SPACES[mode]:
      return None
    transform = ImageCms.buildTransform(
      profile, ImageCms.createProfile("sRGB"), mode, "RGB"
    )
  except (OSError, ImageCms.PyCMSError):
    return None
  if mode == "CMYK":
    return transform
  steps = np.linspace(0, 255, 6).round().astype(np.uint8)
  colours = np.stack(np.meshgrid(*[steps] * (3 if mode == "RGB" else 1)), -1)
  colours = colours.reshape(1, -1, colours.shape[-1])
  sample = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
  changed = np.asarray(ImageCms.applyTransform(sample, transform)).astype(int)
  return "" if np.abs(changed - colours).max() <= _LEVELS else transform
