"""Speed of `embed` on videos, beside other programs that read faces.

python -m facerep_jax.benchmarks.face_rates WORK DETECTOR MODEL FOLDER

times one of `OURS` in a process of its own, as `measure` does.
"""

import itertools
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from facerep_jax import errors
from facerep_jax.benchmarks import report, timing
from facerep_jax.benchmarks.reference import face_tools
from facerep_jax.data import listing, unit_report, video_faces
from facerep_jax.detection import detect
from facerep_jax.inference import api, face_rows, face_table
from facerep_jax.video import video_file

_WARM_UP = video_faces.Choice(stop_s=0.1)
_WRITTEN = re.compile(r": (\d+) rows, ")  # What `embed` says on stdout.
_OF_OTHERS = {
  "face_recognition": "boxes (HOG), 5 landmarks, 128 numbers of identity",
  "mediapipe": "478 landmarks, boxes at times, no features",
  "deepface": "boxes (cascade), 128 numbers of identity (Facenet; "
  "weights at random)",
  "py-feat": "networks alone: boxes, 478 landmarks, action units, expression, "
  "512 numbers of identity (weights at random)",
}


class _Work(NamedTuple):
  """One piece of work on a folder of videos.

  Attributes:
    name: What the table calls it.
    computes: What it gives.
    command: Of its process.
    is_command: Whether the process is the `embed` of users; else it prints what
      `face_tools.run` returns.
  """

  name: str
  computes: str
  command: list[str]
  is_command: bool = False


def _of_reading(folder, detector, model):
  """Decodes the frames, as RGB."""

  def read(choice=None):
    stop_s = (choice or video_faces.Choice()).stop_s
    count = 0
    for path in _videos(folder):
      for frame in video_file.Video(path):
        if frame.time_s >= stop_s:
          break
        frame.image()
        count += 1
    return count, 0

  return read


def _of_finding(folder, detector, model):
  """Decodes the frames, and finds their faces."""
  find = detect.make_detector(detector)

  def read(choice=None):
    frames = faces = 0
    for path in _videos(folder):
      about = unit_report.Report("videos", folder, "", path, path)
      for seen in video_faces.look(
        path, find, choice or video_faces.Choice(), about
      ):
        frames += len(seen.faces)
        faces += sum(map(len, seen.faces))
    return frames, faces

  return read


def _of_embedding(folder, detector, model, *, with_probes=False):
  """Does what `embed` does."""
  loaded = api.load(model)
  options = face_table.Options(probes=loaded.probes if with_probes else None)

  def read(choice=None):
    source = _Counted(face_rows.of_videos(folder, choice, detector))
    with tempfile.TemporaryDirectory() as place:
      output = os.path.join(place, "faces.parquet")
      face_table.embed(loaded, source, output, options)
    return None, source.faces  # Frames: as `_of_reading` counts them.

  return read


def _of_probes(folder, detector, model):
  return _of_embedding(folder, detector, model, with_probes=True)


# By name of the work: what the table says, and what makes it.
OURS = {
  "reading": ("frames as RGB", _of_reading),
  "finding": ("the same, and boxes", _of_finding),
  "embed": ("boxes, tracks, people, features, turn of the head", _of_embedding),
  "embed, probes": (
    "the same, 68 landmarks, expression, action units",
    _of_probes,
  ),
}


class _Counted:
  """A source of faces that counts them."""

  def __init__(self, source):
    self._source, self.faces = source, 0

  def __getattr__(self, name):
    return getattr(self._source, name)

  def read(self, size):
    for batch in self._source.read(size):
      self.faces += len(batch.faces)
      yield batch


def _videos(folder):
  return [os.path.join(folder, x) for x in sorted(listing.find(folder).videos)]


def measure(
  folder: str,
  *,
  detector: str,
  model: str,
  pythons: dict[str, str],
  num_turns: int = 3,
  most: int = 10**6,
) -> report.Section:
  """Times `embed` and others on the same videos, in turns.

  Each runs in a process of its own, and reads every frame, or the first ones.

  Args:
    folder: The videos.
    detector: Ours, as `detect.make_detector` takes it.
    model: Ours, as `api.load` takes it.
    pythons: By name of another tool, one of `face_tools.TOOLS`, the Python of
      an environment that has it.
    num_turns: How often each runs, 1 or more.
    most: Frames that another tool reads, at most.

  Returns:
    A row for each.

  Raises:
    InputError: The folder holds no video, a tool is unknown, or one fails.
  """
  videos = _videos(folder)
  if not videos:
    raise errors.InputError(f"--videos={folder}: holds no video.")
  works = _ours(folder, detector, model)
  works += _others(pythons, videos, most)
  runs = {work.name: [] for work in works}
  for _ in range(num_turns):
    for work in works:
      runs[work.name].append(_run(work))
  for run in itertools.chain(*runs.values()):
    # Not known of what reads faces: it reads what there is to read.
    run.setdefault("frames", None)
    run["frames"] = run["frames"] or runs["reading"][0]["frames"]
  rows = [_row(work, runs) for work in works]
  title = f"Faces of videos by {detector}, beside other tools"
  return report.Section(f"face_tools_{detector}", title, _COLUMNS, rows, _NOTES)


def _ours(folder, detector, model):
  ours = [sys.executable, "-m", __name__]
  command = [sys.executable, "-m", "facerep_jax.embed", f"--model={model}"]
  command += [f"--videos={folder}", f"--detector={detector}", "--output"]
  works = [
    _Work(name, computes, [*ours, name, detector, model, folder])
    for name, (computes, _) in OURS.items()
  ]
  return [*works, _Work("embed, the command", OURS["embed"][0], command, True)]


def _others(pythons, videos, most):
  works = []
  for name, python in pythons.items():
    if name not in face_tools.TOOLS:
      raise errors.InputError(
        f"--python={name}=..: expected one of {', '.join(face_tools.TOOLS)}."
      )
    command = [python, face_tools.__file__, name, str(most), *videos]
    works.append(_Work(name, _OF_OTHERS[name], command))
  return works


def _run(work) -> dict[str, Any]:
  """Runs a piece of work; returns what it measured, and its whole time."""
  with tempfile.TemporaryDirectory() as place:
    command = list(work.command)
    if work.is_command:
      command.append(os.path.join(place, "faces.parquet"))
    before, start = _children_s(), time.perf_counter()
    try:
      done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
      raise errors.InputError(f"{work.name}: {command[0]}: {error}") from error
    whole = {
      "whole_s": time.perf_counter() - start,
      "whole_cpu_s": _children_s() - before,
    }
  if done.returncode:
    last = (done.stderr.strip() or "no message").splitlines()[-1]
    raise errors.InputError(f"{work.name}: it failed: {last}")
  return parse(done.stdout, is_command=work.is_command) | whole


def _children_s():
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def parse(text: str, *, is_command: bool) -> dict[str, Any]:
  """Reads what a process printed.

  Args:
    text: Its stdout.
    is_command: Whether it is `embed`; else its last line is JSON.

  Returns:
    As `face_tools.run`; of `embed` only `version` and `faces`.

  Raises:
    InputError: It is neither.
  """
  found = _WRITTEN.search(text) if is_command else None
  if found:
    return {"version": None, "faces": int(found[1])}
  try:
    return json.loads(text.strip().splitlines()[-1])
  except (IndexError, ValueError) as error:
    raise errors.InputError(
      f"expected a line of results, got {text[-80:]!r}."
    ) from error


def _row(work, runs):
  """Returns a row; times of a frame by the clock, and of the CPU."""
  mine = runs[work.name]
  row = {
    "tool": work.name,
    "version": mine[0]["version"],
    "computes": work.computes,
    "frames": mine[0]["frames"],
    "faces": mine[0]["faces"],
    "whole_s": _median(mine, "whole_s"),
    "whole_cpu_s": _median(mine, "whole_cpu_s"),
  }
  keys = ("start_s", "start_cpu_s", "rate", "faces_rate", "cpu_ms")
  row |= dict.fromkeys((*keys, "ratio", "ratio_spread", "cpu", "cpu_spread"))
  if work.is_command:
    return row
  wall, cpu = _a_frame(mine, "seconds"), _a_frame(mine, "cpu_s")
  ours = runs["embed"]
  row |= {
    "start_s": _median(mine, "start_s"),
    "start_cpu_s": _median(mine, "start_cpu_s"),
    "rate": 1 / wall.median_s,
    "faces_rate": row["faces"] / (row["frames"] * wall.median_s),
    "cpu_ms": 1000 * cpu.median_s,
  }
  row["ratio"], row["ratio_spread"] = timing.ratio(
    wall, _a_frame(ours, "seconds")
  )
  row["cpu"], row["cpu_spread"] = timing.ratio(cpu, _a_frame(ours, "cpu_s"))
  return row


def _median(runs, key):
  return statistics.median(run[key] for run in runs)


def _a_frame(runs: Sequence[dict[str, Any]], key: str) -> timing.Times:
  return timing.Times(tuple(run[key] / run["frames"] for run in runs))


_COLUMNS = (
  report.Column("tool", "what"),
  report.Column("version", "version", missing="this"),
  report.Column("computes", "gives"),
  report.Column("frames", "frames"),
  report.Column("faces", "faces"),
  report.Column("cpu_ms", "CPU ms a frame", ".1f"),
  report.Column("cpu", "over embed's", ".2f"),
  report.Column("cpu_spread", "spread", ".0%"),
  report.Column("rate", "frames/s", ".1f"),
  report.Column("faces_rate", "faces/s", ".1f"),
  report.Column("ratio", "time over embed's", ".2f"),
  report.Column("ratio_spread", "spread", ".0%"),
  report.Column("start_cpu_s", "start, CPU s", ".1f"),
  report.Column("start_s", "start, s", ".1f"),
  report.Column("whole_cpu_s", "whole, CPU s", ".1f"),
  report.Column("whole_s", "whole, s", ".1f"),
)
_NOTES = (
  "CPU: of all threads. Start: until the first frames were read. Whole: of the "
  "process. Ratios: median of the turns.",
)


def main(arguments: Iterable[str]) -> None:
  """Times one of `OURS` in this process, and prints it as JSON.

  Args:
    arguments: Its name, the detector, the model and the folder of videos.
  """
  name, detector, model, folder = arguments
  result = face_tools.run(lambda: _tool(OURS[name][1], folder, detector, model))
  print(json.dumps(result))


def _tool(make: Callable[..., Any], folder, detector, model):
  read = make(folder, detector, model)
  return face_tools.Tool(None, lambda: read(_WARM_UP), read)


if __name__ == "__main__":
  main(sys.argv[1:])
