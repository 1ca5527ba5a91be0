"""What became of a unit of work: counts, and why something was left out."""

import dataclasses
from typing import Any

from facerep_jax.data import sources


@dataclasses.dataclass
class Report:
  """What happened to one video, folder of tracks, or block of images.

  Attributes:
    kind: Layout of the source.
    source: The path that the user gave.
    person: Of the video or folder; the first one of a block.
    name: Of the video; the first one of a block.
    path: File or folder; the first one of a block.
    num_read: Frames of the video or image files seen.
    num_decoded: Those that decoded.
    num_kept: Those looked at for the dataset (at `fps` for a video).
    num_detected: Kept frames in which the face was detected.
    num_interpolated: Kept frames in which it was followed only.
    num_tracks: Tracks stored.
    num_stored: Frames stored; a kept frame counts once per face.
    num_cuts: Changes of scene.
    num_divided: Places where one person took another's place in a track, which
      was ended there.
    num_resized: Frames or crops stored at another size than they had.
    num_enlarged: Those that were smaller than the stored size.
    num_squared: Images that lost their ends to become square.
    source_fps: Frames a second that the video declares; None for others.
    start_s: Time stamp of its first frame, from which times are counted.
    duration_s: Time of its last frame.
    longest_step_s: Longest time between frames that follow each other.
    skipped: By reason: how many, and the first example.
    notes: What was assumed of pixels and times, by text: how often.
    problem: Why nothing came of it; "" otherwise.
  """

  kind: str
  source: str
  person: str
  name: str
  path: str
  num_read: int = 0
  num_decoded: int = 0
  num_kept: int = 0
  num_detected: int = 0
  num_interpolated: int = 0
  num_tracks: int = 0
  num_stored: int = 0
  num_cuts: int = 0
  num_divided: int = 0
  num_resized: int = 0
  num_enlarged: int = 0
  num_squared: int = 0
  source_fps: float | None = None
  start_s: float | None = None
  duration_s: float | None = None
  longest_step_s: float | None = None
  skipped: dict[str, dict] = dataclasses.field(default_factory=dict)
  notes: dict[str, int] = dataclasses.field(default_factory=dict)
  problem: str = ""

  def skip(self, reason: str, example: str, count: int = 1) -> None:
    """Counts what could not be used."""
    entry = self.skipped.setdefault(reason, {"count": 0, "first": example})
    entry["count"] += count

  def note(self, text: str, count: int = 1) -> None:
    """Counts what was assumed or converted."""
    self.notes[text] = self.notes.get(text, 0) + count


def start(unit: sources.Unit) -> Report:
  """Starts the report on a unit."""
  first = unit.entries[0]
  return Report(unit.kind, unit.source, first.person, first.video, first.path)


def total(reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
  """Adds up reports by the source that they belong to.

  Args:
    reports: Fields of `Report`, one each.

  Returns:
    By source: sums of the counts, of what was skipped, of problems and notes;
    for videos the least and largest `source_fps`, and the `longest_step_s`.
    `passed_over` is for the caller to fill.
  """
  out = {}
  for report in reports:
    own = out.setdefault(
      report["source"],
      {
        **{"kind": report["kind"], "units": 0, "passed_over": {}},
        **{"skipped": {}, "problems": {}, "notes": {}},
      },
    )
    own["units"] += 1
    for name, value in report.items():
      if name.startswith("num_"):
        own[name] = own.get(name, 0) + value
    for reason, entry in report["skipped"].items():
      _add(own["skipped"], reason, entry["count"])
    for text, count in report["notes"].items():
      _add(own["notes"], text, count)
    if report["problem"]:
      # Without the name of the file, which `videos` tells.
      _add(own["problems"], report["problem"].split(": ", 1)[-1], 1)
    _add_times(own, report)
  return out


def _add(counts, name, count):
  counts[name] = counts.get(name, 0) + count


def _add_times(total, report):
  rate, step = report["source_fps"], report["longest_step_s"]
  if rate is None:
    return
  low, high = total.get("source_fps", (rate, rate))
  total["source_fps"] = [min(low, rate), max(high, rate)]
  total["longest_step_s"] = max(total.get("longest_step_s", 0.0), step)
