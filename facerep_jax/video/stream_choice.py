"""Chooses one of the video streams of a file."""

from typing import Any

DEFAULT = "several video streams: the default one was taken"
FIRST = "several video streams and no default: the first one was taken"


def choose(streams: list[Any]) -> tuple[Any, str]:
  """Chooses the stream that the file declares as its default.

  Args:
    streams: Video streams of a container of PyAV, at least one.

  Returns:
    The first default stream, else the first; and `DEFAULT`, `FIRST`, or "" for
    a single stream. Cover pictures do not count beside video.
  """
  films = [x for x in streams if not _is(x, "attached_pic")] or list(streams)
  defaults = [x for x in films if _is(x, "default")]
  if len(films) == 1:
    return films[0], ""
  return (defaults[0], DEFAULT) if defaults else (films[0], FIRST)


def _is(stream, name):
  flags = stream.disposition
  return bool(flags & type(flags)[name])
