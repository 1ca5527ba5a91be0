"""Small videos that declare what their pixels mean, made with PyAV."""

import pathlib
import struct
from fractions import Fraction

import av
import numpy as np

SIZE = (96, 160)  # Height and width.
COLOURS = (
  *((200, 60, 60), (60, 180, 60), (60, 60, 200), (220, 220, 220)),
  *((30, 30, 30), (200, 180, 140), (120, 80, 60), (128, 128, 128)),
)
# By name: number in ITU-T H.273, luma weights of red and blue.
MATRICES = {
  "bt709": (1, 0.2126, 0.0722),
  "bt601": (6, 0.299, 0.114),
  "bt2020": (9, 0.2627, 0.0593),
  "none": (2, 0.299, 0.114),
}
RANGES = {"none": 0, "limited": 1, "full": 2}


def card(colours=COLOURS):
  """Two rows of four patches: float [H, W, 3], 0 to 255."""
  rows = np.array(colours, np.float64).reshape(2, 4, 3)
  return rows.repeat(SIZE[0] // 2, 0).repeat(SIZE[1] // 4, 1)


def patches(image):
  """Returns the colours in the middle of the patches, [8, 3] int."""
  height, width = image.shape[:2]
  return np.array(
    [
      image[height * (2 * i + 1) // 4, width * (2 * j + 1) // 8]
      for i in range(2)
      for j in range(4)
    ]
  ).astype(int)


def moving(i):
  """A light bar on grey that moves 4 px a step."""
  image = np.full((*SIZE, 3), 40.0)
  image[20:70, 10 + 4 * i : 50 + 4 * i] = 200
  return image


def weave(i):
  """Two moments in one frame: its even rows and its odd rows."""
  image = moving(2 * i)
  image[1::2] = moving(2 * i + 1)[1::2]
  return image


def planes(rgb, matrix, colour_range, bits=8):
  """Converts RGB, 0 to 255, to Y, Cb, Cr planes by definition (H.273)."""
  _, red, blue = MATRICES[matrix]
  rgb = rgb / 255
  y = rgb @ (red, 1 - red - blue, blue)
  cb = (rgb[..., 2] - y) / (2 * (1 - blue))
  cr = (rgb[..., 0] - y) / (2 * (1 - red))
  scale = 2 ** (bits - 8)
  if colour_range == "full":
    top = 2**bits - 1
    out = y * top, cb * top + 128 * scale, cr * top + 128 * scale
  else:
    out = (16 + 219 * y), (128 + 224 * cb), (128 + 224 * cr)
    out = [x * scale for x in out]
  return [np.rint(x) for x in out]


def write(
  path,
  images,
  *,
  codec="ffv1",
  pix_fmt="yuv420p",
  matrix="none",
  colour_range="none",
  transfer=2,
  primaries=2,
  rate=10,
  times=None,
  options=None,
):
  """Encodes pictures, float [H, W, 3], and returns the path.

  `pix_fmt` is planar 4:2:0, of 8 or 10 bits. Times are in seconds.
  """
  bits = 10 if "10" in pix_fmt else 8
  with av.open(str(path), "w") as container:
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.height, stream.width = images[0].shape[:2]
    stream.pix_fmt = pix_fmt
    context = stream.codec_context
    context.colorspace = MATRICES[matrix][0]
    context.color_range = RANGES[colour_range]
    context.color_trc, context.color_primaries = transfer, primaries
    if times is not None:
      context.time_base = Fraction(1, 1000)
    for i, image in enumerate(images):
      frame = _frame(planes(image, matrix, colour_range, bits), pix_fmt, bits)
      frame.colorspace = context.colorspace
      frame.color_range = context.color_range
      frame.color_trc, frame.color_primaries = transfer, primaries
      base = Fraction(1, rate) if times is None else Fraction(1, 1000)
      frame.time_base = base
      frame.pts = i if times is None else round(times[i] * 1000)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return str(path)


def _frame(yuv, pix_fmt, bits):
  height, width = yuv[0].shape
  frame = av.VideoFrame(width, height, pix_fmt)
  for plane, values in zip(
    frame.planes, (yuv[0], *(x[::2, ::2] for x in yuv[1:]))
  ):
    values = values.astype("<u2" if bits > 8 else "u1")
    rows = np.zeros((plane.height, plane.line_size), np.uint8)
    data = np.ascontiguousarray(values).view(np.uint8)
    rows[:, : data.shape[1]] = data
    plane.update(rows.tobytes())
  return frame


def set_matrix(path, matrix):
  """Writes a display matrix into the track header of an MP4 file."""
  data = pathlib.Path(path).read_bytes()
  start = data.index(b"tkhd") + 4 + 40
  a, b, c, d = (x << 16 for x in matrix)
  stored = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
  pathlib.Path(path).write_bytes(data[:start] + stored + data[start + 36 :])
