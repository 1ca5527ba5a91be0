"""Makes a dataset of face tracks: parallel work, then shards and manifest."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from facerep_jax import environment, errors
from facerep_jax.data import extract, parts, sources, unit_report
from facerep_jax.detection import detect
from facerep_jax.files import atomic, outputs
from facerep_jax.tracks import contents, dataset_info, index, splits, tfrecord

FORMAT = 1  # Of manifest.json and of the parts.
MANIFEST = contents.MANIFEST
_OURS = re.compile(
  rf"({dataset_info.NAME}-[a-z]+\.tfrecord-\d{{5}}-of-\d{{5}}(\.index)?"
  r"|(manifest|dataset_info|features|metadata)\.json)(\.[0-9a-f]{16}\.tmp)?"
)
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Plan:
  """How records become a dataset.

  Attributes:
    shares: Of people for training, validation and test.
    seed: Of the split.
    shard_bytes: Aimed-at size of a shard.
  """

  shares: tuple[float, float, float] = (70, 10, 20)
  seed: int = 0
  shard_bytes: int = 256 * 2**20


def build(
  units: list[sources.Unit],
  output: str,
  settings: extract.Settings,
  plan: Plan,
  *,
  workers: int = 1,
  overwrite: bool = False,
  on_unit: Callable[[unit_report.Report, bool], None] = lambda *_: None,
  passed_over: Mapping[str, dict[str, int]] | None = None,
) -> dict[str, Any]:
  """Makes the dataset of some units of work.

  The result does not depend on the number of workers. A run that was killed
  goes on where it was; one that is finished is left alone.

  Args:
    units: What to read; see `sources.collect`.
    output: Folder of the dataset.
    settings: How records are made.
    plan: How they are split and stored.
    workers: Processes; with 1, all is done in this one.
    overwrite: Discard what `output` holds of an earlier run.
    on_unit: Called with the report of each unit as it is done, and whether it
      was made now, not by an earlier run.
    passed_over: By source, numbers of files not read by kind, to be noted.

  Returns:
    The manifest.

  Raises:
    InputError: `output` holds something else, nothing was found, or a worker
      died.
  """
  asked, settings = settings, extract.with_detector(units, settings)
  work = _work(units, settings, plan)
  finished = _finished(output, work, overwrite)
  if finished is not None:
    return _with_passed_over(finished, passed_over)
  extract.check_tools(units, asked)  # The log says what is not installed.
  outputs.check_folder(output)
  os.makedirs(output, exist_ok=True)
  kept = _part_settings(settings) | {"reading": extract.READING}
  folder = parts.Folder(output, kept, overwrite)
  try:
    if overwrite:
      _remove_ours(output)
    made = _make_parts(units, settings, folder.path, workers, on_unit)
    _remove_ours(output)  # Shards of a run that was killed while writing them.
    if not any(part.records for part in made):
      folder.remove()
      raise errors.InputError(_nothing_found(made))
    manifest = _assemble(made, output, settings, plan) | {"work": work}
    return _end(manifest, output, folder, passed_over)
  except OSError as error:
    if error.errno in environment.FULL:
      raise _disk_full(output, error) from error
    raise
  finally:
    folder.close()


def _end(manifest, output, folder, passed_over):
  """Writes the manifest; without it, readers refuse the folder."""
  manifest = _with_passed_over(manifest, passed_over)
  atomic.write_json(os.path.join(output, MANIFEST), manifest, indent=1)
  folder.remove()
  return manifest


def _with_passed_over(manifest, passed_over):
  for path, counts in (passed_over or {}).items():
    manifest["sources"][path]["passed_over"] = counts
  return manifest


def _disk_full(output, error):
  return errors.InputError(
    f"{output}: {error.strerror}; make room and run the same command again to "
    "go on from here."
  )


def _part_settings(settings):
  # By content, wherever the file lies. None means the cascades, as it did
  # before there was another default.
  path = detect.model_file(settings.detector or detect.CASCADE)
  detector = None if path is None else hashlib.sha256(_read(path)).hexdigest()
  kept = dataclasses.asdict(settings) | {"format": FORMAT, "detector": detector}
  # Under the name of before, so that finished datasets are known again.
  kept["turns"] = kept.pop("pose_scale")
  return kept


def _read(path):
  try:
    with open(path, "rb") as file:
      return file.read()
  except OSError as error:
    raise errors.InputError(
      f"detector model {path}: cannot be read ({error.strerror})."
    ) from error


def _work(units, settings, plan):
  """Returns a fingerprint of what is to be done."""
  what = [_part_settings(settings), dataclasses.asdict(plan)]
  what.append([unit.key() for unit in units])
  text = json.dumps(what, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _finished(output, work, overwrite):
  """Returns the manifest of a finished dataset of the same work, or None."""
  path = os.path.join(output, MANIFEST)
  if overwrite or not os.path.exists(path):
    return None
  manifest = atomic.read_json(path, "Pass --overwrite to make it again.")
  if manifest.get("work") != work:
    raise errors.InputError(
      f"{output}: holds a finished dataset of other sources or options; choose "
      "another --output, or pass --overwrite to replace it."
    )
  _log.info("%s: finished earlier from the same sources; left as is.", output)
  parts.remove_left(output)
  return manifest


def _remove_ours(output):
  # The manifest first: what is left meanwhile is not a dataset.
  for name in sorted(os.listdir(output), key=lambda name: name != MANIFEST):
    if _OURS.fullmatch(name):
      os.unlink(os.path.join(output, name))


def _make_parts(units, settings, folder, workers, on_unit):
  """Returns the parts in the order of the units."""
  num_done = sum(parts.is_done(unit, folder) for unit in units)
  if num_done:
    _log.info("going on: %d of %d units are done.", num_done, len(units))
  workers = min(workers, len(units))
  if workers <= 1:
    made = []
    with _one_thread():
      for unit in units:
        made.append(parts.make(unit, settings, folder))
        on_unit(unit_report.Report(**made[-1].report), made[-1].is_new)
    return made
  others = set(multiprocessing.active_children())
  pool = concurrent.futures.ProcessPoolExecutor(
    workers, multiprocessing.get_context("spawn"), _start_worker
  )
  try:
    futures = [pool.submit(parts.make, x, settings, folder) for x in units]
    for future in concurrent.futures.as_completed(futures):
      part = future.result()
      on_unit(unit_report.Report(**part.report), part.is_new)
    return [future.result() for future in futures]
  except concurrent.futures.process.BrokenProcessPool as error:
    raise errors.InputError(
      "a worker process died, perhaps for lack of memory; run the same command "
      "again to go on from here, with fewer --workers."
    ) from error
  except KeyboardInterrupt:
    for process in set(multiprocessing.active_children()) - others:
      process.terminate()
    raise
  finally:
    pool.shutdown(cancel_futures=True)


def _start_worker():
  signal.signal(signal.SIGINT, signal.SIG_DFL)  # No traceback from each.
  threading.Thread(target=_end_with_parent, daemon=True).start()
  _set_threads(1)


def _end_with_parent():
  """Ends this worker when its parent is killed: it would go on writing."""
  multiprocessing.parent_process().join()
  os._exit(1)


@contextlib.contextmanager
def _one_thread():
  """Keeps OpenCV to one thread: with more, the order of hits varies."""
  before = _set_threads(1)
  try:
    yield
  finally:
    _set_threads(before)


def _set_threads(count):
  """Sets OpenCV's threads if it is there; returns how many there were."""
  try:
    import cv2
  except ModuleNotFoundError:
    return count
  before = cv2.getNumThreads()
  cv2.setNumThreads(count)
  return before


def _nothing_found(made):
  reports = [unit_report.Report(**part.report) for part in made]
  reasons = {}
  for report in reports:
    if report.problem:
      reasons[report.problem] = reasons.get(report.problem, 0) + 1
    for reason, entry in report.skipped.items():
      reasons[reason] = reasons.get(reason, 0) + entry["count"]
  text = ", ".join(f"{count} x {reason}" for reason, count in reasons.items())
  places = ", ".join(dict.fromkeys(report.source for report in reports))
  return f"{places}: not one usable track ({text[:400]}); nothing was written."


def _assemble(made, output, settings, plan):
  """Writes shards, indexes and metadata; returns the manifest."""
  records = [record for part in made for record in part.records]
  groups = parts.groups(made)
  split_of, by_person = splits.assign(
    (record[:3] for record in records), plan.shares, plan.seed, groups
  )
  if not by_person:
    people = len({record[0] for record in records})
    _log.info(
      "%d person(s): fewer than %d, so the split is by track, not by person.",
      people,
      splits.MIN_PEOPLE,
    )
  elif len({groups.get(x[0], x[0]) for x in records}) < splits.MIN_PEOPLE:
    _log.info(
      "fewer than %d clips or people: people of one clip, who are told apart "
      "by their looks alone, are in different splits.",
      splits.MIN_PEOPLE,
    )
  shards, digest = {}, hashlib.sha256()
  for split in splits.NAMES:
    sizes = _write_split(made, split, split_of, output, plan, digest)
    if sizes:
      shards[split] = sizes
  labels = _common_labels(made, len(records))
  dataset_info.write(
    output,
    settings.size_px,
    labels,
    {split: [size[:2] for size in sizes] for split, sizes in shards.items()},
    "Face tracks, in chunks.",
  )
  return {
    "format": FORMAT,
    "settings": dataclasses.asdict(settings),
    "plan": dataclasses.asdict(plan) | {"shares": list(plan.shares)},
    "split_by": "person" if by_person else "track",
    "splits": _count_splits(records, split_of, shards),
    "labels": labels,
    "sources": parts.sums(made),
    "videos": [part.report for part in made],
    "fingerprint": digest.hexdigest(),
  }


def _common_labels(made, count):
  """Returns the labels that every record has."""
  total = {}
  for part in made:
    for name, number in part.labels.items():
      total[name] = total.get(name, 0) + number
  return sorted(name for name, number in total.items() if number == count)


def _write_split(made, split, split_of, output, plan, digest):
  """Writes the shards of a split; returns records, bytes, digest of each."""
  chosen = [
    [split_of[record[:3]] == split for record in part.records] for part in made
  ]
  lengths = [
    record[4]
    for part, flags in zip(made, chosen)
    for record, flag in zip(part.records, flags)
    if flag
  ]
  if not lengths:
    return []
  counts = _plan_shards(lengths, plan.shard_bytes)
  stream = _records(made, chosen)
  sizes = []
  for number, count in enumerate(counts):
    name = dataset_info.shard_name(split, number, len(counts))
    path = os.path.join(output, name)
    num_bytes = 0
    with tfrecord.Writer(path) as writer:
      for record in itertools.islice(stream, count):
        writer.write(record)
        digest.update(record)
        num_bytes += len(record)
    made_index = index.write(path)
    sizes.append((count, num_bytes, contents.digest(made_index)))
  return sizes


def _plan_shards(lengths, shard_bytes):
  """Returns how many records go to each shard, in order."""
  ends = list(itertools.accumulate(lengths))
  aim = -(-ends[-1] // shard_bytes)
  numbers = [
    (end - length) * aim // ends[-1] for end, length in zip(ends, lengths)
  ]
  return list(collections.Counter(numbers).values())


def _records(made, chosen):
  for part, flags in zip(made, chosen):
    if any(flags):
      for record, flag in zip(tfrecord.read_records(part.path), flags):
        if flag:
          yield record


def _count_splits(records, split_of, shards):
  out = {}
  for split, sizes in shards.items():
    own = [record for record in records if split_of[record[:3]] == split]
    out[split] = {
      "people": len({record[0] for record in own}),
      "tracks": len({record[:3] for record in own}),
      "records": len(own),
      "frames": sum(record[3] for record in own),
      "bytes": sum(record[4] for record in own),
      "shards": [
        dataset_info.shard_name(split, i, len(sizes)) for i in range(len(sizes))
      ],
      "checksums": [checksum for _, _, checksum in sizes],
    }
  return out
