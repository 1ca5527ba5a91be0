"""Clips that are whole, cut in half, or cut by a byte."""

import struct

import numpy as np
import pytest

from facerep_jax.video import media_end, video_file

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")

# Name: codec, pixel format.
CLIPS = {
  "a.webm": ("libvpx", "yuv420p"),
  "a.mkv": ("mpeg4", "yuv420p"),
  "mjpeg.avi": ("mjpeg", "yuvj420p"),
  "mpeg4.avi": ("mpeg4", "yuv420p"),
  "a.wmv": ("wmv2", "yuv420p"),
  "a.flv": ("flv", "yuv420p"),
  "a.mp4": ("mpeg4", "yuv420p"),
}
# With what stands at their end, these cannot be opened at all.
UNREADABLE = ("a.mp4",)
NUM_FRAMES = 30


def _frames():
  return np.random.default_rng(0).integers(
    0, 256, (NUM_FRAMES, 48, 64, 3), "u1"
  )


def _write(path, codec, pix_fmt, options=None, rate=25):
  with av.open(str(path), "w", options=options or {}) as container:
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
    for frame in _frames():
      image = av.VideoFrame.from_ndarray(frame, format="rgb24")
      container.mux(stream.encode(image))
    container.mux(stream.encode(None))
  return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
  folder = tmp_path_factory.mktemp("clips")
  found = {k: _write(folder / k, *v) for k, v in CLIPS.items()}
  # What OpenCV writes announces less than what PyAV writes.
  path = folder / "opencv.avi"
  writer = cv2.VideoWriter(
    str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48)
  )
  for frame in _frames():
    writer.write(frame)
  writer.release()
  return found | {"opencv.avi": path}


def _read(path, reader):
  opened = video_file.Video(str(path), reader)
  return sum(1 for _ in opened), dict(opened.skipped)


@pytest.mark.parametrize("reader", ["av", "cv2"])
@pytest.mark.parametrize("name", [*CLIPS, "opencv.avi"])
def test_whole_clips_lack_nothing(clips, name, reader):
  assert media_end.missing_bytes(clips[name]) == 0
  assert _read(clips[name], reader) == (NUM_FRAMES, {})


@pytest.mark.parametrize("reader", ["av", "cv2"])
@pytest.mark.parametrize("name", [*CLIPS, "opencv.avi"])
def test_clips_cut_in_half_are_reported(clips, tmp_path, name, reader):
  whole = clips[name].read_bytes()
  half = tmp_path / name
  half.write_bytes(whole[: len(whole) // 2])
  assert media_end.missing_bytes(half) > 0
  if name in UNREADABLE:
    with pytest.raises(video_file.UnreadableError):
      _read(half, reader)
    return
  count, skipped = _read(half, reader)
  assert 0 < count < NUM_FRAMES
  lost = sum(n for x, n in skipped.items() if x.startswith("file ends early"))
  # One that was cut itself may count apart.
  assert NUM_FRAMES - 1 <= count + lost <= NUM_FRAMES + 1


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.wmv", "a.flv"])
def test_how_long_clips_say_they_last(clips, name):
  want = NUM_FRAMES / 25
  assert media_end.announced_s(clips[name]) == pytest.approx(want, abs=0.041)


@pytest.mark.parametrize("name", ["a.webm", "mjpeg.avi", "a.wmv", "a.mp4"])
def test_one_byte_less_shows(clips, tmp_path, name):
  cut = tmp_path / name
  cut.write_bytes(clips[name].read_bytes()[:-1])
  assert media_end.missing_bytes(cut) == 1


@pytest.mark.parametrize("reader", ["av", "cv2"])
@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.wmv", "a.flv"])
def test_whole_clips_are_as_long_as_they_say(tmp_path, name, reader):
  path = _write(tmp_path / name, *CLIPS[name], rate=5)
  opened = video_file.Video(str(path), reader)
  assert (
    len(list(opened)) == NUM_FRAMES and video_file.SHORT not in opened.notes
  )
  # They do say it, so that the note could have come.
  assert media_end.announced_s(path) > NUM_FRAMES / 5 - video_file._SHORT_S


@pytest.mark.parametrize("reader", ["av", "cv2"])
def test_frames_that_end_long_before_the_file_are_noted(tmp_path, reader):
  """Damage in the middle can hide all that comes behind it."""
  path = tmp_path / "a.mkv"
  _write(path, "mpeg4", "yuv420p", rate=5)
  whole, opened = path.read_bytes(), video_file.Video(str(path), reader)
  assert (
    len(list(opened)) == NUM_FRAMES and video_file.SHORT not in opened.notes
  )
  half, end = len(whole) // 2, len(whole) - 400
  path.write_bytes(whole[:half] + bytes(end - half) + whole[end:])
  opened = video_file.Video(str(path), reader)
  assert 0 < len(list(opened)) < NUM_FRAMES - 5
  # OpenCV makes a number of frames of the length that is announced.
  is_counted = any(x.startswith("file ends early") for x in opened.skipped)
  assert is_counted if reader == "cv2" else opened.notes[video_file.SHORT] == 1


def test_recordings_that_never_ended_are_followed(tmp_path):
  """Live WebM does not tell the sizes of its outer parts."""
  path = _write(tmp_path / "a.webm", "libvpx", "yuv420p", {"live": "1"})
  whole = path.read_bytes()
  assert media_end.missing_bytes(path) == 0
  path.write_bytes(whole[: len(whole) // 2])
  assert media_end.missing_bytes(path) > 0
  count, skipped = _read(path, "av")
  assert 0 < count < NUM_FRAMES and skipped["file ends early"] >= 1


def _box(kind, data):
  return struct.pack(">I4s", 8 + len(data), kind) + data


def _element(name, data):
  return name + struct.pack(">Q", 2**56 | len(data)) + data


_HEAD = b"\x1aE\xdf\xa3"
_CLUSTER, _BLOCK = b"\x1fC\xb6u", b"\xa3"
_UNTOLD = b"\x01" + b"\xff" * 7


@pytest.mark.parametrize(
  ("whole", "cut"),
  [
    (b"RIFF" + struct.pack("<I", 20) + bytes(20), 3),
    ((b"RIFF" + struct.pack("<I", 20) + bytes(20)) * 2, 3),  # Large files.
    (_box(b"ftyp", b"isom") + _box(b"moof", bytes(9)), 2),
    (_box(b"ftyp", b"") + struct.pack(">I4sQ", 1, b"mdat", 26) + bytes(10), 4),
    (_element(_HEAD, b"") + _element(b"\x18S\x80g", bytes(30)), 5),
    (_element(_HEAD, b"") + b"\x18S\x80g" + _UNTOLD + _CLUSTER + _UNTOLD
     + _element(_BLOCK, bytes(30)), 5),
    ((b"G" + bytes(187)) * 4, 100),  # Packets of transport streams,
    ((bytes(4) + b"G" + bytes(187)) * 4, 100),  # and with times.
  ],
)  # fmt: skip
def test_sizes_that_files_announce(tmp_path, whole, cut):
  path = tmp_path / "a"
  path.write_bytes(whole)
  assert media_end.missing_bytes(path) == 0
  path.write_bytes(whole[:-cut])
  assert media_end.missing_bytes(path) == cut


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"R",
    b"RIFF",
    b"RIFF\0\0\0\0WAVE",  # Untold.
    b"RIFF\xff\xff\xff\xffWAVE",
    _box(b"ftyp", b"isom") + b"\0\0\0\0mdat" + bytes(9),  # To the end.
    _box(b"ftyp", b"isom") + b"\0\0\0\3mdat" + bytes(9),
    _HEAD + _element(b"\xa3", b"") + bytes(40),  # Something else behind.
    b"\x47" + bytes(187),
  ],
)
def test_files_that_do_not_say_how_long_they_are(tmp_path, data):
  (tmp_path / "a").write_bytes(data)
  assert media_end.missing_bytes(tmp_path / "a") == 0


def test_any_bytes_come_to_an_end(tmp_path):
  rng = np.random.default_rng(3)
  starts = (b"RIFF", _HEAD, b"\0\0\0\x10ftyp", b"FLV", bytes(16))
  for start in starts:
    for _ in range(20):
      size = int(rng.integers(0, 300))
      data = rng.integers(0, 256, size, "u1").tobytes()
      (tmp_path / "a").write_bytes(start + data)
      assert media_end.missing_bytes(tmp_path / "a") >= 0
      assert 0 <= media_end.announced_s(tmp_path / "a") <= 1e7
