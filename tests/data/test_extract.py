import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from facerep_jax.data import extract, sources, unit_report
from facerep_jax.files import colour, images
from facerep_jax.synthetic import generator
from facerep_jax.tracks import schema
from facerep_jax.video import video_file

av = pytest.importorskip("av")


def save(path, height, width, *, kind=None, level=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  rows, columns = np.indices((height, width))
  pixels = np.stack([rows, columns, level + 0 * rows], -1).astype(np.uint8)
  Image.fromarray(pixels).save(path, kind, quality=95)
  return path


def run(path, layout="auto", **settings):
  chunks, reports = [], []
  for unit in sources.collect([sources.Source(str(path), layout)]):
    reports.append(unit_report.start(unit))
    chunks += extract.extract(unit, extract.Settings(**settings), reports[-1])
  return chunks, reports


def test_frames_that_fit_keep_their_bytes(tmp_path):
  paths = [save(tmp_path / f"p/v/t/f{i}.jpg", 64, 64) for i in range(12)]
  chunks, (report,) = run(tmp_path, size_px=64, chunk=5)
  assert [len(chunk.frames) for chunk in chunks] == [4, 4, 4]
  stored = [frame for chunk in chunks for frame in chunk.frames]
  assert stored == [path.read_bytes() for path in paths]  # f2 before f10.
  index = np.concatenate([chunk.frame_index for chunk in chunks])
  np.testing.assert_array_equal(index, np.arange(12))
  assert [chunk.chunk for chunk in chunks] == [0, 1, 2]
  assert {(x.person, x.video, x.track) for x in chunks} == {("p", "v", "t")}
  assert (report.num_tracks, report.num_stored, report.num_resized) == (
    1,
    12,
    0,
  )


def test_other_frames_are_fitted_and_counted(tmp_path):
  save(tmp_path / "1.jpg", 32, 32)  # Smaller.
  save(tmp_path / "2.jpg", 100, 100)  # Larger.
  save(tmp_path / "3.jpg", 64, 90)  # Not square.
  save(tmp_path / "4.bmp", 64, 64)  # Fits, but is no JPEG or PNG.
  chunks, (report,) = run(tmp_path, size_px=64)
  for chunk in chunks:
    (frame,) = chunk.frames
    assert images.decode(frame, "").pixels.shape == (64, 64, 3)
    assert frame[:2] == b"\xff\xd8"
  counts = report.num_resized, report.num_enlarged, report.num_squared
  assert counts == (2, 1, 1)
  third = images.decode(chunks[2].frames[0], "").pixels
  # The central square of columns 13..76.
  assert abs(third[32, 0, 1] - 13.0) < 4
  assert abs(third[32, 63, 1] - 76.0) < 4


def test_bad_frames_are_skipped_with_their_reason(tmp_path):
  good = save(tmp_path / "p/v/t/1.jpg", 64, 64).read_bytes()
  (tmp_path / "p/v/t/2.jpg").write_bytes(b"")
  (tmp_path / "p/v/t/3.jpg").write_bytes(good[:-60])
  save(tmp_path / "p/v/t/4.png", 1, 1)
  (tmp_path / "p/v/t/5.jpg").write_bytes(b"text")
  (tmp_path / "p/v/t/6.jpg").write_bytes(b"")
  save(tmp_path / "p/v/t/7.jpg", 64, 64)
  (chunk,), (report,) = run(tmp_path, size_px=64)
  assert chunk.frame_index.tolist() == [0, 6]
  assert (report.num_read, report.num_decoded) == (7, 2)
  counts = {k: v["count"] for k, v in report.skipped.items()}
  assert counts == {
    "empty file": 2,
    "damaged image": 1,
    "image too small": 1,
    "not an image": 1,
  }
  assert report.skipped["empty file"]["first"].endswith("2.jpg")
  assert report.problem == ""


def test_folder_of_bad_frames_is_reported(tmp_path):
  (tmp_path / "1.jpg").write_bytes(b"")
  chunks, (report,) = run(tmp_path)
  assert chunks == []
  assert report.problem == "no track found"


def bright_spot(image):
  """A detector of a fake face: the bounding box of the bright pixels."""
  rows, columns = np.nonzero(image[..., 0] > 128)
  if not len(rows):
    return np.zeros((0, 5), np.float32)
  box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
  return np.array([[*box, 1.0]], np.float32)


@pytest.fixture
def spots(monkeypatch):
  """Replaces the face detector."""
  monkeypatch.setattr(extract, "_detector", lambda model: bright_spot)


def spot_video(path, places, *, rate=10, back=30, times=None):
  """Encodes a video with a bright square at each (x, y); None: without."""
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=rate)
    stream.height, stream.width, stream.pix_fmt = 120, 160, "yuv420p"
    stream.bit_rate = 10**7
    if times is not None:
      stream.codec_context.time_base = Fraction(1, 1000)
    for i, place in enumerate(places):
      image = np.full((120, 160, 3), back, np.uint8)
      if place:
        x, y = place
        image[y : y + 30, x : x + 30] = 250
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      if times is not None:
        frame.pts, frame.time_base = round(1000 * times[i]), Fraction(1, 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


@pytest.mark.usefixtures("spots")
def test_times_are_those_of_the_stream(tmp_path):
  # A rate of 10, of 20, and a hole of 0.6 s.
  times = np.cumsum([0] + [0.1] * 8 + [0.05] * 8 + [0.6] + [0.1] * 4)
  places = [(10 + 2 * i, 40) for i in range(len(times))]
  spot_video(tmp_path / "clip.mkv", places, times=times)
  chunks, (report,) = run(tmp_path, size_px=48, fps=10, chunk=8)
  frame_index = np.concatenate([x.frame_index for x in chunks])
  time_s = np.concatenate([x.labels["time_s"] for x in chunks])
  # Two frames in 0.1 s are one too many.
  want = [*range(9), 10, 12, 14, 16, 17, 18, 19, 20, 21]
  assert frame_index.tolist() == want
  np.testing.assert_allclose(time_s, times[want], atol=1e-3)
  again = schema.parse(schema.serialize(chunks[-1])).labels["time_s"]
  np.testing.assert_allclose(again[-1], 2.2, atol=1e-3)
  assert report.start_s == 0
  np.testing.assert_allclose(
    [report.duration_s, report.longest_step_s], [2.2, 0.6], atol=1e-3
  )
  with av.open(str(tmp_path / "clip.mkv")) as container:
    rate = container.streams.video[0].average_rate
  assert report.source_fps == float(rate)
  totals = unit_report.total([dataclasses.asdict(report)])[str(tmp_path)]
  assert totals["source_fps"] == [float(rate)] * 2
  assert totals["longest_step_s"] == report.longest_step_s
  assert totals["notes"] == {video_file.NO_MATRIX: 1}


def test_what_was_assumed_of_images_is_counted(tmp_path):
  clear = np.zeros((64, 64, 4), np.uint8)
  for name in ("1.png", "2.png"):
    Image.fromarray(clear).save(tmp_path / name)
  save(tmp_path / "3.png", 64, 64)
  chunks, (report,) = run(tmp_path, size_px=64)
  assert report.notes == {colour.TRANSPARENT: 2}
  pixels = images.decode(chunks[0].frames[0], "").pixels
  assert (pixels == 255).all()
  assert "time_s" not in chunks[0].labels
  assert report.source_fps is None


@pytest.mark.usefixtures("spots")
def test_video_gives_a_track_with_boxes(tmp_path):
  places = [(10 + 2 * i, 40) for i in range(30)]
  places[12:15] = [None] * 3
  spot_video(tmp_path / "clip.mp4", places)
  chunks, (report,) = run(tmp_path, size_px=48, fps=10, chunk=8)
  assert [len(chunk.frames) for chunk in chunks] == [7, 8, 7, 8]
  names = {(x.person, x.video, x.track) for x in chunks}
  assert names == {("clip", "clip", "00000")}
  assert set(chunks[0].labels) == {"detected", "box_px", "time_s"}
  detected = np.concatenate([x.labels["detected"] for x in chunks])
  assert detected.tolist() == [1] * 12 + [0] * 3 + [1] * 15
  boxes = np.concatenate([x.labels["box_px"] for x in chunks])
  # The spot's edge is blurred by the coding: a pixel either way.
  np.testing.assert_allclose(boxes[:, 0], 10 + 2 * np.arange(30), atol=1.5)
  np.testing.assert_allclose(boxes[:, 3], 70, atol=1.5)
  assert (report.num_kept, report.num_detected) == (30, 27)
  assert (report.num_interpolated, report.num_tracks) == (3, 1)
  for chunk in chunks:
    for frame, is_seen in zip(chunk.frames, chunk.labels["detected"]):
      pixels = images.decode(frame, "").pixels
      assert pixels.shape == (48, 48, 3)
      if is_seen:  # 30 px of a crop of 48: margins of 9, 4 above, 14 below.
        assert pixels[7:31, 12:36].min() > 200
        assert pixels[38:].max() < 90 and pixels[:, :6].max() < 90


@pytest.mark.usefixtures("spots")
def test_fewer_frames_are_kept_than_looked_at(tmp_path):
  # A spot that moves its own width in 0.3 s: one look a second would lose it.
  spot_video(
    tmp_path / "clip.mp4", [(2 + 2 * i, 40) for i in range(60)], rate=20
  )
  (chunk,), (report,) = run(tmp_path, size_px=48, fps=1)
  assert chunk.frame_index.tolist() == [0, 20, 40]
  assert report.num_kept == report.num_detected == 3
  assert report.num_decoded == 60


@pytest.mark.usefixtures("spots")
def test_cut_divides_a_track(tmp_path):
  path = tmp_path / "clip.avi"
  noise = np.random.default_rng(0).integers(0, 100, (2, 15, 20, 3))
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=10)
    stream.height, stream.width, stream.pix_fmt = 120, 160, "yuv420p"
    stream.bit_rate = 10**7
    for i in range(20):
      image = np.kron(noise[i // 10], np.ones((8, 8, 1))).astype(np.uint8)
      image[40:70, 60:90] = 250
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  chunks, (report,) = run(path, size_px=48, fps=10)
  assert report.num_cuts == 1
  assert [x.track for x in chunks] == ["00000", "00001"]
  assert chunks[0].frame_index.tolist() == list(range(10))
  assert chunks[1].frame_index.tolist() == list(range(10, 20))


@pytest.mark.usefixtures("spots")
def test_videos_without_faces_and_broken_ones_are_reported(tmp_path):
  spot_video(tmp_path / "a.mp4", [None] * 5)
  (tmp_path / "b.mp4").write_bytes(b"no video")
  spot_video(tmp_path / "c.mp4", [(50, 50)] + [None] * 9)
  chunks, reports = run(tmp_path)
  assert chunks == []
  assert reports[0].problem == "no face found"
  assert "not a video that can be read" in reports[1].problem
  assert reports[2].problem == "no track found"  # One frame is a false alarm.


def both_spots(image):
  """A detector of fake faces in the left and in the right half."""
  found = []
  for x in (0, 80):
    for face in bright_spot(image[:, x : x + 80]):
      found.append(face + np.array([x, 0, x, 0, 0], np.float32))
  return np.array(found, np.float32).reshape(-1, 5)


def test_two_faces_in_one_clip_are_two_people(tmp_path, monkeypatch):
  monkeypatch.setattr(extract, "_detector", lambda model: both_spots)
  (tmp_path / "anna").mkdir()
  path = tmp_path / "anna" / "1.mp4"
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=10)
    stream.height, stream.width, stream.pix_fmt = 120, 160, "yuv420p"
    stream.bit_rate = 10**7
    for i in range(10):
      image = np.full((120, 160, 3), 30, np.uint8)
      image[40:60, 20 + i : 40 + i] = 250
      image[40:70, 100 + i : 130 + i] = 250
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  spot_video(tmp_path / "2.mp4", [(10 + i, 40) for i in range(10)])
  chunks, _ = run(tmp_path, size_px=32, fps=10)
  assert [(x.person, x.video, x.track) for x in chunks] == [
    ("2", "2", "00000"),
    ("anna/1#2", "anna/1", "00000"),
    ("anna/1", "anna/1", "00001"),
  ]
  assert chunks[1].labels["box_px"][0, 2] < 60


def test_dissolve_between_two_people_ends_the_track(tmp_path, monkeypatch):
  box = np.array([[12, 12, 52, 52, 1.0]], np.float32)
  monkeypatch.setattr(extract, "_detector", lambda model: lambda image: box)
  drawn = generator.Settings(
    num_people=2, num_frames=8, size_px=64, pose_scale=0.2
  )
  first, second = (
    [
      images.decode(frame, "").pixels.astype(np.float64)
      for frame in generator.make_track(drawn, person, 0).frames
    ]
    for person in (0, 1)
  )
  shown = first[:7]
  for i in range(1, 6):
    shown.append(first[7] + (second[0] - first[7]) * i / 6)
  shown += second[1:]
  with av.open(str(tmp_path / "clip.mp4"), "w") as container:
    stream = container.add_stream("mpeg4", rate=6)
    stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
    stream.bit_rate = 10**7
    for pixels in shown:
      pixels = pixels.round().astype(np.uint8)
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  chunks, (report,) = run(tmp_path / "clip.mp4", size_px=32, fps=6)
  assert report.num_cuts == 0 and report.num_divided == 1
  assert {x.person for x in chunks} == {"clip", "clip#2"}
  found = [x.frame_index.tolist() for x in chunks]
  assert len(found) == 2 and found[0][-1] <= 7 and found[1][0] >= 11
  assert found[0][0] == 0 and found[1][-1] == 18


def test_frontal_faces_are_told_where_the_detector_knows(tmp_path, monkeypatch):
  def frontal_on_the_left(image):
    found = bright_spot(image)
    return np.concatenate([found, found[:, :1] < 40], axis=1)

  monkeypatch.setattr(extract, "_detector", lambda model: frontal_on_the_left)
  spot_video(tmp_path / "clip.mp4", [(10 + 4 * i, 40) for i in range(20)])
  chunks, _ = run(tmp_path, size_px=32, fps=10, chunk=8)
  frontal = np.concatenate([x.labels["frontal"] for x in chunks])
  assert frontal.dtype == np.int64
  # The square may look a pixel wider in the video.
  assert frontal[:7].all() and not frontal[9:].any() and len(frontal) == 20
  image = np.zeros((100, 200, 3), np.uint8)
  image[40:60, 20:40] = 255
  (tmp_path / "photos").mkdir()
  Image.fromarray(image).save(tmp_path / "photos" / "1.png")
  chunks, _ = run(tmp_path / "photos", "photos", size_px=32)
  assert chunks[0].labels["frontal"].tolist() == [1]
  again = schema.parse(schema.serialize(chunks[0]))
  assert again.labels["frontal"].tolist() == [1]


@pytest.mark.usefixtures("spots")
def test_faces_are_cropped_from_images_on_request(tmp_path):
  image = np.zeros((100, 200, 3), np.uint8)
  image[40:60, 150:170] = 255
  Image.fromarray(image).save(tmp_path / "1.png")
  Image.fromarray(0 * image).save(tmp_path / "2.png")
  chunks, (report,) = run(tmp_path, size_px=32, find_faces=True)
  (chunk,) = chunks
  np.testing.assert_array_equal(chunk.labels["box_px"], [[150, 40, 170, 60]])
  pixels = images.decode(chunk.frames[0], "").pixels
  # 20 px of a crop of 32, from row 2.9.
  assert pixels[5:21, 8:24].min() > 240
  assert pixels[26:].max() < 15
  assert report.skipped["no face"]["count"] == 1


@pytest.mark.usefixtures("spots")
def test_photos_are_always_cropped_and_each_is_a_track(tmp_path):
  image = np.zeros((100, 200, 3), np.uint8)
  image[40:60, 150:170] = 255
  for name in ("a/1.png", "a/2.png", "b/1.png"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(tmp_path / name)
  Image.fromarray(0 * image).save(tmp_path / "b/2.png")
  chunks, (report,) = run(tmp_path, "photos", size_px=32)
  assert [(x.person, x.video) for x in chunks] == [
    ("a", "a/1"),
    ("a", "a/2"),
    ("b", "b/1"),
  ]
  assert [len(x.frames) for x in chunks] == [1, 1, 1]
  # 20 px of a crop of 32, from row 2.9.
  pixels = images.decode(chunks[2].frames[0], "").pixels
  assert pixels[5:21, 8:24].min() > 240
  assert pixels[26:].max() < 15
  assert (report.num_read, report.num_detected, report.num_tracks) == (4, 3, 3)
  assert report.skipped["no face"]["count"] == 1


def test_synthetic_tracks_are_cut_into_chunks():
  units = sources.collect([sources.Source("synthetic")], 1, 1)
  settings = extract.Settings(
    size_px=32, chunk=2, num_people=1, tracks_per_person=1, num_frames=5
  )
  report = unit_report.start(units[0])
  chunks = list(extract.extract(units[0], settings, report))
  assert [len(x.frames) for x in chunks] == [1, 2, 2]
  assert all(len(x.labels["yaw_rad"]) == len(x.frames) for x in chunks)
  assert (report.num_tracks, report.num_stored) == (1, 5)
