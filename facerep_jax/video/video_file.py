"""Reads video files frame by frame: PyAV, or OpenCV where that is missing."""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Callable, Iterator

import numpy as np

from facerep_jax import errors
from facerep_jax.files import colour
from facerep_jax.video import (
  common,
  deinterlace,
  media_end,
  opencv_reader,
  stream_choice,
  tone,
)

UnreadableError = common.UnreadableError
THUMBNAIL_PX = common.THUMBNAIL_PX
EXTENSIONS = (
  *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
  *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
# Notes on a file, counted in the manifest.
NO_MATRIX = "no colour matrix declared: taken as BT.601"
HDR = "HDR (PQ or HLG): tone-mapped"
WIDE = "wide colour gamut: converted to sRGB"
NO_ALPHA = "transparency of WebM: left out"
NO_TIME = "frames without a usable time stamp: placed by the frame rate"
SHORT = "frames end over a second before the length that the file announces"
_SHORT_S = 1.0  # Sound may last a little longer than the picture.
_EPSILON_S = 1e-4  # Time stamps are rounded to the time base of the file.
_MIN_AV = (18, 1)  # PyAV before took colours or interlacing otherwise.
# H.273 matrix coefficients that FFmpeg converts: RGB, BT.709, FCC, BT.601 in
# two numbers, SMPTE 240M, BT.2020. The unspecified two become BT.601.
_MATRICES, _NO_MATRIX = (0, 1, 4, 5, 6, 7, 9), (2, 3)
_FORMATS = {  # By whether colours are converted, and whether there is alpha.
  (False, False): "rgb24",
  (False, True): "rgba",
  (True, False): "rgb48le",
  (True, True): "rgba64le",
}


@dataclasses.dataclass
class Frame:
  """One decoded frame.

  Attributes:
    index: Number of the frame in its video, counting decoded frames from 0.
    time_s: Time since the first frame, by the time stamps of the stream.
    size_px: Width and height as coded.
    thumbnail: Returns uint8 [h, w, 3] of `THUMBNAIL_PX`, not upright.
    image: Returns the frame, uint8 [H, W, 3] RGB, upright, square pixels.
  """

  index: int
  time_s: float
  size_px: tuple[int, int]
  thumbnail: Callable[[], np.ndarray]
  image: Callable[[], np.ndarray]


class Clock:
  """Picks the frames to keep, at most `fps` a second.

  A frame is due when it is the first at or after a multiple of 1 / fps, so
  variable frame rates are kept in time, and no frame is kept twice.
  """

  def __init__(self, fps: float):
    self._fps, self._last = fps, -1

  def is_due(self, time_s: float) -> bool:
    """Tells whether the frame at a time is kept; call once for each frame."""
    tick = int((time_s + _EPSILON_S) * self._fps)
    if tick <= self._last:
      return False
    self._last = tick
    return True


class Video:
  """A video file, to be iterated over once.

  Attributes:
    reader: "av" or "cv2".
    facts: What the file says of itself and what was assumed; complete after
      iterating.
    skipped: Number of packets or frames that did not decode, by reason; part
      of `facts`, as `notes` are.
    start_s: Time stamp of the first frame; None until it is known. OpenCV
      counts from the start of the stream.
  """

  def __init__(self, path: str, reader: str | None = None):
    """Chooses how to read; the file is opened by iterating.

    Args:
      path: Video file.
      reader: "av" or "cv2"; by default the first that is installed.

    Raises:
      InputError: Neither PyAV nor OpenCV is installed.
    """
    self._path = path
    self.reader = reader or default_reader()
    self.facts = common.Facts()
    self.skipped, self.notes = self.facts.skipped, self.facts.notes
    self.start_s: float | None = None

  def __iter__(self) -> Iterator[Frame]:
    """Yields the frames in order of time.

    Raises:
      UnreadableError: The file cannot be opened as a video, or the reader
        cannot convert it as it declares. Damage further on is counted in
        `skipped` and ends the frames early where it must.
    """
    frames = _read_av if self.reader == "av" else opencv_reader.read
    times = _Times()
    count, end_s = 0, 0.0
    for stamp, *views in frames(self._path, self.facts):
      time_s = times.next(stamp, self.facts.rate_fps)
      self.start_s = times.start_s
      if times.num_made_up:
        self.notes[NO_TIME] = times.num_made_up
      yield Frame(count, time_s, *views)
      count += 1
      end_s = (times.start_s or 0.0) + time_s + 1 / self.facts.rate_fps
    self._note_cut(count, end_s)

  def _note_cut(self, count, end_s):
    """Counts what is missing of a file that was cut, unless that was done.

    Readers do where the file announces its frames. Others announce how long
    they last, or how many bytes they have: then it is about so many. A whole
    file whose frames end long before it does is noted: its end may be damaged,
    or its sound be longer.
    """
    if any(reason.startswith(common.CUT) for reason in self.skipped):
      return
    missing = media_end.missing_bytes(self._path)
    seconds = media_end.announced_s(self._path)
    if missing:
      lost = round(seconds * self.facts.rate_fps) - count
      if lost < 1:
        lost = round(count * missing / max(1, os.path.getsize(self._path)))
      self.skipped[common.CUT] += max(1, lost)
    elif seconds > end_s + _SHORT_S:
      self.notes[SHORT] = 1


def declared_s(path: str) -> float:
  """Reads how long a video says it lasts, in seconds; nothing is decoded.

  Args:
    path: Video file.

  Returns:
    Its length, which may be an estimate; 0.0 where it is not told, or the file
    cannot be opened.

  Raises:
    InputError: Neither PyAV nor OpenCV is installed.
  """
  if default_reader() == "cv2":
    return opencv_reader.declared_s(path)
  av = _require_av()
  try:
    with _open_av(av, path) as container:
      return max(0.0, (container.duration or 0) / av.time_base)
  except (av.error.FFmpegError, OSError, ValueError):
    return 0.0


def default_reader() -> str:
  """Returns "av" or "cv2", whichever is installed, PyAV first.

  Raises:
    InputError: Neither is installed, or PyAV is too old.
  """
  for module in ("av", "cv2"):
    if importlib.util.find_spec(module):
      if module == "av":
        _require_av()
      return module
  errors.require("av", "video", "reading video")
  raise AssertionError("unreachable")


def _require_av():
  av = errors.require("av", "video", "reading video")
  found = tuple(int(x) for x in re.findall(r"\d+", av.__version__)[:2])
  if found < _MIN_AV:
    raise errors.InputError(
      f"reading video: PyAV {av.__version__} ignores what streams declare of "
      f"their colours, expected {'.'.join(map(str, _MIN_AV))} or newer: "
      'pip install --upgrade "facerep_jax[video]"'
    )
  return av


class _Times:
  """Makes time stamps start at 0 and ascend, whatever the file says.

  Attributes:
    start_s: Time stamp that counts as 0; None until a frame has one.
    num_made_up: Frames that were placed by the frame rate.
  """

  def __init__(self):
    self.start_s, self.num_made_up, self._last = None, 0, None

  def next(self, stamp_s, rate):
    """Returns the time of the next frame; its stamp may be None."""
    expected = 0.0 if self._last is None else self._last + 1 / rate
    if self.start_s is None and stamp_s is not None:
      self.start_s = stamp_s - expected
    now = expected if stamp_s is None else stamp_s - self.start_s
    if stamp_s is None or (self._last is not None and now <= self._last):
      self.num_made_up += 1
      now = expected
    self._last = now
    return now


def _open_av(av, path):
  # PyAV from 19 replaces what it cannot decode in metadata by itself.
  is_old = int(av.__version__.split(".")[0]) < 19
  return av.open(path, **({"metadata_errors": "replace"} if is_old else {}))


def _read_av(path, facts):
  av = _require_av()
  try:
    container = _open_av(av, path)
  except (av.error.FFmpegError, OSError, ValueError) as error:
    raise common.unreadable(path, _text(error)) from error
  with container:
    if not container.streams.video:
      raise common.unreadable(path, "it holds no video stream")
    stream, note = stream_choice.choose(container.streams.video)
    facts.notes.update([note] if note else [])
    if stream.codec_context is None:
      raise common.unreadable(path, "there is no decoder for its codec")
    common.check_size(path, stream.width, stream.height)
    stream.codec_context.thread_count = 1  # Workers use the cores already.
    facts.rate_fps = float(stream.average_rate or common.DEFAULT_RATE)
    if stream.metadata.get("alpha_mode") == "1":
      facts.notes[NO_ALPHA] = 1
    shape = float(stream.sample_aspect_ratio or 1) or 1.0
    decoded = _decode_av(av, container, stream, facts.skipped)
    for frame in deinterlace.progressive(
      av,
      _checked(path, stream, decoded),
      stream.codec_context.field_order,
      facts.notes,
    ):
      _note_colours(frame, facts.notes)
      size_px = frame.width, frame.height
      yield frame.time, size_px, _thumbnail_av(frame), _image_av(frame, shape)


def _checked(path, stream, frames):
  """Yields frames, and refuses what cannot be converted."""
  for frame in frames:
    if frame.colorspace not in (*_MATRICES, *_NO_MATRIX):
      raise common.unreadable(
        path, f"its colour matrix, {frame.colorspace} of H.273, is not known"
      )
    if frame.interlaced_frame and stream.codec_context.name == "hevc":
      raise common.unreadable(
        path, "HEVC in separate fields; convert it to progressive video"
      )
    if frame.colorspace in _NO_MATRIX:
      frame.colorspace = _NO_MATRIX[0]
    yield frame


def _note_colours(frame, notes):
  has_chroma = len(frame.format.components) > 2 and not frame.format.is_rgb
  if frame.colorspace in _NO_MATRIX and has_chroma:
    notes[NO_MATRIX] = 1
  if tone.is_hdr(frame.color_trc):
    notes[HDR] = 1
  elif tone.is_needed(frame.color_trc, frame.color_primaries):
    notes[WIDE] = 1
  if _has_alpha(frame):
    notes[colour.TRANSPARENT] = 1


def _has_alpha(frame):
  return any(component.is_alpha for component in frame.format.components)


def _text(error):
  return getattr(error, "strerror", None) or str(error)


def _decode_av(av, container, stream, skipped):
  """Yields frames; damaged packets are counted and passed over."""
  packets, num_read = container.demux(stream), 0
  while True:
    try:
      packet = next(packets)
    except StopIteration:
      if num_read < stream.frames:  # As the file's header tells, 0 if not.
        skipped[common.CUT] += stream.frames - num_read
      return
    except av.error.FFmpegError as error:
      skipped[f"{common.CUT}: {_text(error)}"] += 1
      return
    num_read += packet.size > 0  # The last one only empties the decoder.
    try:
      frames = packet.decode()
    except av.error.FFmpegError as error:
      skipped[f"packet does not decode: {_text(error)}"] += 1
      continue
    for frame in frames:
      if frame.is_corrupt:
        skipped["damaged frame"] += 1
      else:
        yield frame


def _thumbnail_av(frame):
  return lambda: _rgb(frame, *THUMBNAIL_PX, interpolation="AREA")


def _rgb(frame, width, height, **options):
  """Returns the frame as sRGB of this size, by what it declares."""
  is_wide = tone.is_needed(frame.color_trc, frame.color_primaries)
  has_alpha = _has_alpha(frame)
  kind = _FORMATS[is_wide, has_alpha]
  pixels = frame.reformat(width, height, kind, **options).to_ndarray()
  if has_alpha:
    pixels = colour.put_on_background(pixels[..., :3], pixels[..., 3])
  if is_wide:
    pixels = tone.to_srgb(pixels, frame.color_trc, frame.color_primaries)
  return pixels


def _image_av(frame, pixel_shape):
  def image():
    width = max(1, round(frame.width * pixel_shape))
    pixels = _rgb(frame, width, frame.height)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
      return pixels
    return turn(pixels, np.frombuffer(bytes(matrix), np.int32))

  return image


def turn(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  """Applies the display matrix of a video: quarter turns and mirroring.

  Args:
    pixels: [H, W, 3] as coded.
    matrix: [9] int32 a, b, u, c, d, v, x, y, w; a point moves to
      (a x + c y, b x + d y).

  Returns:
    The upright image; angles between quarter turns are taken to the nearest.

  Source: the display matrix of MP4 (ISO 14496-12, track header box).
  """
  a, b, _, c, d = matrix[:5].astype(np.int64)
  if abs(b) > abs(a):
    pixels = pixels.swapaxes(0, 1)
    a, d = c, b
  if a < 0:
    pixels = pixels[:, ::-1]
  if d < 0:
    pixels = pixels[::-1]
  return np.ascontiguousarray(pixels)
