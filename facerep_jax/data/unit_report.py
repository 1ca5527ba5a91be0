"""What became of a unit of work: counts, and why something was left out."""

import dataclasses

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
    num_resized: Frames or crops stored at another size than they had.
    num_enlarged: Those that were smaller than the stored size.
    num_squared: Images that lost their ends to become square.
    skipped: By reason: how many, and the first example.
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
  num_resized: int = 0
  num_enlarged: int = 0
  num_squared: int = 0
  skipped: dict[str, dict] = dataclasses.field(default_factory=dict)
  problem: str = ""

  def skip(self, reason: str, example: str, count: int = 1) -> None:
    """Counts what could not be used."""
    entry = self.skipped.setdefault(reason, {"count": 0, "first": example})
    entry["count"] += count


def start(unit: sources.Unit) -> Report:
  """Starts the report on a unit."""
  first = unit.entries[0]
  return Report(unit.kind, unit.source, first.person, first.video, first.path)
