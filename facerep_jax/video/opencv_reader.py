"""Reads video with OpenCV, where PyAV is missing; refuses what it hides.

OpenCV converts colours by the matrix and range that a stream declares, as far
as its FFmpeg does. It does not tell the transfer characteristic (HDR) nor
interlacing, so whatever may be of that kind is refused or noted.
"""

import os
import re
from collections.abc import Callable, Iterator

import numpy as np

from facerep_jax import errors
from facerep_jax.video import common

NOTE = (
  "read with OpenCV, which does not tell HDR, interlacing, mirroring and "
  "transparency (PyAV does)"
)
REPEATED = "frames that OpenCV gave as the one before: a still, or interlaced"
_ADVICE = 'pip install "facerep_jax[video]" for PyAV, which reads it'
_MIN_SWSCALE = 9  # FFmpeg 8: the first to honour matrix and range in OpenCV.
# Pixel formats of 8 bits without alpha, as OpenCV names them: video of more
# bits may be HDR.
_EIGHT_BITS = (
  *(b"I420", b"Y42B", b"444P", b"440P", b"Y41B", b"YUV9", b"Y800", b"NV12"),
  *(b"NV21", b"YUY2", b"UYVY", b"RGB\x18", b"BGR\x18", b"BGR\0", b"G3\0\x08"),
)


def read(path: str, facts: common.Facts) -> Iterator[tuple]:
  """Yields the frames of a video.

  Args:
    path: Video file.
    facts: Filled in on the way.

  Yields:
    Time in seconds, size in pixels, and what makes thumbnail and image, as in
    `video.Frame`.

  Raises:
    InputError: OpenCV is missing, or too old to honour declared colours.
    UnreadableError: The file cannot be opened, may be HDR, or gave the same
      picture again and again, as interlaced video does.
  """
  cv2 = errors.require("cv2", "video", "reading video")
  check_version(cv2.getBuildInformation())
  # As bytes, since OpenCV crashes on a text that is no UTF-8. It turns frames
  # upright by itself.
  capture = cv2.VideoCapture(os.fsencode(path))
  try:
    if not capture.isOpened():
      raise common.unreadable(path, "OpenCV cannot open it")
    common.check_size(
      path,
      int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
      int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )
    facts.rate_fps = capture.get(cv2.CAP_PROP_FPS) or common.DEFAULT_RATE
    facts.notes[NOTE] = 1
    yield from _frames(cv2, capture, path, facts)
  finally:
    capture.release()


def declared_s(path: str) -> float:
  """Reads how long a video says it lasts, as `video_file.declared_s`."""
  cv2 = errors.require("cv2", "video", "reading video")
  capture = cv2.VideoCapture(os.fsencode(path))
  count, rate = (
    capture.get(x) for x in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS)
  )
  capture.release()
  return count / rate if count > 0 and rate > 0 else 0.0


def check_version(build_information: str) -> None:
  """Raises `InputError` if OpenCV's FFmpeg ignores what streams declare."""
  found = re.search(r"swscale:\s+YES \((\d+)\.", build_information)
  if found and int(found[1]) < _MIN_SWSCALE:
    raise errors.InputError(
      "reading video: this OpenCV takes all colours for BT.601 (its FFmpeg is "
      'older than 8): pip install "facerep_jax[video]" for PyAV, or '
      '"opencv-python-headless>=4.13,<5".'
    )


def _frames(cv2, capture, path, facts):
  shape = _pixel_shape(cv2, capture)
  expected, count, num_repeated = capture.get(cv2.CAP_PROP_FRAME_COUNT), 0, 0
  before = None
  # Before the first frame: OpenCV takes seconds to convert HDR, and fails.
  _check_format(path, int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)))
  while True:
    is_read, pixels = capture.read()
    if not is_read:
      break
    count += 1
    if before is not None and np.array_equal(before, pixels):
      num_repeated += 1
    before = pixels
    time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    size_px = pixels.shape[1], pixels.shape[0]
    yield time_s, size_px, *_views(cv2, pixels, shape)
  if count < expected:
    facts.skipped[common.CUT] += int(expected - count)
  if count > 1 and num_repeated == count - 1:
    # OpenCV cannot convert interlaced frames and says nothing about it.
    raise common.unreadable(
      path,
      f"OpenCV gave the same picture {count} times: a still, or interlaced "
      f"video; {_ADVICE}",
    )
  if num_repeated:
    facts.notes[REPEATED] = num_repeated


def _check_format(path, code):
  name = (code & 0xFFFFFFFF).to_bytes(4, "little")
  if name not in _EIGHT_BITS:
    raise common.unreadable(
      path,
      "more than 8 bits a channel, or transparent: OpenCV does not tell HDR; "
      f"{_ADVICE}",
    )


def _pixel_shape(cv2, capture):
  """Returns width over height of a pixel; it counts before turning."""
  wide = capture.get(cv2.CAP_PROP_SAR_NUM)
  high = capture.get(cv2.CAP_PROP_SAR_DEN)
  shape = wide / high if wide > 0 and high > 0 else 1.0
  turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
  return (1.0, shape) if turned else (shape, 1.0)


def _views(cv2, pixels, shape) -> tuple[Callable, Callable]:
  def thumbnail():
    return cv2.resize(pixels, common.THUMBNAIL_PX, interpolation=cv2.INTER_AREA)

  def image():
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if shape == (1.0, 1.0):
      return rgb
    size = [max(1, round(n * s)) for n, s in zip(rgb.shape[1::-1], shape)]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)

  return thumbnail, image
