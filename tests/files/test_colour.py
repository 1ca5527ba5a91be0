import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from facerep_jax.files import colour, decode, images

RED = (255, 0, 0)


def file_of(image, kind="PNG", **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def opened(image, kind, **options):
  return Image.open(io.BytesIO(file_of(image, kind, **options)))


def ramp16():
  """16-bit grey from 0 to 65535, one level of 8 bits a column."""
  row = np.arange(256, dtype=np.uint16) * 257
  return Image.fromarray(np.tile(row, (16, 1)))


def swapped_profile():
  """A colour profile whose red is the green of sRGB, and the reverse."""
  data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  swap = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
  (count,) = struct.unpack(">I", data[128:132])
  table = data[132 : 132 + 12 * count]
  rows = [table[i : i + 12] for i in range(0, len(table), 12)]
  rows = [swap.get(row[:4], row[:4]) + row[4:] for row in rows]
  return data[:132] + b"".join(rows) + data[132 + 12 * count :]


def test_16_bit_grey_keeps_its_levels():
  decoded = images.decode(file_of(ramp16()), "x")
  want = np.broadcast_to(np.arange(256)[None, :, None], (16, 256, 3))
  np.testing.assert_array_equal(decoded.pixels, want)
  assert not decoded.is_plain and not decoded.notes


def test_16_bit_tiff_may_say_that_0_is_white():
  pixels, notes, _ = colour.to_rgb(opened(ramp16(), "TIFF", tiffinfo={262: 0}))
  np.testing.assert_array_equal(pixels[0, :, 0], np.arange(256)[::-1])
  assert notes == ()


def test_12_bits_in_16_are_told():
  dark = Image.fromarray(np.full((16, 16), 4095, np.uint16))
  decoded = images.decode(file_of(dark), "x")
  assert decoded.pixels.max() == 16  # 255 * 4095 / 65535.
  assert decoded.notes == (colour.DARK,)


def test_floats_count_from_0_to_1():
  levels = np.tile(np.arange(16, dtype=np.float32) / 15, (16, 1))
  pixels, _, is_changed = colour.to_rgb(opened(Image.fromarray(levels), "TIFF"))
  np.testing.assert_array_equal(pixels[3, :, 1], np.arange(16) * 17)
  assert is_changed


@pytest.mark.parametrize(
  ("values", "message"),
  [
    (np.full((16, 16), 255, np.float32), "from 255 to 255, expected 0 to 1"),
    (np.full((16, 16), np.nan, np.float32), "expected 0 to 1"),
    (np.full((16, 16), 7, np.int32), "expected 8 or 16 bits"),
  ],
)
def test_numbers_without_a_white_are_refused(values, message):
  with pytest.raises(colour.PixelsError, match=message):
    colour.to_rgb(opened(Image.fromarray(values), "TIFF"))


def test_numbers_without_a_white_are_a_fault_of_the_file(monkeypatch):
  monkeypatch.setattr(images, "_FORMATS", ("TIFF",))
  data = file_of(Image.fromarray(np.full((16, 16), 9, np.int32)), "TIFF")
  with pytest.raises(
    images.ImageError, match=r"a\.tif: pixels of unknown"
  ) as e:
    images.decode(data, "a.tif")
  assert e.value.reason == "pixels of unknown meaning"


def hidden(colour_below):
  """A red square on what is transparent, of any colour."""
  pixels = np.zeros((32, 32, 4), np.uint8)
  pixels[..., :3] = colour_below
  pixels[8:24, 8:24] = *RED, 255
  return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_colours_under_transparency_do_not_count(kind):
  options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
  one, two = (
    images.decode(file_of(hidden(below), kind, **options), "x")
    for below in ((0, 0, 0), (90, 200, 10))
  )
  np.testing.assert_array_equal(one.pixels, two.pixels)
  assert (one.pixels[0, 0] == 255).all()
  np.testing.assert_array_equal(one.pixels[16, 16], RED)
  assert one.notes == two.notes == (colour.TRANSPARENT,)


def test_half_transparent_pixels_are_mixed_with_white():
  pixels = np.full((16, 16, 4), (0, 100, 200, 51), np.uint8)
  got = images.decode(file_of(Image.fromarray(pixels)), "x").pixels
  np.testing.assert_array_equal(got[5, 5], (204, 224, 244))


def test_opaque_alpha_changes_nothing():
  pixels = np.full((16, 16, 4), (1, 2, 3, 255), np.uint8)
  decoded = images.decode(file_of(Image.fromarray(pixels)), "x")
  np.testing.assert_array_equal(decoded.pixels, pixels[..., :3])
  assert decoded.notes == ()


def grey_and_alpha():
  alpha = np.full((16, 16), 255, np.uint8)
  alpha[:4] = 0
  image = Image.new("L", (16, 16), 40)
  image.putalpha(Image.fromarray(alpha))
  return image


def palette():
  image = Image.new("P", (16, 16), 1)
  image.putpalette([9, 9, 9, 40, 40, 40])
  image.paste(0, (0, 0, 16, 4))
  return image


def key_of_16_bits():
  values = np.full((16, 16), 40 * 257, np.uint16)
  values[:4] = 300
  return Image.fromarray(values)


def key(value, below, mode="L"):
  image = Image.new(mode, (16, 16), value)
  image.paste(below, (0, 0, 16, 4))
  return image


@pytest.mark.parametrize(
  ("image", "options"),
  [
    (grey_and_alpha(), {}),
    (palette(), {"transparency": 0}),
    (key(40, 9), {"transparency": 9}),
    (key((40,) * 3, (9, 0, 9), "RGB"), {"transparency": (9, 0, 9)}),
    (key_of_16_bits(), {"transparency": 300}),
  ],
  ids=["LA", "palette", "key of L", "key of RGB", "key of 16 bits"],
)
def test_every_kind_of_transparency_is_put_on_white(image, options):
  decoded = images.decode(file_of(image, **options), "x")
  assert (decoded.pixels[:4] == 255).all()
  assert (decoded.pixels[4:] == 40).all()
  assert colour.TRANSPARENT in decoded.notes
  assert not decoded.is_plain


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_colour_profiles_are_applied(kind):
  image = Image.new("RGB", (32, 32), RED)
  data = file_of(image, kind, icc_profile=swapped_profile(), quality=100)
  decoded = images.decode(data, "x")
  assert np.abs(decoded.pixels[9, 9].astype(int) - (0, 255, 0)).max() <= 3
  assert not decoded.is_plain
  np.testing.assert_array_equal(decode.decode(data, "x"), decoded.pixels)


def test_a_profile_of_srgb_leaves_the_bytes_as_they_are():
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
  image = Image.new("RGB", (16, 16), (10, 200, 90))
  decoded = images.decode(file_of(image, icc_profile=profile.tobytes()), "x")
  assert decoded.is_plain and not decoded.notes
  np.testing.assert_array_equal(decoded.pixels[3, 3], (10, 200, 90))


@pytest.mark.parametrize("profile", [b"no profile", swapped_profile()[:200]])
def test_a_damaged_profile_is_told(profile):
  image = Image.new("RGB", (16, 16), (10, 200, 90))
  decoded = images.decode(file_of(image, icc_profile=profile), "x")
  np.testing.assert_array_equal(decoded.pixels[3, 3], (10, 200, 90))
  assert decoded.notes == (colour.BAD_PROFILE,)


def test_cmyk_without_a_profile_is_told():
  image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
  decoded = images.decode(file_of(image, "JPEG", quality=100), "x")
  assert np.abs(decoded.pixels[3, 3].astype(int) - RED).max() <= 3
  assert decoded.notes == (colour.NO_PROFILE,)


def test_lab_becomes_srgb():
  lab = Image.frombytes("LAB", (16, 16), bytes((136, 0, 0)) * 256)
  pixels, *_ = colour.to_rgb(lab)
  # L* = 100 * 136 / 255 is a grey of 127.
  assert np.abs(pixels.astype(int) - 127).max() <= 2


@pytest.mark.parametrize(("gamma", "want"), [(100_000, 188), (45_455, 128)])
def test_gamma_of_png_is_applied(gamma, want):
  info = PngImagePlugin.PngInfo()
  info.add(b"gAMA", struct.pack(">I", gamma))
  image = Image.new("RGB", (16, 16), (128,) * 3)
  decoded = images.decode(file_of(image, pnginfo=info), "x")
  assert (decoded.pixels == want).all()
  assert decoded.is_plain == (want == 128)
