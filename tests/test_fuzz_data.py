"""Mutated records, images and videos: one line each, or a right result.

The usual run has a few; -m slow has 200 of each. Seeds are the numbers.
"""

import collections
import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import build, extract, sources
from facerep_jax.files import atomic, decode, images
from facerep_jax.tracks import contents, index
from facerep_jax.video import video_file
from tests import fuzz
from tests.tracks import helpers

COUNTS = [8, pytest.param(200, marks=pytest.mark.slow)]


def _write_set(folder):
  """Two shards as `build` leaves them."""
  records = [helpers.track(i, 2) for i in range(6)]
  paths = helpers.write_dataset(folder, records, num_shards=2)
  shards = [index.write(path) for path in paths]
  known = {
    "shards": [os.path.basename(path) for path in paths],
    "records": 6,
    "checksums": [contents.digest(rows) for rows in shards],
  }
  atomic.write_json(folder / contents.MANIFEST, {"splits": {"train": known}})
  return paths


def _tracks(folder, on_bad):
  """Returns what can be read of each record, and how many cannot."""
  source = helpers.source_of(folder, on_bad_record=on_bad)
  found = []
  for i in range(len(source)):
    try:
      track = source.read(i)
    except errors.InputError as error:
      if on_bad == "error":
        raise
      source.note_bad(i, error)
      continue
    found.append((track.person, track.video, tuple(track.frames)))
  return found, source.num_bad


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_records(tmp_path, count):
  paths = _write_set(tmp_path)
  want, _ = _tracks(tmp_path, "error")
  # Also what knows the records may be hit: the index, the manifest.
  index_of = [pathlib.Path(path + index.SUFFIX) for path in paths]
  names = [*paths, *paths, index_of[0], tmp_path / "manifest.json"]
  kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
  outcomes = collections.Counter()
  for seed in range(count):
    path = pathlib.Path(names[seed % len(names)])
    path.write_bytes(fuzz.mutate(kept[path], seed))
    if seed % 3 == 0:
      for name in index_of:
        name.unlink()
    outcomes[_outcome(tmp_path, want, seed)] += 1
    for name, data in kept.items():
      name.write_bytes(data)
  print(dict(outcomes))
  assert sum(outcomes.values()) == count
  assert outcomes["refused"] > count // 2 and outcomes["right"] >= 1
  assert _tracks(tmp_path, "error")[0] == want


def _outcome(folder, want, seed):
  with fuzz.limit():
    try:
      found, num_bad = _tracks(folder, "error")
    except errors.InputError as error:
      assert fuzz.one_line(error), seed
    else:
      assert (found, num_bad) == (want, 0), seed
      return "right"
    # Skipping leaves out what is damaged, counts it, and makes up nothing.
    try:
      found, num_bad = _tracks(folder, "skip")
    except errors.InputError as error:
      assert fuzz.one_line(error), seed
      return "refused"
    assert set(found) <= set(want), seed
    lost = len(want) - len(set(found))
    assert num_bad >= lost, seed
    return "refused"


def _pictures():
  """Returns encoded pictures of several kinds."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:40, :48]
  pixels = np.stack([4 * x, 5 * y, 2 * (x + y)], -1).astype("u1")
  pixels ^= rng.integers(0, 4, pixels.shape, "u1")
  image, out = Image.fromarray(pixels), []
  exif = Image.Exif()
  exif[0x0112] = 6
  for kind, options in (
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "exif": exif}),
    ("PNG", {}),
    ("PNG", {"pnginfo": None, "compress_level": 0}),
    ("BMP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {}),
  ):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    out.append((kind.lower(), buffer.getvalue()))
  buffer = io.BytesIO()
  image.convert("P").save(buffer, "PNG")
  return [*out, ("png", buffer.getvalue())]


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_images(tmp_path, count):
  pictures, outcomes = _pictures(), collections.Counter()
  for seed in range(count):
    kind, data = pictures[seed % len(pictures)]
    mutated = fuzz.mutate(data, seed)
    (tmp_path / f"{seed:03d}.{kind}").write_bytes(mutated)
    for decoder in (images.decode, decode.decode):
      with fuzz.limit():
        try:
          found = decoder(mutated, f"image {seed}")
        except images.ImageError as error:
          assert fuzz.one_line(error), seed
          assert error.reason, seed
          outcomes["refused"] += 1
          continue
      pixels = getattr(found, "pixels", found)
      assert pixels.dtype == np.uint8 and pixels.shape[2] == 3, seed
      assert min(pixels.shape[:2]) >= images.MIN_SIDE_PX, seed
      outcomes["decoded"] += 1
  print(dict(outcomes))
  assert sum(outcomes.values()) == 2 * count
  assert outcomes["refused"] > count // 4 and outcomes["decoded"] > count // 4
  # All of them as a source: each is stored, or skipped and counted.
  units = sources.collect([sources.Source(str(tmp_path), "flat")])
  manifest = build.build(
    units,
    str(tmp_path / "set"),
    extract.Settings(size_px=32),
    build.Plan(),
  )
  [total] = manifest["sources"].values()
  skipped = sum(total["skipped"].values())
  assert total["num_read"] == count == total["num_decoded"] + skipped
  assert 0 < total["num_decoded"] == total["num_stored"]
  assert 2 * skipped == outcomes["refused"]


# So few a second that what is lost at an end is more than sound may be longer.
_RATE_FPS = 1


def _clips(folder):
  """Returns short clips of several kinds, as bytes by name."""
  av = pytest.importorskip("av")
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (10, 32, 48, 3), "u1")
  out = {}
  for name, codec, pix_fmt in (
    ("a.mp4", "libx264", "yuv420p"),
    ("a.webm", "libvpx", "yuv420p"),
    ("a.avi", "mjpeg", "yuvj420p"),
    ("a.mkv", "mpeg4", "yuv420p"),
    ("a.ts", "mpeg2video", "yuv420p"),
    ("a.wmv", "wmv2", "yuv420p"),
  ):
    with av.open(str(folder / name), "w") as container:
      stream = container.add_stream(codec, rate=_RATE_FPS)
      stream.width, stream.height, stream.pix_fmt = 48, 32, pix_fmt
      for frame in frames:
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
      container.mux(stream.encode(None))
    out[name] = (folder / name).read_bytes()
  return out


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_videos(tmp_path, count):
  pytest.importorskip("cv2")
  clips, outcomes = _clips(tmp_path), collections.Counter()
  names = list(clips)
  for seed in range(count):
    name = names[seed % len(names)]
    path = tmp_path / f"mutated-{name}"
    path.write_bytes(fuzz.mutate(clips[name], seed))
    for reader in ("av", "cv2"):
      opened, times = video_file.Video(str(path), reader), []
      with fuzz.limit():
        try:
          for frame in opened:
            pixels = frame.image()
            assert pixels.dtype == np.uint8 and pixels.shape[2] == 3, seed
            assert frame.thumbnail().shape == (32, 48, 3), seed
            times.append(frame.time_s)
        except errors.InputError as error:
          assert fuzz.one_line(error), (seed, reader)
          outcomes["refused"] += 1
          continue
      assert np.all(np.diff(times) > 0), (seed, reader)
      assert all(x > 0 for x in opened.skipped.values()), (seed, reader)
      is_short = len(times) < 10
      outcomes["short" if is_short else "full"] += 1
      is_said = opened.skipped or video_file.SHORT in opened.notes
      # Of gaps the times tell, and longest_step_s in the manifest.
      has_gap = len(times) > 1 and max(np.diff(times)) > 1.5 / _RATE_FPS
      if is_short and not is_said and not has_gap:
        outcomes["short and not said"] += 1
  print(dict(outcomes))
  assert outcomes["refused"] + outcomes["short"] + outcomes["full"] == 2 * count
  assert outcomes["full"] > count // 8 and outcomes["short"] >= 1
  # A stream that has lost its first packets, or all that says how long it is.
  assert outcomes["short and not said"] <= count // 50
