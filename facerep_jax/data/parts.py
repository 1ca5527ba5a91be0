"""Finished pieces of a dataset under way, so that a killed run can go on."""

import collections
import dataclasses
import fcntl
import logging
import os
import shutil
from typing import Any

from facerep_jax import environment, errors
from facerep_jax.data import extract, sources, unit_report
from facerep_jax.files import atomic
from facerep_jax.tracks import schema, tfrecord

FOLDER = ".parts"
_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Part:
  """A finished unit of work.

  Attributes:
    path: TFRecord file of its chunks.
    records: One (person, video, track, frames, bytes) a record, in order.
    labels: How many records have each label or map.
    report: Fields of `unit_report.Report`.
    is_new: It was made now, not by an earlier run.
  """

  path: str
  records: list[tuple[str, str, str, int, int]]
  labels: dict[str, int]
  report: dict[str, Any]
  is_new: bool


def is_done(unit: sources.Unit, folder: str) -> bool:
  """Tells whether the finished part of a unit is there."""
  return os.path.exists(os.path.join(folder, unit.key() + ".json"))


def make(unit: sources.Unit, settings: extract.Settings, folder: str) -> Part:
  """Does a unit of work, unless its finished part is there.

  Args:
    unit: What to read.
    settings: How.
    folder: Where parts are kept.

  Returns:
    The part.

  Raises:
    InputError: As `extract.extract`.
  """
  base = os.path.join(folder, unit.key())
  is_new = not is_done(unit, folder)
  if is_new:
    report = unit_report.start(unit)
    records, labels = [], collections.Counter()
    with tfrecord.Writer(base + ".tfrecord") as writer:
      for track in extract.extract(unit, settings, report):
        data = schema.serialize(track)
        writer.write(data)
        labels.update([*track.labels, *track.maps])
        names = track.person, track.video, track.track
        records.append((*names, len(track.frames), len(data)))
    # Written last: it marks the part as finished.
    atomic.write_json(
      base + ".json",
      {
        "records": records,
        "labels": dict(labels),
        "report": dataclasses.asdict(report),
      },
      indent=1,
    )
  known = atomic.read_json(base + ".json", "Delete it to make that part again.")
  part = Part(base + ".tfrecord", **known, is_new=is_new)
  part.records = [tuple(record) for record in part.records]
  return part


def remove_left(output: str) -> None:
  """Deletes the parts of a finished dataset that was killed before it did.

  Args:
    output: Folder of the dataset; parts that another process holds, or that are
      not to be deleted, stay.
  """
  path = os.path.join(output, FOLDER)
  if os.path.islink(path) or not os.path.isdir(path):
    return
  try:
    with atomic.open_lock(os.path.join(path, "lock")) as lock:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      shutil.rmtree(path)
  except (OSError, errors.InputError) as error:
    _log.info("%s: not deleted (%s).", path, error)


class Folder:
  """The folder of parts of one dataset, held by one process at a time."""

  def __init__(self, output: str, settings: dict[str, Any], overwrite: bool):
    """Opens or makes the folder.

    Args:
      output: Folder of the dataset.
      settings: What parts depend on; those of an earlier run must agree.
      overwrite: Discard the parts of an earlier run.

    Raises:
      InputError: Another process is at work there, or the parts of an earlier
        run were made with other settings.
    """
    self.path = os.path.join(output, FOLDER)
    atomic.refuse_link(self.path)
    os.makedirs(self.path, exist_ok=True)
    self._lock = atomic.open_lock(os.path.join(self.path, "lock"))
    try:
      with environment.locks_of(
        output, "Choose an --output on a local disk, and move it later."
      ):
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      self._lock.close()
      raise errors.InputError(
        f"{output}: another process is writing there; wait for it, or choose "
        "another --output."
      ) from error
    if overwrite:
      self._clear()
    self._check(output, settings)

  def _clear(self):
    for name in os.listdir(self.path):
      if name != "lock":
        os.unlink(os.path.join(self.path, name))

  def _check(self, output, settings):
    path = os.path.join(self.path, "settings.json")
    if not os.path.exists(path):
      atomic.write_json(path, settings, indent=1)
      return
    before = atomic.read_json(path, "Pass --overwrite to start again.")
    changed = [
      f"{name} (was {before.get(name)}, is {settings.get(name)})"
      for name in sorted(settings.keys() | before.keys())
      if before.get(name) != settings.get(name)
    ]
    if changed:
      self.close()
      raise errors.InputError(
        f"{output}: holds parts of an unfinished run with other settings: "
        f"{', '.join(changed)}; repeat that run's options to finish it, or "
        "pass --overwrite to start again."
      )

  def close(self) -> None:
    """Lets other processes at the folder."""
    self._lock.close()

  def remove(self) -> None:
    """Deletes the parts."""
    shutil.rmtree(self.path)
    self._lock.close()


def groups(made: list[Part]) -> dict[str, str]:
  """Returns, for each person of a video, whom the video is said to be of.

  Whether two faces of a video are of one person is not known for sure.
  """
  return {
    record[0]: part.report["person"]
    for part in made
    if part.report["kind"] == "videos"
    for record in part.records
  }


def sums(made: list[Part]) -> dict[str, dict[str, Any]]:
  """Returns `unit_report.total` of parts, with the number of `people`, too."""
  people = {}
  for part in made:
    found = people.setdefault(part.report["source"], set())
    found.update(record[0] for record in part.records)
  out = unit_report.total([part.report for part in made])
  return {
    name: own | {"people": len(people[name])} for name, own in out.items()
  }
