"""Cuts tracks into the chunks that records hold."""

import dataclasses
import itertools
import math
from collections.abc import Iterator

from facerep_jax.tracks import schema


def chunk_bounds(count: int, chunk: int) -> list[tuple[int, int]]:
  """Cuts a track into records of nearly the same length.

  Args:
    count: Frames of the track.
    chunk: Most frames a record.

  Returns:
    Start and end of each record; lengths differ by one at most, so that no
    record is left with a single frame to compare to nothing.
  """
  parts = math.ceil(count / chunk)
  edges = [count * i // parts for i in range(parts + 1)]
  return list(itertools.pairwise(edges))


def split_track(track: schema.Track, chunk: int) -> Iterator[schema.Track]:
  """Yields the chunks of a whole track; see `chunk_bounds`."""
  bounds = chunk_bounds(len(track.frames), chunk)
  for number, (start, stop) in enumerate(bounds):
    yield dataclasses.replace(
      track,
      chunk=number,
      frames=track.frames[start:stop],
      frame_index=track.frame_index[start:stop],
      labels={k: v[start:stop] for k, v in track.labels.items()},
      maps={k: v[start:stop] for k, v in track.maps.items()},
    )
