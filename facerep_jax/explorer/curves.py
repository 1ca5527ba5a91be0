"""The faces of a video over time: turns of the head, light and features."""

import collections
import math
import pathlib
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.data import unit_report, video_faces
from facerep_jax.detection import crop, detect
from facerep_jax.explorer import background, pixels
from facerep_jax.explorer import engine as engines
from facerep_jax.faces import editing
from facerep_jax.inference import face_table
from facerep_jax.video import video_file

MOST_BYTES = 512 * 2**20
MOST_FRAMES = 3000  # Of a video; their small pictures are in memory.
_MOST_FPS, _LEAST_FPS = 10.0, 2.0
_MOST_PEOPLE = 8
_FRAME_PX = 400
_NUMBERS = ("light", "view")  # Features that have names of their own here.


class Video:
  """A video; its curves are computed in a thread.

  Attributes:
    name: What the page calls it.
    job: The work.
  """

  def __init__(
    self,
    engine: engines.Engine,
    path: pathlib.Path,
    name: str,
    detector: str | None = None,
  ):
    """Starts.

    Args:
      engine: What makes the features.
      path: The file; needed until `job` has ended.
      name: What the page calls it.
      detector: As `detect.make_detector` takes it.
    """
    self.name = name
    self._engine, self._path, self._detector = engine, path, detector
    self._frames: dict[int, bytes] = {}
    self._people: list[dict[str, Any]] = []
    self._notes: list[str] = []
    self.job = background.Job(self._work)

  def state(self) -> dict[str, Any]:
    """Says how far the work is and, in the end, what the curves are.

    Returns:
      For JSON: `job`'s progress, `name`, `notes`, and `people`: of each
      `seconds`, `frames` (numbers for `frame`), `boxes` (x0, y0, x1, y1 as
      shares of the frame) and `curves`, by name.
    """
    is_ready = self.job.state == "ready"
    return self.job.progress() | {
      "name": self.name,
      "notes": self._notes if is_ready else [],
      "people": self._people if is_ready else [],
    }

  def frame(self, number: int) -> bytes:
    """Returns a frame as JPEG.

    Args:
      number: Of the frame in the video.

    Raises:
      InputError: There is no such frame.
    """
    try:
      return self._frames[number]
    except KeyError as error:
      raise errors.InputError(f"{number}: there is no such frame.") from error

  def _work(self, job):
    find = detect.make_detector(self._detector)
    declared_s = video_file.declared_s(str(self._path))
    fps = float(
      np.clip(MOST_FRAMES / max(declared_s, 1e-3), _LEAST_FPS, _MOST_FPS)
    )
    stop_s = MOST_FRAMES / fps
    choice = video_faces.Choice(fps=fps, stop_s=stop_s)
    # The video is read twice.
    job.total = max(1, math.ceil(2 * min(declared_s, stop_s)))
    report = unit_report.Report("videos", "", "", self.name, str(self._path))
    try:
      (looked,) = video_faces.look(
        str(self._path),
        find,
        choice,
        report,
        on_time=lambda s: job.advance(min(int(s), job.total // 2)),
      )
    except video_file.UnreadableError as error:
      # It names the file, which may be a temporary one.
      text = str(error).replace(str(self._path), self.name)
      raise errors.InputError(text) from error
    if not any(len(x) for x in looked.faces):
      why = "no face found" if report.num_decoded else "no frame decodes"
      raise errors.InputError(f"{self.name}: {why}.")
    self._note(report, declared_s, stop_s)
    self._measure(job, video_faces.follow(looked))

  def _note(self, report, declared_s, stop_s):
    self._notes += [
      f"{entry['count']} x {reason}" for reason, entry in report.skipped.items()
    ]
    self._notes += list(report.notes)
    if declared_s > stop_s + 1:
      self._notes.append(f"only the first {stop_s:.0f} s were looked at")

  def _measure(self, job, followed):
    """Cuts the faces out, and makes the curves of each person."""
    people = collections.defaultdict(_Person)
    frames, waiting = iter(video_file.Video(str(self._path))), []

    def flush():
      found = self._engine.embed([image for _, image in waiting])
      for row, (person, _) in enumerate(waiting):
        people[person].add({x: found[x][row] for x in self._engine.features})
      waiting.clear()

    for seen in video_faces.read_again(frames, followed.tracks):
      index, pixels_ = seen.frame.index, seen.pixels
      box_px = followed.tracks[seen.track].box_px[seen.position]
      if index not in self._frames:
        self._frames[index] = pixels.jpeg(pixels_, _FRAME_PX)
      height, width = pixels_.shape[:2]
      person = followed.people[seen.track]
      people[person].place(
        seen.frame.time_s, index, box_px / (width, height, width, height)
      )
      face = crop.crop_box(pixels_, box_px, engines.PICTURE_PX)
      waiting.append((person, face))
      if len(waiting) == engines.BATCH_SIZE:
        flush()
        half = job.total // 2
        job.advance(min(half + int(seen.frame.time_s), job.total))
    if waiting:
      flush()
    most = sorted(people.values(), key=lambda x: -len(x.seconds))
    self._people = [x.state(self._engine) for x in most[:_MOST_PEOPLE]]
    if len(most) > _MOST_PEOPLE:
      self._notes.append(
        f"{len(most)} people: the {_MOST_PEOPLE} seen longest are shown"
      )
    job.done = job.total


class _Person:
  """What is seen of one person."""

  def __init__(self):
    self.seconds, self._frames, self._boxes = [], [], []
    self._features = []

  def place(self, seconds, frame, box):
    """Adds a frame; `add` has to follow, in the same order."""
    self.seconds.append(seconds)
    self._frames.append(frame)
    self._boxes.append(box)

  def add(self, features):
    """Adds the features of the next frame."""
    self._features.append(features)

  def state(self, engine):
    """Returns what the page shows, for JSON."""
    found = {
      name: np.stack([x[name] for x in self._features])
      for name in engine.features
    }
    return {
      "seconds": [round(x, 4) for x in self.seconds],
      "frames": self._frames,
      "boxes": np.round(self._boxes, 4).tolist(),
      "curves": {
        name: [round(float(x), 4) for x in values]
        for name, values in curves_of(found, engine).items()
      },
    }


def curves_of(
  found: dict[str, np.ndarray], engine: engines.Engine
) -> dict[str, np.ndarray]:
  """Makes one number a frame of each feature that tells something over time.

  Args:
    found: Features of the frames of one person by name, [N, D] float32.
    engine: Of the model.

  Returns:
    By caption, [N] float: turns of the head and angles of the light, degrees;
    of each other feature but the identity its norm, and of every one its
    cosine distance from the mean of the person.
  """
  curves = {}
  angles = engine.angles_deg(found["view"]) if "view" in found else None
  if angles is not None:
    names = ("yaw, degrees", "pitch, degrees", "roll, degrees")
    curves |= dict(zip(names, angles.T))
  for name, rows in found.items():
    if name in _NUMBERS:
      continue
    if name != face_table.IDENTITY:
      curves[f"{name}, norm"] = np.linalg.norm(rows, axis=1)
    curves[f"{name}, distance from its mean"] = _from_mean(rows)
  if "light" in found and angles is not None:
    light = editing.light_settings(found["light"])
    curves["light from the right, degrees"] = light["right_deg"]
    curves["light from above, degrees"] = light["above_deg"]
  return curves


def _from_mean(rows):
  mean = rows.mean(axis=0)
  lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(mean)
  cosine = rows @ mean / np.where(lengths > 0, lengths, 1)
  return np.where(lengths > 0, np.maximum(0, 1 - cosine), 0)
