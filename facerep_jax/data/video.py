"""Reads video files frame by frame: PyAV, or OpenCV where that is missing."""

import collections
import dataclasses
import importlib.util
from collections.abc import Callable, Iterator

import numpy as np

from facerep_jax import errors
from facerep_jax.data import images

EXTENSIONS = (
  *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
  *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
THUMBNAIL_PX = (48, 32)  # Width and height of what cuts are found on.
_EPSILON_S = 1e-4  # Time stamps are rounded to the time base of the file.
_DEFAULT_RATE = 25.0  # Where the file does not tell its frame rate.


class UnreadableError(errors.InputError):
  """A file that cannot be opened as a video."""


@dataclasses.dataclass
class Frame:
  """One decoded frame.

  Attributes:
    index: Number of the frame in its video, counting decoded frames from 0.
    time_s: Time since the first frame.
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
    skipped: Number of packets or frames that did not decode, by reason; filled
      while iterating.
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
    self.skipped = collections.Counter()

  def __iter__(self) -> Iterator[Frame]:
    """Yields the frames in order of time.

    Raises:
      UnreadableError: The file cannot be opened as a video. Damage further on
        is counted in `skipped` and ends the frames early where it must.
    """
    frames = _read_av if self.reader == "av" else _read_cv2
    times = _Times()
    for index, (time_s, rate, *views) in enumerate(
      frames(self._path, self.skipped)
    ):
      yield Frame(index, times.next(time_s, rate), *views)


def default_reader() -> str:
  """Returns "av" or "cv2", whichever is installed, PyAV first.

  Raises:
    InputError: Neither is installed.
  """
  for module in ("av", "cv2"):
    if importlib.util.find_spec(module):
      return module
  errors.require("av", "video", "reading video")
  raise AssertionError("unreachable")


class _Times:
  """Makes time stamps start at 0 and ascend, whatever the file says."""

  def __init__(self):
    self._first, self._last = None, None

  def next(self, time_s, rate):
    step = 1 / rate
    if self._last is None:
      self._first, self._last = time_s or 0.0, 0.0
      return 0.0
    now = self._last + step if time_s is None else time_s - self._first
    self._last = now if now > self._last else self._last + step
    return self._last


def _unreadable(path, why):
  return UnreadableError(f"{path}: not a video that can be read ({why}).")


def _check_size(path, width, height):
  if width * height > images.MAX_PIXELS:
    raise _unreadable(
      path,
      f"frames of {width} x {height} px, expected at most {images.MAX_PIXELS} "
      "px in all",
    )


def _read_av(path, skipped):
  av = errors.require("av", "video", "reading video")
  try:
    # PyAV from 19 replaces what it cannot decode in metadata by itself.
    is_old = int(av.__version__.split(".")[0]) < 19
    options = {"metadata_errors": "replace"} if is_old else {}
    container = av.open(path, **options)
  except (av.error.FFmpegError, OSError, ValueError) as error:
    raise _unreadable(path, _text(error)) from error
  with container:
    if not container.streams.video:
      raise _unreadable(path, "it holds no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
      raise _unreadable(path, "there is no decoder for its codec")
    _check_size(path, stream.width, stream.height)
    stream.codec_context.thread_count = 1  # Workers use the cores already.
    rate = float(stream.average_rate or _DEFAULT_RATE)
    shape = float(stream.sample_aspect_ratio or 1) or 1.0
    for frame in _decode_av(av, container, stream, skipped):
      size_px = frame.width, frame.height
      views = _thumbnail_av(frame), _image_av(frame, shape)
      yield frame.time, rate, size_px, *views


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
        skipped["file ends early"] += stream.frames - num_read
      return
    except av.error.FFmpegError as error:
      skipped[f"file ends early: {_text(error)}"] += 1
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
  width, height = THUMBNAIL_PX
  return lambda: frame.reformat(
    width, height, "rgb24", interpolation="AREA"
  ).to_ndarray()


def _image_av(frame, pixel_shape):
  def image():
    width = max(1, round(frame.width * pixel_shape))
    pixels = frame.reformat(width, frame.height, "rgb24").to_ndarray()
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


def _read_cv2(path, skipped):
  cv2 = errors.require("cv2", "video", "reading video")
  capture = cv2.VideoCapture(path)  # Turns frames upright by itself.
  try:
    if not capture.isOpened():
      raise _unreadable(path, "OpenCV cannot open it")
    _check_size(
      path,
      int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
      int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )
    rate = capture.get(cv2.CAP_PROP_FPS) or _DEFAULT_RATE
    shape = _pixel_shape_cv2(cv2, capture)
    expected, count = capture.get(cv2.CAP_PROP_FRAME_COUNT), 0
    while True:
      is_read, pixels = capture.read()
      if not is_read:
        break
      count += 1
      time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
      size_px = pixels.shape[1], pixels.shape[0]
      yield time_s, rate, size_px, *_views_cv2(cv2, pixels, shape)
    if count < expected:
      skipped["file ends early"] += int(expected - count)
  finally:
    capture.release()


def _pixel_shape_cv2(cv2, capture):
  """Returns width over height of a pixel; it counts before turning."""
  wide = capture.get(cv2.CAP_PROP_SAR_NUM)
  high = capture.get(cv2.CAP_PROP_SAR_DEN)
  shape = wide / high if wide > 0 and high > 0 else 1.0
  turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
  return (1.0, shape) if turned else (shape, 1.0)


def _views_cv2(cv2, pixels, shape):
  def thumbnail():
    return cv2.resize(pixels, THUMBNAIL_PX, interpolation=cv2.INTER_AREA)

  def image():
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if shape == (1.0, 1.0):
      return rgb
    size = [max(1, round(n * s)) for n, s in zip(rgb.shape[1::-1], shape)]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)

  return thumbnail, image
