import pathlib
from fractions import Fraction

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.files import images
from facerep_jax.video import video_file

av = pytest.importorskip("av")
pytest.importorskip("cv2")

from tests.video import clips  # noqa: E402

READERS = pytest.mark.parametrize("reader", ["av", "cv2"])
QUADRANTS = {
  "R": (255, 0, 0),
  "G": (0, 255, 0),
  "B": (0, 0, 255),
  "W": (255,) * 3,
}


def quadrants():
  """Red, green over blue, white: tells every turn and mirroring apart."""
  image = np.zeros((96, 160, 3), np.uint8)
  for colour, (rows, columns) in zip(
    QUADRANTS.values(),
    [
      (y, x)
      for y in (slice(48), slice(48, 96))
      for x in (slice(80), slice(80, 160))
    ],
  ):
    image[rows, columns] = colour
  return image


def letters(image):
  """Names the quadrants of an image by their nearest colour."""
  height, width = image.shape[:2]
  places = [(y, x) for y in (1, 3) for x in (1, 3)]
  out = ""
  for y, x in places:
    pixel = image[y * height // 4, x * width // 4].astype(int)
    far = {k: np.abs(pixel - c).sum() for k, c in QUADRANTS.items()}
    out += min(far, key=far.get)
  return out


def encode(path, frames, *, rate=10, codec="mpeg4", shape=None, times=None):
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate=rate)
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = "yuv420p"
    if shape:
      stream.codec_context.sample_aspect_ratio = shape
    if times:
      stream.codec_context.time_base = Fraction(1, 1000)
    for i, pixels in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      if times:
        frame.pts, frame.time_base = int(times[i] * 1000), Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return str(path)


@READERS
def test_frames_come_in_order_with_their_times(tmp_path, reader):
  levels = [20 * i for i in range(12)]
  frames = [np.full((64, 96, 3), level, np.uint8) for level in levels]
  opened = video_file.Video(encode(tmp_path / "a.mp4", frames), reader)
  got = list(opened)
  assert [frame.index for frame in got] == list(range(12))
  np.testing.assert_allclose([f.time_s for f in got], np.arange(12) / 10)
  assert not opened.skipped
  for frame, level in zip(got, levels):
    image = frame.image()
    assert image.shape == (64, 96, 3)
    assert image.dtype == np.uint8
    assert abs(image.mean() - level) < 4  # Coding of flat grey.
    thumbnail = frame.thumbnail()
    assert thumbnail.shape == (*video_file.THUMBNAIL_PX[::-1], 3)
    assert abs(thumbnail.mean() - level) < 4


@pytest.mark.parametrize(
  ("matrix", "want", "readers"),
  [
    ((1, 0, 0, 1), "RGBW", ("av", "cv2")),
    ((0, 1, -1, 0), "BRWG", ("av", "cv2")),  # Quarter turn clockwise.
    ((-1, 0, 0, -1), "WBGR", ("av", "cv2")),
    ((0, -1, 1, 0), "GWRB", ("av", "cv2")),
    ((-1, 0, 0, 1), "GRWB", ("av",)),  # OpenCV does not mirror.
    ((1, 0, 0, -1), "BWRG", ("av",)),
    ((0, 1, 1, 0), "RBGW", ("av",)),  # Transposed.
  ],
)
def test_rotation_metadata_is_honoured(tmp_path, matrix, want, readers):
  path = encode(tmp_path / "a.mp4", [quadrants()] * 3)
  clips.set_matrix(path, matrix)
  for reader in readers:
    image = next(iter(video_file.Video(path, reader))).image()
    assert letters(image) == want
    assert image.shape[:2] == ((160, 96) if matrix[1] else (96, 160))


@READERS
def test_pixels_become_square(tmp_path, reader):
  path = encode(tmp_path / "a.mp4", [quadrants()] * 3, shape=Fraction(16, 11))
  image = next(iter(video_file.Video(path, reader))).image()
  assert image.shape == (96, 233, 3)  # 160 * 16 / 11.
  assert letters(image) == "RGBW"


def test_clock_keeps_the_first_frame_of_each_interval():
  def kept(times, fps):
    clock = video_file.Clock(fps)
    return [i for i, time_s in enumerate(times) if clock.is_due(time_s)]

  assert kept(np.arange(25) / 25, 5) == [0, 5, 10, 15, 20]
  assert kept(np.arange(25) / 25, 6) == [0, 5, 9, 13, 17, 21]
  assert kept(np.arange(10) / 10, 30) == list(range(10))
  # A gap in a variable rate: no frame is kept twice, none made up.
  assert kept([0, 0.1, 0.2, 2.0, 2.05, 2.4, 2.5], 2) == [0, 3, 6]
  assert kept([0.0, 0.999999, 1.0], 1) == [0, 1]  # Rounded time stamps.


def remux(path, out, kept):
  """Copies the packets whose number is in `kept`, with their time stamps."""
  with av.open(path) as source, av.open(str(out), "w") as target:
    stream = target.add_stream_from_template(source.streams.video[0])
    packets = [x for x in source.demux(video=0) if x.size]
    for number in kept:
      packets[number].stream = stream
      target.mux(packets[number])
  return str(out)


@READERS
def test_variable_rate_is_read_from_time_stamps(tmp_path, reader):
  times = [0, 0.1, 0.2, 1.5, 1.6]
  frames = [np.full((64, 96, 3), 40 * i, np.uint8) for i in range(5)]
  path = encode(tmp_path / "a.mkv", frames, times=times)
  opened = video_file.Video(path, reader)
  got = [frame.time_s for frame in opened]
  np.testing.assert_allclose(got, times, atol=1e-3)  # Milliseconds in Matroska.
  assert video_file.NO_TIME not in opened.facts.notes


@READERS
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_dropped_packets_leave_a_gap_in_time(tmp_path, reader, name):
  frames = [np.full((64, 96, 3), 20 * i, np.uint8) for i in range(10)]
  whole = encode(tmp_path / "whole.mkv", frames, codec="mpeg2video", rate=25)
  kept = [0, 1, 2, 6, 7, 8, 9]
  opened = video_file.Video(remux(whole, tmp_path / name, kept), reader)
  got = [(frame.index, frame.time_s) for frame in opened]
  assert [index for index, _ in got] == list(range(7))
  np.testing.assert_allclose(
    [time_s for _, time_s in got], np.array(kept) / 25, atol=1e-3
  )
  assert video_file.NO_TIME not in opened.facts.notes


def test_the_start_and_the_rate_of_the_stream_are_told(tmp_path):
  frames = [np.full((64, 96, 3), 20 * i, np.uint8) for i in range(4)]
  path = encode(tmp_path / "a.ts", frames, codec="mpeg2video", rate=25)
  opened = video_file.Video(path, "av")
  assert opened.start_s is None
  got = [frame.time_s for frame in opened]
  np.testing.assert_allclose(got, np.arange(4) / 25, atol=1e-4)
  with av.open(path) as container:
    first = next(container.decode(video=0)).time
  assert first > 0  # As transport streams do.
  assert opened.start_s == first
  assert opened.facts.rate_fps == 25


def test_time_never_runs_back():
  clock = video_file._Times()
  stamps = [5.0, 5.1, None, 0.0, 0.1, 9.0]
  got = [clock.next(stamp, 10) for stamp in stamps]
  np.testing.assert_allclose(got, [0, 0.1, 0.2, 0.3, 0.4, 4.0])
  assert (clock.start_s, clock.num_made_up) == (5.0, 3)


def test_time_counts_from_the_first_stamp_there_is():
  clock = video_file._Times()
  got = [clock.next(stamp, 10) for stamp in [None, None, 7.2, 7.5]]
  np.testing.assert_allclose(got, [0, 0.1, 0.2, 0.5])
  assert clock.num_made_up == 2
  np.testing.assert_allclose(clock.start_s, 7.0)


@READERS
@pytest.mark.parametrize("data", [b"", b"no video" * 100])
def test_unreadable_files_say_so(tmp_path, reader, data, capfd):
  path = tmp_path / "a.mp4"
  path.write_bytes(data)
  with pytest.raises(video_file.UnreadableError, match=r"a\.mp4: not a video"):
    list(video_file.Video(str(path), reader))


def test_sound_alone_is_no_video(tmp_path):
  path = str(tmp_path / "a.mp4")
  with av.open(path, "w") as container:
    stream = container.add_stream("aac", rate=8000)
    silence = np.zeros((1, 4096), np.float32)
    frame = av.AudioFrame.from_ndarray(silence, "fltp", "mono")
    frame.rate = 8000
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
  with pytest.raises(video_file.UnreadableError, match="no video stream"):
    list(video_file.Video(path, "av"))


def test_huge_frames_are_refused_before_decoding(tmp_path, monkeypatch):
  path = encode(tmp_path / "a.mp4", [quadrants()] * 3)
  monkeypatch.setattr(images, "MAX_PIXELS", 10_000)
  for reader in ("av", "cv2"):
    with pytest.raises(video_file.UnreadableError, match="160 x 96 px"):
      list(video_file.Video(path, reader))


@READERS
def test_damage_is_counted_and_the_rest_is_read(tmp_path, reader, capfd):
  rng = np.random.default_rng(0)
  frames = [rng.integers(0, 256, (64, 96, 3), np.uint8) for _ in range(30)]
  path = encode(tmp_path / "a.avi", frames)
  data = pathlib.Path(path).read_bytes()
  pathlib.Path(path).write_bytes(data[: len(data) // 2])
  opened = video_file.Video(path, reader)
  assert 5 <= len(list(opened)) <= 15
  assert opened.skipped["file ends early"] >= 15


def test_without_a_reader_the_extra_is_named(monkeypatch):
  monkeypatch.setattr(video_file.importlib.util, "find_spec", lambda _: None)

  def absent(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

  monkeypatch.setattr(errors.importlib, "import_module", absent)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[video\]"):
    video_file.default_reader()


def test_opencv_is_the_fallback(monkeypatch):
  find = video_file.importlib.util.find_spec
  monkeypatch.setattr(
    video_file.importlib.util,
    "find_spec",
    lambda x: None if x == "av" else find(x),
  )
  assert video_file.Video("x").reader == "cv2"


def test_both_readers_agree_on_a_real_clip(shared):
  path = str(shared / "data" / "videos" / "bbaf2n.mpg")
  one, two = (list(video_file.Video(path, reader)) for reader in ("av", "cv2"))
  assert len(one) == len(two) == 75
  np.testing.assert_allclose(
    [x.time_s for x in one], [x.time_s for x in two], atol=1e-3
  )
  for i in (0, 40, 74):
    # Another upsampling of colour.
    difference = np.abs(one[i].image().astype(int) - two[i].image())
    assert difference.mean() < 2


@READERS
def test_the_length_is_told_without_decoding(tmp_path, monkeypatch, reader):
  monkeypatch.setattr(video_file, "default_reader", lambda: reader)
  path = tmp_path / "clip.mp4"
  encode(path, [quadrants()] * 15)
  assert video_file.declared_s(str(path)) == pytest.approx(1.5, abs=0.11)
  path.write_bytes(b"no video")
  assert video_file.declared_s(str(path)) == 0
  assert video_file.declared_s(str(tmp_path / "none.mp4")) == 0
