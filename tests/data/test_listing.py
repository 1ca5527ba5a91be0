import logging
import os
import socket

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import cache, extract, listing, photos, sources
from facerep_jax.files import images


def make(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
  return str(root)


@pytest.fixture
def folder(tmp_path):
  """What people keep beside their photos, and two ways to one folder."""
  root = tmp_path / "in"
  make(root, "a.JPG", "b.jfif", "sub/c.png", "d.gif", "e.tiff", "clip.mp4")
  make(root, "notes.txt", "old.TXT", "Makefile", ".hidden.jpg", "._a.JPG")
  make(root, ".thumbnails/a.jpg", "x.psd")
  make(tmp_path / "elsewhere", "far.jpg", "deep/e.webp")
  os.symlink(tmp_path / "elsewhere", root / "link")
  os.symlink(tmp_path / "elsewhere", root / "sub" / "again")
  os.symlink(root, root / "sub" / "loop")
  os.symlink(tmp_path / "nowhere.jpg", root / "dead.jpg")
  os.symlink(root / "a.JPG", root / "same.jpg")
  return root


IMAGES = (
  *("a.JPG", "b.jfif", "d.gif", "e.tiff", "link/deep/e.webp", "link/far.jpg"),
  *("same.jpg", "sub/c.png"),
)
OTHERS = {
  listing.SEEN_FOLDER: 2,
  ".txt": 2,
  listing.HIDDEN_FILE: 2,
  ".psd": 1,
  listing.HIDDEN_FOLDER: 1,
  listing.DEAD_LINK: 1,
  listing.NO_EXTENSION: 1,
}


def test_each_file_is_listed_or_counted(folder):
  held = listing.find(folder)
  assert held.images == IMAGES
  assert held.videos == ("clip.mp4",)
  assert held.others == OTHERS
  assert held.without_videos() == OTHERS | {".mp4": 1}
  assert held.without_images()[".jpg"] == 3


def test_all_commands_list_the_same(folder, monkeypatch, caplog):
  caplog.set_level(logging.INFO, "facerep_jax")
  assert photos.find(str(folder)) == list(IMAGES)
  counts = OTHERS | {".mp4": 1}
  [line] = caplog.messages
  head, _, rest = line.partition(": passed over ")
  assert head == str(folder)
  assert sorted(rest.split(", ")) == sorted(
    f"{counts[x]} x {x}" for x in counts
  )
  passed_over = {}
  units = sources.collect(
    [sources.Source(str(folder), "photos")],
    on_passed_over=passed_over.__setitem__,
  )
  paths = {entry.path for unit in units for entry in unit.entries}
  assert paths == {os.path.join(folder, x) for x in IMAGES}
  assert passed_over == {str(folder): OTHERS | {".mp4": 1}}
  # Training on photos takes the same entries, and says the same.
  caplog.clear()
  monkeypatch.setattr(cache, "_kept", lambda name, make: name)
  cache.data_folder(str(folder), size_px=32, num_frames=1)
  assert caplog.messages[0].startswith(f"{folder}: passed over 2 x .txt")


def test_folders_come_before_links_to_them(tmp_path):
  make(tmp_path, "z/1.jpg", "y/2.jpg")
  os.symlink(tmp_path / "z", tmp_path / "a")
  os.symlink(tmp_path, tmp_path / "b")
  os.symlink("self.jpg", tmp_path / "self.jpg")
  held = listing.find(tmp_path)
  assert held.images == ("y/2.jpg", "z/1.jpg")
  assert held.others == {listing.SEEN_FOLDER: 2, listing.DEAD_LINK: 1}


def test_a_folder_below_two_links_is_listed_once(tmp_path):
  make(tmp_path / "far", "sub/1.jpg", "2.jpg")
  (tmp_path / "in").mkdir()
  os.symlink(tmp_path / "far" / "sub", tmp_path / "in" / "a")
  os.symlink(tmp_path / "far", tmp_path / "in" / "b")
  held = listing.find(tmp_path / "in")
  assert held.images == ("a/1.jpg", "b/2.jpg")
  assert held.others == {listing.SEEN_FOLDER: 1}


def test_links_up_are_not_followed(tmp_path):
  make(tmp_path, "1.jpg", "in/2.jpg")
  os.symlink(tmp_path, tmp_path / "in" / "up")
  assert listing.find(tmp_path / "in").images == ("2.jpg",)


def test_pipes_are_not_opened(tmp_path):
  os.mkfifo(tmp_path / "a.jpg")
  with socket.socket(socket.AF_UNIX) as one:
    one.bind(str(tmp_path / "b.jpg"))
    held = listing.find(tmp_path)
  assert held == ((), (), {listing.NO_FILE: 2})


def test_folders_that_cannot_be_listed_are_named(tmp_path, monkeypatch):
  def refuse(folder):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(listing.os, "scandir", refuse)
  with pytest.raises(errors.InputError, match=r"listed \(Permission denied\)"):
    listing.find(tmp_path)


def test_heic_without_its_reader_names_the_extra(tmp_path, monkeypatch):
  known = [x for x in images.EXTENSIONS if x not in images.HEIF_EXTENSIONS]
  monkeypatch.setattr(images, "EXTENSIONS", tuple(known))
  monkeypatch.setattr(images, "pillow_heif", None)
  root = make(tmp_path, "1.HEIC", "2.heic", "3.txt")
  said = r'holds no.*2 x \.heic \(HEIC, .*"facerep_jax\[heif\]"\), 1 x \.txt\.'
  with pytest.raises(errors.InputError, match=said):
    photos.find(root)
  for layout in ("auto", "photos", "frames", "flat"):
    with pytest.raises(errors.InputError, match=said):
      sources.collect([sources.Source(root, layout)])
  with pytest.raises(errors.InputError, match=said.replace("holds no", "")):
    cache.data_folder(root, size_px=32, num_frames=1)
  # And where it goes by the name of another format.
  data = b"\0\0\0\x1cftypheic" + bytes(99)
  with pytest.raises(images.ImageError, match=r"not an image: HEIC, .*heif\]"):
    images.decode(data, "a.jpg")


def test_empty_folders_say_so(tmp_path):
  with pytest.raises(errors.InputError, match="it is empty"):
    photos.find(str(tmp_path))
  with pytest.raises(errors.InputError, match="it is empty"):
    sources.collect([sources.Source(str(tmp_path))])


def test_long_lists_are_cut():
  counts = {f".{i}": 30 - i for i in range(20)}
  said = listing.say(counts)
  assert said.startswith("30 x .0, 29 x .1, ") and said.endswith(
    f"19 x .11, {sum(30 - i for i in range(12, 20))} x others"
  )


def smooth():
  rows, columns = np.indices((40, 60))
  parts = [4 * rows, 3 * columns, 128 + 0 * rows]
  return np.stack(parts, -1).astype(np.uint8)


@pytest.mark.parametrize(
  ("name", "options", "limit"),
  [
    ("a.jfif", {"format": "JPEG", "quality": 95}, 8),
    ("a.gif", {}, 40),  # 256 colours.
    ("a.tif", {}, 0),
    ("a.tiff", {"compression": "tiff_lzw"}, 0),
    ("a.avif", {"quality": 100, "subsampling": "4:4:4"}, 4),
    ("a.heic", {"quality": -1, "chroma": 444}, 4),
  ],
)
def test_formats_are_read(tmp_path, name, options, limit):
  if listing.kind(name) == ".heic":
    pytest.importorskip("pillow_heif")
  if listing.kind(name) not in images.EXTENSIONS:
    pytest.skip(f"this Pillow reads no {name}")
  Image.fromarray(smooth()).save(tmp_path / name, **options)
  assert photos.find(str(tmp_path)) == [name]
  decoded = images.decode((tmp_path / name).read_bytes(), name)
  assert np.abs(decoded.pixels.astype(int) - smooth()).max() <= limit
  assert decoded.notes == ()


@pytest.mark.parametrize("name", ["a.tif", "a.avif", "a.webp", "a.jpg"])
def test_formats_are_turned_upright_once(tmp_path, name):
  exif = Image.Exif()
  exif[0x0112] = 6  # Shown after a quarter turn clockwise.
  Image.fromarray(smooth()).save(tmp_path / name, exif=exif, quality=95)
  decoded = images.decode((tmp_path / name).read_bytes(), name)
  assert decoded.pixels.shape == (60, 40, 3) and not decoded.is_plain
  turned = np.rot90(smooth(), -1).astype(int)
  assert np.abs(decoded.pixels - turned).mean() < 4


SERIES = ("gif", "tif", "png", "webp")


@pytest.fixture
def series(tmp_path):
  """Files of two pictures each, white and then black, and a single one."""
  first, second = (Image.new("RGB", (32, 32), x) for x in ("white", "black"))
  for end in SERIES:
    options = {"save_all": True, "append_images": [second]}
    first.save(tmp_path / f"a.{end}", **options)
  first.save(tmp_path / "one.png")
  return str(tmp_path)


def test_of_several_pictures_the_first_is_taken_and_said(series):
  paths = photos.find(series)
  faces = list(photos.read(series, paths, photos.make_cutter("none"), 9))
  assert len(faces[0].images) == 5
  assert all((image == 255).all() for image in faces[0].images)
  assert photos.count_notes(faces[0].columns[photos.NOTES]) == [
    "noted: 4 x animation or several pages: the first picture was taken"
  ]


def test_of_several_pictures_the_report_tells(series):
  settings = extract.Settings(size_px=32)
  [unit] = sources.collect([sources.Source(series, "flat")])
  report = extract.unit_report.start(unit)
  chunks = list(extract.extract(unit, settings, report))
  assert len(chunks) == 5 and not report.skipped
  assert report.notes == {images.FIRST_OF_SERIES: 4}
  # Of the animated PNG, which is 8-bit RGB, only what is shown is stored.
  stored = {chunk.video: chunk.frames[0] for chunk in chunks}
  assert stored["a.png"].startswith(b"\xff\xd8")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "AVIF", "HEIF"])
def test_damaged_bytes_raise_nothing_else(tmp_path, kind):
  if kind not in images._FORMATS:
    pytest.skip(f"{kind} is not read here")
  path = tmp_path / "a"
  Image.fromarray(smooth()).save(path, format=kind)
  whole, rng = path.read_bytes(), np.random.default_rng(0)
  for _ in range(150):
    data = bytearray(whole)
    for place in rng.integers(0, len(data), 4):
      data[place] = rng.integers(256)
    try:
      images.decode(bytes(data), "x")
    except images.ImageError as error:
      assert error.reason
