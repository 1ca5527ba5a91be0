"""A contact sheet of a dataset: frames of its tracks, with the boxes drawn."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from facerep_jax import errors
from facerep_jax.data import build
from facerep_jax.files import atomic, images
from facerep_jax.tracks import schema, tfrecord
from facerep_jax.video import video_file

_DETECTED = (0, 220, 0)
_INTERPOLATED = (255, 140, 0)


def draw(
  directory: str,
  path: str,
  *,
  rows: int = 16,
  columns: int = 8,
  high: int = 128,
) -> int:
  """Draws a track a row: frames of its video with the box, or stored frames.

  Green boxes are detected, orange ones interpolated. After the frames of a
  video comes the stored crop of the last of them.

  Args:
    directory: A finished dataset.
    path: PNG file to write.
    rows: Most tracks shown, spread over the dataset.
    columns: Most frames of a track.
    high: Height of a row in pixels.

  Returns:
    Number of tracks shown.

  Raises:
    InputError: The folder is no finished dataset, or `path` cannot be written.
  """
  manifest = _manifest(directory)
  videos = _video_files(manifest)
  total = sum(split["tracks"] for split in manifest["splits"].values())
  chosen = set(_spread(total, rows).tolist())
  strips = [
    _strip(track, videos, columns, high)
    for i, track in enumerate(_tracks(directory, manifest))
    if i in chosen
  ]
  width = max(strip.shape[1] for strip in strips)
  sheet = [
    np.pad(strip, ((0, 4), (0, width - strip.shape[1]), (0, 0)))
    for strip in strips
  ]
  try:
    with atomic.whole(path) as temporary:
      Image.fromarray(np.concatenate(sheet)).save(temporary, "PNG")
  except OSError as error:
    raise errors.InputError(
      f"{path}: cannot be written ({error.strerror})."
    ) from error
  return len(chosen)


def _manifest(directory):
  try:
    return atomic.read_json(os.path.join(directory, build.MANIFEST))
  except FileNotFoundError as error:
    raise errors.InputError(
      f"{directory}: no finished dataset (no {build.MANIFEST})."
    ) from error


def _spread(total, most):
  """Returns at most `most` of range(total), evenly spread."""
  return np.unique(
    np.linspace(0, total - 1, min(total, most)).round().astype(int)
  )


def _video_files(manifest: dict[str, Any]) -> dict[tuple[str, str], str]:
  return {
    (report["person"], report["name"]): report["path"]
    for report in manifest["videos"]
    if report["kind"] == "videos"
  }


def _tracks(directory, manifest) -> Iterator[schema.Track]:
  """Yields the first chunk of each track."""
  for split in manifest["splits"].values():
    for name in split["shards"]:
      for record in tfrecord.read_records(os.path.join(directory, name)):
        track = schema.parse(record)
        if track.chunk == 0:
          yield track


def _strip(track, videos, columns, high):
  """Returns uint8 [high, W, 3], frames of a track side by side."""
  positions = _spread(len(track.frames), columns)
  file = videos.get((track.person, track.video))
  if file is None or "box_px" not in track.labels:
    stored = [images.decode(track.frames[i], "").pixels for i in positions]
    return np.concatenate([_fit(pixels, high) for pixels in stored], 1)
  wanted = {int(track.frame_index[i]): i for i in positions}
  views = []
  for frame in video_file.Video(file):
    if frame.index in wanted:
      views.append(_boxed(frame.image(), track, wanted[frame.index], high))
  last = images.decode(track.frames[positions[-1]], "").pixels
  return np.concatenate([*views, _fit(last, high)], 1)


def _boxed(pixels, track, position, high):
  scale = high / pixels.shape[0]
  view = Image.fromarray(_fit(pixels, high))
  is_detected = track.labels["detected"][position]
  ImageDraw.Draw(view).rectangle(
    [float(x) * scale for x in track.labels["box_px"][position]],
    outline=_DETECTED if is_detected else _INTERPOLATED,
    width=2,
  )
  return np.asarray(view)


def _fit(pixels, high):
  wide = max(1, round(pixels.shape[1] * high / pixels.shape[0]))
  return np.asarray(Image.fromarray(pixels).resize((wide, high)))
