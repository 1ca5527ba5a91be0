import os
import sys
import types

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import extract, sources
from facerep_jax.detection import detect
from facerep_jax.video import stream_choice, video_file

av = pytest.importorskip("av")
pytest.importorskip("cv2")
PLAIN = av.stream.Disposition(0)
DEFAULT = av.stream.Disposition.default
COVER = av.stream.Disposition.attached_pic


def write(path, dispositions):
  """Writes a video whose stream i has grey levels 40 + 80 i, + 10 a frame."""
  with av.open(str(path), "w") as container:
    streams = [container.add_stream("mpeg4", rate=10) for _ in dispositions]
    for stream, disposition in zip(streams, dispositions):
      stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
      stream.disposition = disposition
    for step in range(3):
      for i, stream in enumerate(streams):
        pixels = np.full((64, 96, 3), 40 + 80 * i + 10 * step, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        container.mux(stream.encode(frame))
    for stream in streams:
      container.mux(stream.encode())
  return str(path)


def of_streams(notes):
  return {text: n for text, n in notes.items() if "video streams" in text}


@pytest.mark.parametrize(
  ("dispositions", "level", "note"),
  [
    ([DEFAULT], 40, ""),
    ([PLAIN], 40, ""),
    ([PLAIN, DEFAULT], 120, stream_choice.DEFAULT),
    ([PLAIN, DEFAULT, DEFAULT], 120, stream_choice.DEFAULT),
    ([PLAIN, PLAIN], 40, stream_choice.FIRST),
  ],
)
def test_the_default_stream_is_read_and_said(
  tmp_path, dispositions, level, note
):
  opened = video_file.Video(write(tmp_path / "a.mkv", dispositions), "av")
  means = [frame.image().mean() for frame in opened]
  # Coding of flat grey.
  np.testing.assert_allclose(means, [level, level + 10, level + 20], atol=4)
  assert of_streams(opened.notes) == ({note: 1} if note else {})
  assert not opened.skipped


@pytest.mark.parametrize(
  ("dispositions", "chosen", "note"),
  [
    ([COVER | DEFAULT, PLAIN], 1, ""),
    ([COVER, PLAIN, DEFAULT], 2, stream_choice.DEFAULT),
    ([COVER, PLAIN, PLAIN], 1, stream_choice.FIRST),
    ([COVER], 0, ""),
  ],
)
def test_a_cover_is_no_video_beside_one(dispositions, chosen, note):
  streams = [types.SimpleNamespace(disposition=x) for x in dispositions]
  assert stream_choice.choose(streams) == (streams[chosen], note)


def test_the_report_tells_of_streams(tmp_path, monkeypatch):
  write(tmp_path / "a.mkv", [PLAIN, DEFAULT])
  none = np.zeros((0, 6), np.float32)
  monkeypatch.setattr(extract, "_detector", lambda model: lambda image: none)
  [unit] = sources.collect([sources.Source(str(tmp_path))])
  report = extract.unit_report.start(unit)
  assert list(extract.extract(unit, extract.Settings(), report)) == []
  assert of_streams(report.notes) == {stream_choice.DEFAULT: 1}


@pytest.mark.skipif(sys.platform == "darwin", reason="takes UTF-8 names only")
@pytest.mark.parametrize("reader", ["av", "cv2"])
def test_names_that_are_no_utf8_are_read(tmp_path, reader):
  plain = write(tmp_path / "a.mkv", [DEFAULT])
  odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mkv")
  os.rename(plain, odd)
  assert len(list(video_file.Video(odd, reader))) == 3


@pytest.mark.skipif(sys.platform == "darwin", reason="takes UTF-8 names only")
def test_a_detector_of_such_a_name_is_refused(tmp_path):
  odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.onnx")
  with open(odd, "wb") as file:
    file.write(b"no model")
  with pytest.raises(errors.InputError, match="no UTF-8; rename it"):
    detect.make_detector(odd)
