import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from facerep_jax.files import images


def smooth_picture(height, width):
  rows, columns = np.indices((height, width))
  return np.stack(
    [255 * rows / height, 255 * columns / width, 128 + 0 * rows], -1
  ).astype(np.uint8)


def encoded(picture, kind, **options):
  buffer = io.BytesIO()
  Image.fromarray(picture).save(buffer, kind, **options)
  return buffer.getvalue()


def png_header(width, height):
  def chunk(name, data):
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc

  size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
  return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_decode_gives_the_pixels(kind):
  picture = smooth_picture(40, 60)
  options = {"lossless": True} if kind == "WEBP" else {}
  decoded = images.decode(encoded(picture, kind, **options), "x")
  # JPEG at quality 75 on a ramp; the others are lossless.
  limit = 8 if kind == "JPEG" else 0
  assert np.abs(decoded.pixels.astype(int) - picture).max() <= limit
  assert decoded.is_plain == (kind in ("PNG", "JPEG"))


def test_decode_turns_pictures_upright():
  picture = smooth_picture(40, 60)
  exif = Image.Exif()
  exif[0x0112] = 6  # Shown after a quarter turn clockwise.
  decoded = images.decode(encoded(picture, "PNG", exif=exif), "x")
  np.testing.assert_array_equal(decoded.pixels, np.rot90(picture, -1))
  assert not decoded.is_plain


def test_grey_becomes_rgb_and_is_not_stored_as_is():
  grey = smooth_picture(40, 60)[..., 0]
  decoded = images.decode(encoded(grey, "PNG"), "x")
  np.testing.assert_array_equal(decoded.pixels[..., 2], grey)
  assert not decoded.is_plain


@pytest.mark.parametrize(
  ("data", "reason"),
  [
    (b"", "empty file"),
    (b"no image at all", "not an image"),
    (encoded(smooth_picture(64, 64), "JPEG")[:-40], "damaged image"),
    (encoded(smooth_picture(64, 64), "PNG")[:100], "damaged image"),
    (encoded(smooth_picture(1, 1), "PNG"), "image too small"),
    (encoded(smooth_picture(400, 15), "PNG"), "image too small"),
    # Both of Pillow's own limits lie above ours; the data is far too short,
    # so decoding first would say "damaged".
    (png_header(8193, 8192), "image too large"),
    (png_header(12000, 10000), "image too large"),
    (png_header(30000, 30000), "image too large"),
  ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_unusable_images_are_refused_with_a_reason(data, reason):
  with pytest.raises(images.ImageError, match=r"here\.jpg") as caught:
    images.decode(data, "here.jpg")
  assert caught.value.reason == reason
  assert "\n" not in str(caught.value)


def test_error_survives_pickling():
  with pytest.raises(images.ImageError) as caught:
    images.decode(b"", "here.jpg")
  again = pickle.loads(pickle.dumps(caught.value))
  assert (str(again), again.reason) == (str(caught.value), "empty file")


def test_damaged_bytes_raise_nothing_else():
  rng = np.random.default_rng(0)
  for kind in ("JPEG", "PNG", "BMP", "WEBP"):
    whole = encoded(smooth_picture(32, 32), kind)
    for _ in range(200):
      data = bytearray(whole)
      for place in rng.integers(0, len(data), 4):
        data[place] = rng.integers(256)
      try:
        images.decode(bytes(data), "x")
      except images.ImageError as error:
        assert error.reason


def test_missing_file_is_an_image_error(tmp_path):
  with pytest.raises(images.ImageError, match="No such file"):
    images.read_file(str(tmp_path / "none.jpg"))


def test_jpeg_keeps_colour_resolution():
  picture = np.zeros((32, 32, 3), np.uint8)
  picture[:, ::2] = 255, 0, 0  # Columns of one pixel: subsampling blurs them.
  again = images.decode(images.encode_jpeg(picture, 95), "x").pixels
  assert np.abs(again.astype(int) - picture).mean() < 6  # 4:2:0 gives 60.
