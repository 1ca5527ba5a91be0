from fractions import Fraction

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.files import colour
from facerep_jax.video import deinterlace, opencv_reader, tone, video_file

av = pytest.importorskip("av")
pytest.importorskip("cv2")
from tests.video import clips  # noqa: E402

READERS = ("av", "cv2")


def read(path, reader):
  opened = video_file.Video(path, reader)
  return [(frame.image(), frame.thumbnail()) for frame in opened], opened


def refuse(path, reader, message):
  with pytest.raises(video_file.UnreadableError, match=message) as caught:
    read(path, reader)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["ffv1", "libx264", "libvpx-vp9"])
@pytest.mark.parametrize("colour_range", ["none", "limited", "full"])
@pytest.mark.parametrize("matrix", list(clips.MATRICES))
def test_both_readers_honour_matrix_and_range(
  tmp_path, matrix, colour_range, codec
):
  options = {"libx264": {"crf": "1"}, "libvpx-vp9": {"lossless": "1"}}
  path = clips.write(
    tmp_path / "a.mkv",
    [clips.card(), clips.card(clips.COLOURS[::-1])],
    codec=codec,
    matrix=matrix,
    colour_range=colour_range,
    options=options.get(codec, {}),
  )
  (one, opened), (two, _) = (read(path, reader) for reader in READERS)
  assert len(one) == len(two) == 2
  for step, (image, small), (other, _) in zip((1, -1), one, two):
    # Rounding to 8 bits in YCbCr, of colours and of FFmpeg's matrix.
    assert np.abs(clips.patches(image) - clips.COLOURS[::step]).max() <= 4
    assert np.abs(image.astype(int) - other).max() <= 1
    assert np.abs(clips.patches(small) - clips.COLOURS[::step]).max() <= 6
  assert (video_file.NO_MATRIX in opened.facts.notes) == (matrix == "none")


def pq_of(nits):
  """Inverse of the PQ curve, BT.2100 table 4."""
  y = (np.asarray(nits, float) / 10_000) ** 0.1593017578125
  return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg_of(light):
  """HLG of scene light, BT.2100 table 5."""
  light = np.asarray(light, float)
  with np.errstate(invalid="ignore"):
    high = 0.17883277 * np.log(12 * light - 0.28466892) + 0.55991073
  return np.where(light <= 1 / 12, np.sqrt(3 * light), high)


NITS = np.array([1, 5, 20, 50, 100, 203, 500, 1000])


def want_of(nits):
  """What grey of this brightness is to become."""
  light = tone.roll_off(nits / 203)
  return 255 * np.where(
    light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
  )


@pytest.mark.parametrize("transfer", [tone.PQ, tone.HLG])
def test_hdr_is_tone_mapped_by_pyav_and_refused_by_opencv(tmp_path, transfer):
  # HLG's display of 1,000 cd/m2 shows grey as 1000 * light ** 1.2.
  levels = (
    pq_of(NITS) if transfer == tone.PQ else hlg_of((NITS / 1000) ** (1 / 1.2))
  )
  picture = clips.card(np.repeat(255 * levels[:, None], 3, 1))
  path = clips.write(
    tmp_path / "a.mkv",
    [picture] * 2,
    pix_fmt="yuv420p10le",
    matrix="bt2020",
    colour_range="limited",
    transfer=transfer,
    primaries=tone.BT2020,
  )
  frames, opened = read(path, "av")
  want = np.repeat(want_of(NITS)[:, None], 3, 1)
  for picture in frames[0]:
    assert np.abs(clips.patches(picture) - want).max() <= 3
  assert opened.facts.notes == {video_file.HDR: 1}
  refuse(path, "cv2", "does not tell HDR; pip install")


def test_hdr_colours_are_taken_to_srgb(tmp_path):
  # sRGB colours, shown at a diffuse white of 203 cd/m2 and coded as HDR10.
  colours = np.array(clips.COLOURS[:3] + clips.COLOURS[5:7] + ((90,) * 3,) * 3)
  value = colours / 255
  light = np.where(
    value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4
  )
  # BT.2087-0: from BT.709 to BT.2020 primaries.
  to_bt2020 = np.array(
    [
      [0.6274, 0.3293, 0.0433],
      [0.0691, 0.9195, 0.0114],
      [0.0164, 0.0880, 0.8956],
    ]
  )
  coded = pq_of(203 * light @ to_bt2020.T)
  path = clips.write(
    tmp_path / "a.mkv",
    [clips.card(255 * coded)] * 2,
    pix_fmt="yuv420p10le",
    matrix="bt2020",
    colour_range="limited",
    transfer=tone.PQ,
    primaries=tone.BT2020,
  )
  (image, _), _ = read(path, "av")[0]
  assert np.abs(clips.patches(image) - colours).max() <= 4


def test_ten_bits_of_sdr_are_read_as_they_are(tmp_path):
  path = clips.write(
    tmp_path / "a.mkv",
    [clips.card()] * 2,
    pix_fmt="yuv420p10le",
    matrix="bt709",
    colour_range="limited",
  )
  frames, opened = read(path, "av")
  assert np.abs(clips.patches(frames[0][0]) - clips.COLOURS).max() <= 4
  assert not opened.facts.notes


def test_wide_gamut_of_sdr_is_converted(tmp_path):
  path = clips.write(
    tmp_path / "a.mkv",
    [clips.card()] * 2,
    matrix="bt2020",
    colour_range="limited",
    transfer=14,
    primaries=tone.BT2020,
  )
  frames, opened = read(path, "av")
  got = clips.patches(frames[0][0])
  assert opened.facts.notes == {video_file.WIDE: 1}
  grey = [3, 4, 7]
  assert np.abs(got[grey] - np.array(clips.COLOURS)[grey]).max() <= 2
  # The same numbers mean a redder red and a greener green.
  assert got[0, 0] >= 215 and got[1, 1] >= 185


INTERLACED = {
  "a.mpg": ("mpeg2video", {"flags": "+ildct+ilme", "b": "8000000"}),
  "a.mp4": ("libx264", {"x264-params": "interlaced=1", "crf": "1"}),
  "b.mp4": ("mpeg4", {"flags": "+ildct+ilme", "b": "8000000"}),
}


def comb(image):
  """Mean step between neighbouring rows less that between every other row."""
  rows = image[20:70].astype(int)
  return (
    np.abs(np.diff(rows, axis=0)).mean() - np.abs(rows[2:] - rows[:-2]).mean()
  )


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_video_is_deinterlaced_or_refused(tmp_path, name, capfd):
  codec, options = INTERLACED[name]
  woven = [clips.weave(i) for i in range(8)]
  assert comb(woven[3]) > 5
  path = clips.write(
    tmp_path / name,
    woven,
    codec=codec,
    matrix="bt709",
    colour_range="limited",
    rate=25,
    options=options,
  )
  frames, opened = read(path, "av")
  assert len(frames) == 8
  assert opened.facts.notes[deinterlace.NOTE] == 1
  for i, (image, _) in enumerate(frames):
    assert abs(comb(image)) < 1
    moments = [clips.moving(2 * i), clips.moving(2 * i + 1)]
    far = [np.abs(image[30:60] - x[30:60]).mean() for x in moments]
    assert min(far) < 4  # Codec and edges; the other moment is 8 off.
  times = [frame.time_s for frame in video_file.Video(path, "av")]
  np.testing.assert_allclose(times, np.arange(8) / 25, atol=1e-6)
  refuse(path, "cv2", "gave the same picture 8 times.*interlaced")


@pytest.mark.parametrize(
  ("order", "is_combed"), [("progressive", True), ("tt", False)]
)
def test_the_file_may_declare_interlacing_where_frames_do_not(
  tmp_path, order, is_combed
):
  woven = [clips.weave(i) for i in range(6)]
  options = {"field_order": order}
  path = clips.write(tmp_path / "a.mkv", woven, options=options)
  frames, opened = read(path, "av")
  assert len(frames) == 6
  assert (deinterlace.NOTE in opened.facts.notes) != is_combed
  assert (comb(frames[3][0]) > 5) == is_combed


def test_fields_coded_as_pictures_are_refused(tmp_path):
  path = clips.write(
    tmp_path / "a.mp4",
    [clips.moving(i) for i in range(4)],
    codec="libx265",
    rate=50,
    options={
      "x265-params": "interlace=tff:log-level=none",
      "preset": "ultrafast",
    },
  )
  refuse(path, "av", "HEVC in separate fields")


def test_frames_of_two_sizes_are_deinterlaced():
  sizes = [(96, 160)] * 4 + [(64, 80)] * 3
  frames = []
  for i, size in enumerate(sizes):
    pixels = np.full((*size, 3), 30 * i, np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frames.append(frame.reformat(format="yuv420p"))
    frames[-1].pts, frames[-1].time_base = i, Fraction(1, 25)
  notes = {}
  got = list(deinterlace.progressive(av, frames, 2, notes))
  assert [(x.height, x.width) for x in got] == sizes
  np.testing.assert_allclose([x.time for x in got], np.arange(7) / 25)
  levels = [x.to_ndarray(format="rgb24").mean() for x in got]
  np.testing.assert_allclose(levels, 30 * np.arange(7), atol=2)
  assert notes == {deinterlace.NOTE: 1}


def test_interlaced_video_is_turned_upright_too(tmp_path):
  codec, options = INTERLACED["a.mp4"]
  path = clips.write(
    tmp_path / "a.mp4",
    [clips.weave(i) for i in range(4)],
    codec=codec,
    rate=25,
    options=options,
  )
  (before, *_), _ = read(path, "av")
  clips.set_matrix(path, (0, 1, -1, 0))  # A quarter turn clockwise.
  (after, *_), opened = read(path, "av")
  np.testing.assert_array_equal(after[0], np.rot90(before[0], -1))
  assert deinterlace.NOTE in opened.facts.notes


def test_frames_that_opencv_repeats_are_counted(tmp_path):
  pictures = [clips.moving(i) for i in (0, 0, 0, 1, 2)]
  path = clips.write(tmp_path / "a.mkv", pictures, matrix="bt709")
  frames, opened = read(path, "cv2")
  assert len(frames) == 5
  assert opened.facts.notes == {
    opencv_reader.NOTE: 1,
    opencv_reader.REPEATED: 2,
  }


def test_transparent_video_is_put_on_white(tmp_path):
  path = str(tmp_path / "a.mov")
  pixels = np.full((*clips.SIZE, 4), (200, 60, 60, 255), np.uint8)
  pixels[:, :80] = (9, 9, 9, 0)
  with av.open(path, "w") as container:
    stream = container.add_stream("png", rate=10)
    stream.height, stream.width = clips.SIZE
    stream.pix_fmt = "rgba"
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
  frames, opened = read(path, "av")
  image, small = frames[0]
  assert (image[:, :80] == 255).all()
  assert (image[:, 80:] == (200, 60, 60)).all()
  assert (small[:, :20] == 255).all()
  assert opened.facts.notes == {colour.TRANSPARENT: 1}
  refuse(path, "cv2", "transparent")


def test_transparency_of_webm_is_noted(tmp_path):
  path = str(tmp_path / "a.webm")
  with av.open(path, "w") as container:
    stream = container.add_stream("libvpx-vp9", rate=10)
    stream.height, stream.width = clips.SIZE
    stream.pix_fmt = "yuva420p"
    pixels = np.full((*clips.SIZE, 4), (200, 60, 60, 0), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
    container.mux(stream.encode(frame.reformat(format="yuva420p")))
    container.mux(stream.encode())
  _, opened = read(path, "av")
  assert opened.facts.notes[video_file.NO_ALPHA] == 1


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_an_unknown_matrix_is_refused(tmp_path, matrix, monkeypatch):
  monkeypatch.setitem(clips.MATRICES, "odd", (matrix, 0.3, 0.1))
  path = clips.write(tmp_path / "a.mkv", [clips.card()] * 2, matrix="odd")
  refuse(path, "av", f"its colour matrix, {matrix} of H.273, is not known")


def test_readers_that_ignore_colours_are_refused(monkeypatch):
  monkeypatch.setattr(av, "__version__", "17.0.0")
  with pytest.raises(
    errors.InputError, match=r"PyAV 17\.0\.0 .* 18\.1 or newer"
  ):
    video_file.default_reader()
  opencv_reader.check_version("swscale: YES (9.1.100)")
  with pytest.raises(errors.InputError, match=r"headless>=4\.13"):
    opencv_reader.check_version("    swscale:    YES (6.7.100)")
