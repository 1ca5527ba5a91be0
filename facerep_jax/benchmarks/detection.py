"""Which faces detectors find, how steadily, and how fast."""

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.benchmarks import face_pictures, report
from facerep_jax.data import listing
from facerep_jax.detection import crop, detect
from facerep_jax.video import video_file

_SIDES = (0.5, 2.0)  # Of a right box, over that of the target.
_Z = 1.96  # Of a 95 % interval.


class Count(NamedTuple):
  """What a detector found.

  Attributes:
    found: [N] bool, the face of each picture.
    others: [N] int, boxes that are not on it.
    seconds: For all pictures.
  """

  found: np.ndarray
  others: np.ndarray
  seconds: float


def is_right(box_px: np.ndarray, target_px: np.ndarray) -> bool:
  """Tells whether a box is on a face.

  Args:
    box_px: [4] x0, y0, x1, y1.
    target_px: [4], where the face is.

  Returns:
    Whether the box's middle lies within the target, and its longer side is
    half to twice as long.
  """
  low, high = np.asarray(box_px[:2]), np.asarray(box_px[2:4])
  middle = (low + high) / 2
  side = (high - low).max() / np.subtract(target_px[2:], target_px[:2]).max()
  is_in = (middle > target_px[:2]).all() and (middle < target_px[2:]).all()
  return bool(is_in and _SIDES[0] <= side <= _SIDES[1])


def count(find: detect.Detector, pictures: face_pictures.Pictures) -> Count:
  """Runs a detector on pictures.

  Args:
    find: The detector.
    pictures: What it is run on.

  Returns:
    What it found.
  """
  found, others = [], []
  start = time.perf_counter()
  faces = [find(image) for image in pictures.images]
  seconds = time.perf_counter() - start
  for rows, target in zip(faces, pictures.targets):
    right = [target is not None and is_right(row, target) for row in rows]
    found.append(any(right))
    others.append(len(rows) - any(right))
  return Count(np.array(found), np.array(others), seconds)


def share_interval(hits: int, total: int) -> tuple[float, float]:
  """Returns Wilson's 95 % interval of a share, within [0, 1].

  Args:
    hits: How many.
    total: Of how many; at least 1.
  """
  share, extra = hits / total, _Z**2 / total
  middle = (share + extra / 2) / (1 + extra)
  half = math.sqrt(share * (1 - share) * extra + extra**2 / 4) / (1 + extra)
  return max(0.0, middle - half), min(1.0, middle + half)


def jitter(boxes_px: np.ndarray) -> tuple[float, float]:
  """Measures the noise of boxes from frame to frame.

  By second differences of three frames in a row, which steady motion leaves
  at 0, scaled so that independent noise gives its standard deviation.

  Args:
    boxes_px: [T, 4] x0, y0, x1, y1 of one face; NaN where it is not found.

  Returns:
    Root mean square of the middle's noise along an axis, and of the side's,
    both over the median side; NaN without three frames in a row.
  """
  boxes = np.asarray(boxes_px, np.float64).reshape(-1, 4)
  middle = (boxes[:, :2] + boxes[:, 2:]) / 2
  side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
  values = np.concatenate([middle, side], axis=1)
  change = (values[:-2] - 2 * values[1:-1] + values[2:]) / math.sqrt(6)
  change = change[np.isfinite(change).all(axis=1)] / np.nanmedian(side)
  if not len(change):
    return math.nan, math.nan
  noise = np.sqrt((change**2).mean(axis=0))
  return float(np.hypot(*noise[:2]) / math.sqrt(2)), float(noise[2])


def compare(
  detectors: dict[str, detect.Detector],
  sets: Sequence[face_pictures.Pictures],
) -> report.Section:
  """Counts what detectors find in pictures.

  Args:
    detectors: By name.
    sets: The pictures; empty sets are left out.

  Returns:
    A row for each set and detector: the share of faces found, with its 95 %
    interval, and boxes elsewhere.
  """
  rows = []
  for pictures in sets:
    for name, find in detectors.items():
      if pictures.images:
        rows.append(_row(pictures, name, count(find, pictures)))
  columns = (
    report.Column("set", "pictures"),
    report.Column("num", "number"),
    report.Column("detector", "detector"),
    report.Column("found", "found", ".1%"),
    report.Column("low", "from", ".1%"),
    report.Column("high", "to", ".1%"),
    report.Column("others", "other boxes a picture", ".3f"),
    report.Column("ms", "ms a picture", ".0f"),
  )
  return report.Section("detection", "Faces found", columns, rows)


def _row(pictures, name, counted):
  total = len(counted.found)
  row = {
    "set": pictures.name,
    "num": total,
    "detector": name,
    "found": None,
    "low": None,
    "high": None,
    "others": float(counted.others.mean()),
    "ms": 1000 * counted.seconds / total,
  }
  if pictures.targets[0] is not None:
    hits = int(counted.found.sum())
    low, high = share_interval(hits, total)
    row |= {"found": hits / total, "low": low, "high": high}
  return row


@dataclasses.dataclass
class _Watched:
  """What a detector made of videos."""

  num: int = 0
  found: int = 0
  others: int = 0
  seconds: float = 0.0
  noise: list[tuple[float, float]] = dataclasses.field(default_factory=list)


def watch(detectors: dict[str, detect.Detector], folder: str) -> report.Section:
  """Follows the main face of each video, frame by frame.

  Args:
    detectors: By name.
    folder: Videos of one person each.

  Returns:
    A section with a row a detector.

  Raises:
    InputError: The folder holds no video.
  """
  seen = {name: _Watched() for name in detectors}
  for frames in _videos(folder):
    for name, find in detectors.items():
      start = time.perf_counter()
      faces = [find(image) for image in frames]
      seen[name].seconds += time.perf_counter() - start
      _follow(seen[name], faces, frames)
  rows = [_watched_row(name, value) for name, value in seen.items()]
  columns = (
    report.Column("detector", "detector"),
    report.Column("num", "frames"),
    report.Column("found", "with a face", ".1%"),
    report.Column("others", "other boxes a frame", ".3f"),
    report.Column("middle", "noise of the middle", ".2%"),
    report.Column("side", "noise of the side", ".2%"),
    report.Column("rate", "frames/s", ".1f"),
  )
  notes = ("Noise: root mean square, share of the box's side.",)
  return report.Section("video", "Faces in videos", columns, rows, notes)


def _videos(folder) -> Iterator[list[np.ndarray]]:
  names = sorted(listing.find(folder).videos)
  if not names:
    raise errors.InputError(f"--videos={folder}: holds no video.")
  for name in names:
    video = video_file.Video(os.path.join(folder, name))
    yield [frame.image() for frame in video]


def _follow(seen, faces, frames):
  boxes = np.full((len(faces), 4), np.nan)
  for i, (rows, image) in enumerate(zip(faces, frames)):
    face = crop.main_face(rows, image.shape[1], image.shape[0])
    if face is not None:
      boxes[i] = face[:4]
      seen.others += len(rows) - 1
  seen.num += len(faces)
  seen.found += int(np.isfinite(boxes[:, 0]).sum())
  seen.noise.append(jitter(boxes))


def _watched_row(name, seen):
  # Over all videos alike, those without three frames in a row left out.
  noise = np.sqrt(np.nanmean(np.square(seen.noise), axis=0))
  return {
    "detector": name,
    "num": seen.num,
    "found": seen.found / seen.num,
    "others": seen.others / seen.num,
    "middle": float(noise[0]),
    "side": float(noise[1]),
    "rate": seen.num / seen.seconds,
  }
