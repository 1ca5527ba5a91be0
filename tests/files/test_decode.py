import io

import numpy as np
import pytest
from PIL import Image

from facerep_jax.files import decode, images
from tests.tracks import helpers


def jpeg(size=(50, 40), **options):
  rng = np.random.default_rng(0)
  small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
  image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
  mode = options.pop("mode", "RGB")
  buffer = io.BytesIO()
  image.convert(mode).save(buffer, "JPEG", **options)
  return buffer.getvalue()


def turned(**options):
  exif = Image.Exif()
  exif[0x0112] = 6
  return jpeg(exif=exif.tobytes(), **options)


def turned_by_xmp():
  note = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'
  return jpeg(xmp=note)


def outcome(read, data):
  try:
    return read(data, "x").tolist()
  except images.ImageError as error:
    return str(error)


def pillow(data, name):
  return images.decode(data, name).pixels


@pytest.mark.parametrize(
  ("data", "is_fast"),
  [
    (jpeg(), True),
    (jpeg(quality=30), True),
    (jpeg(quality=95, subsampling="4:4:4"), True),
    (jpeg(quality=80, subsampling="4:2:2", progressive=True), True),
    (jpeg(size=(16, 16)), True),
    (jpeg(size=(15, 40)), False),
    (jpeg(mode="L"), False),
    (jpeg(mode="CMYK"), False),
    (turned(), False),
    (turned_by_xmp(), False),
    (jpeg()[:-300], False),
    (jpeg()[:100], False),
    (helpers.frame(3, 4, 5), False),
    (b"", False),
  ],
)
def test_simplejpeg_gives_what_pillow_gives(data, is_fast):
  pytest.importorskip("simplejpeg")
  assert (decode._decode_plain_jpeg(data) is not None) == is_fast
  assert outcome(decode.decode, data) == outcome(pillow, data)


def test_simplejpeg_gives_what_pillow_gives_of_damaged_files():
  pytest.importorskip("simplejpeg")
  whole = jpeg(size=(20, 20))
  for position in range(0, len(whole), 5):
    data = bytearray(whole)
    data[position] ^= 0x41
    data = bytes(data)
    assert outcome(decode.decode, data) == outcome(pillow, data), position


def test_oversized_jpeg_is_left_to_pillow(monkeypatch):
  monkeypatch.setattr(images, "MAX_PIXELS", 50 * 40 - 1)
  assert decode._decode_plain_jpeg(jpeg()) is None
  with pytest.raises(images.ImageError, match="image too large"):
    decode.decode(jpeg(), "x")


def test_simplejpeg_is_optional(monkeypatch):
  monkeypatch.setattr(decode, "simplejpeg", None)
  assert decode._decode_plain_jpeg(jpeg()) is None
  assert outcome(decode.decode, jpeg()) == outcome(pillow, jpeg())


def test_marks_count_only_before_the_first_scan():
  pytest.importorskip("simplejpeg")
  data = turned()
  at = decode._first_scan(data)
  assert data[at : at + 2] == b"\xff\xda" and b"Exif\0" in data[:at]
  behind = jpeg() + b"Exif\0"
  assert decode._decode_plain_jpeg(behind) is not None
  assert outcome(decode.decode, behind) == outcome(pillow, behind)
  # Where the parts of the header are not found, all of it is searched.
  filled = jpeg()[:2] + b"\xff" + jpeg()[2:]
  assert decode._first_scan(filled) is None
  assert outcome(decode.decode, filled) == outcome(pillow, filled)


@pytest.mark.parametrize(
  "data", [jpeg(size=(32, 32)), helpers.frame(3, 4, 5), turned(size=(32, 32))]
)
def test_decoding_into_an_array_is_the_same(data):
  out = np.zeros((32, 32, 3), np.uint8)
  got = decode.decode(data, "x", out)
  np.testing.assert_array_equal(got, decode.decode(data, "x"))


def test_array_is_used_where_the_image_is_of_its_size():
  pytest.importorskip("simplejpeg")
  out = np.zeros((40, 50, 3), np.uint8)
  assert decode.decode(jpeg(), "x", out) is out
  small = np.zeros((32, 32, 3), np.uint8)
  assert decode.decode(jpeg(), "x", small).shape == (40, 50, 3)
  assert not small.any()
