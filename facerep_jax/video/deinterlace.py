"""Makes progressive frames of interlaced ones, with FFmpeg's bwdif filter."""

import types
from collections.abc import Iterable, Iterator
from typing import Any

NOTE = "interlaced: deinterlaced"
# AVFieldOrder: which field is shown first, top or bottom.
_TOP_FIRST, _BOTTOM_FIRST = (2, 5), (3, 4)


def progressive(
  av: types.ModuleType,
  frames: Iterable[Any],
  field_order: int,
  notes: dict[str, int],
) -> Iterator[Any]:
  """Yields frames, deinterlaced where they are declared to be interlaced.

  Two sources tell: each frame's own mark, and, where no frame has one, the
  field order that the file declares (MJPEG and ProRes in MOV, for example).

  Args:
    av: The module PyAV.
    frames: Decoded `av.VideoFrame`, in order of time.
    field_order: AVFieldOrder of the stream; 0 and 1 are not interlaced.
    notes: Gets `NOTE` if frames are deinterlaced.

  Yields:
    As many frames, with the same time stamps.
  """
  filters, shape, order = None, None, field_order
  for frame in frames:
    if frame.interlaced_frame:
      order = 0  # Frames tell by themselves from here on.
    is_interlaced = frame.interlaced_frame or order in (
      *_TOP_FIRST,
      *_BOTTOM_FIRST,
    )
    now = frame.width, frame.height, frame.format.name, order
    if filters and now != shape:
      yield from filters.end()
      filters = None
    if filters is None and is_interlaced:
      filters, shape = _Filters(av, frame, order), now
      notes[NOTE] = 1
    if filters is None:
      yield frame
    else:
      yield from filters.push(frame)
  if filters:
    yield from filters.end()


class _Filters:
  """A filter graph for frames of one size and format."""

  def __init__(self, av, frame, order):
    self._av, self._colours = av, _colours(frame)
    self._graph = av.filter.Graph()
    source = self._graph.add_buffer(
      width=frame.width,
      height=frame.height,
      format=frame.format.name,
      time_base=frame.time_base,
    )
    # Without a declared order of the file, only marked frames are touched.
    which, parity = "interlaced", "auto"
    if order:
      which, parity = "all", "tff" if order in _TOP_FIRST else "bff"
    bwdif = self._graph.add(
      "bwdif", f"mode=send_frame:parity={parity}:deint={which}"
    )
    shape = self._graph.add("format", f"pix_fmts={frame.format.name}")
    sink = self._graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(shape)
    shape.link_to(sink)
    self._graph.configure()

  def push(self, frame):
    self._graph.vpush(frame)
    yield from self._pull()

  def end(self):
    self._graph.vpush(None)
    yield from self._pull()

  def _pull(self):
    while True:
      try:
        frame = self._graph.vpull()
      except (self._av.error.BlockingIOError, self._av.error.EOFError):
        return
      # The graph does not carry what the stream declares of its colours.
      for name, value in self._colours.items():
        setattr(frame, name, value)
      yield frame


def _colours(frame):
  names = ("colorspace", "color_range", "color_trc", "color_primaries")
  return {name: getattr(frame, name) for name in names}
