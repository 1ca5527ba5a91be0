"""Tracks that are made once and kept: synthetic ones, and those of photos."""

import dataclasses
import fcntl
import hashlib
import json
import logging
import multiprocessing
import os
import pathlib
import shutil

from facerep_jax import cli, environment, errors
from facerep_jax.data import (
  benchmark_set,
  build,
  extract,
  listing,
  parts,
  sources,
)
from facerep_jax.files import atomic, images, places
from facerep_jax.synthetic import generator
from facerep_jax.synthetic import heads as all_heads
from facerep_jax.tracks import dataset_info

_log = logging.getLogger(__name__)
# Of a frame, and of each pixel of its side; measured from 32 to 256 px.
_FRAME_BYTES, _SIDE_BYTES = 1100, 16


def synthetic(
  *,
  seed: int,
  num_people: int,
  tracks_per_person: int,
  num_frames: int,
  size_px: int,
  pose_scale: float = extract.Settings.pose_scale,
  expressions: int = extract.Settings.expressions,
  heads: str = "",
  restyle: bool = False,
) -> str:
  """Makes a set of synthetic tracks, unless it was made before.

  Args:
    seed: Of people and pictures.
    num_people: How many.
    tracks_per_person: Of each.
    num_frames: Of each track.
    size_px: Side of the frames.
    pose_scale: Factor of yaw, pitch and roll, 0 to 1.
    expressions: How many a track shows; 0: one or two.
    heads: Whose: "", "ict", "mixed" or a path, as in module
      `synthetic.heads`.
    restyle: Draw hair style and glasses anew for each track of a person.

  Returns:
    Folder of the tracks.

  Raises:
    InputError: There is no room for it, it cannot be written, `pose_scale` or
      `expressions` are out of range, or there are no heads at that path.
  """
  settings = extract.Settings(
    size_px=size_px,
    seed=seed,
    num_people=num_people,
    tracks_per_person=tracks_per_person,
    num_frames=num_frames,
    pose_scale=pose_scale,
    expressions=expressions,
    restyle=restyle,
  )
  source = sources.synthetic_source(heads)
  return _kept(
    _name(settings, heads),
    lambda folder: _make(folder, source, settings, build.Plan()),
  )


def benchmark() -> str:
  """Makes the synthetic benchmark, unless it was made before.

  Returns:
    Folder of the tracks; `benchmark_set` says what they are.

  Raises:
    InputError: As for `synthetic`, or this machine draws another set.
  """

  def make(folder):
    benchmark_set.check()
    source = sources.Source(sources.BENCHMARK)
    _make(folder, source, benchmark_set.settings(), benchmark_set.PLAN)

  return _kept(benchmark_set.NAME, make)


def data_folder(path: str, *, size_px: int, num_frames: int) -> str:
  """Returns the folder of tracks that a run reads.

  Args:
    path: Folder of tracks, or of photos, which are turned into tracks once.
    size_px: Side of the frames that are stored of photos.
    num_frames: T, frames of one track that a sample needs.

  Returns:
    `path`, or where the tracks of its photos lie.

  Raises:
    InputError: The folder holds neither, photos where a sample needs several
      frames, or as for `photos`. Missing and unfinished tracks are left to
      `tracks.TrackSource`, which says what is wrong with them.
  """
  folder = pathlib.Path(path)
  is_unfinished = (folder / parts.FOLDER).exists() or any(
    folder.glob(f"{dataset_info.NAME}-*.tfrecord-*")
  )
  if not folder.is_dir() or (folder / build.MANIFEST).exists() or is_unfinished:
    return path
  held = listing.find(path)
  if not held.images:
    raise errors.InputError(
      f"{path}: expected a folder of face tracks (with a {build.MANIFEST}) or "
      f"of photos ({' '.join(images.EXTENSIONS)}), found neither; "
      f"{listing.say_empty(held.without_videos())}. Make tracks of videos "
      "with: python -m facerep_jax.make_tracks --source=PATH --output=DIR"
    )
  if num_frames > 1:
    raise errors.InputError(
      f"{path}: holds photos, but this system compares {num_frames} frames of "
      "one track. Make tracks of videos with: python -m "
      "facerep_jax.make_tracks --source=PATH --output=DIR"
    )
  return photos(path, size_px=size_px)


def photos(path: str, *, size_px: int) -> str:
  """Cuts the faces out of a folder of photos, unless that was done before.

  Args:
    path: Folder of photos, at any depth; each becomes a track of one frame, as
      with `make_tracks --layout=photos`.
    size_px: Side of the stored frames.

  Returns:
    Folder of the tracks; another one as soon as a photo comes, goes or changes,
    as far as module `file_marks` sees it.

  Raises:
    InputError: There are no photos, they look like frames of video, no face is
      found in any, or the tracks cannot be kept.
  """
  settings, plan = extract.Settings(size_px=size_px), build.Plan()
  passed_over = {}
  units = sources.collect(
    [sources.Source(path, sources.PHOTOS)],
    on_passed_over=passed_over.__setitem__,
  )
  entries = [entry for unit in units for entry in unit.entries]
  if sources.look_like_frames(entry.video for entry in entries):
    raise errors.InputError(
      f"{path}: looks like frames of video (PERSON/VIDEO/TRACK/*.jpg), not "
      "like photos. Make tracks of it and give their folder: python -m "
      f"facerep_jax.make_tracks --source={path} --output=DIR (if these are "
      "photos: with --layout=photos)."
    )
  what = [build.FORMAT, extract.READING, dataclasses.asdict(settings)]
  what.append([(x.person, x.video, x.mark) for x in entries])
  digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())

  for counts in passed_over.values():
    _log.info("%s: passed over %s", path, listing.say(counts))

  def make(folder):
    _log.info("cutting faces out of %d photos once: %s", len(entries), path)
    manifest = _build(folder, units, settings, plan, passed_over)
    found = manifest["sources"][path]
    left_out = [f"{n} x {reason}" for reason, n in found["skipped"].items()]
    _log.info(
      "%s: a face found in %d of %d photos; left out: %s",
      path,
      found["num_detected"],
      found["num_read"],
      ", ".join(left_out) or "none",
    )
    for text, n in found["notes"].items():
      _log.info("noted: %d x %s", n, text)

  return _kept(f"photos-{digest.hexdigest()[:16]}", make)


def _kept(name, make):
  """Returns the folder of a set, which one process makes once."""
  folder = places.cache_root() / name
  is_made = (folder / build.MANIFEST).exists()
  if not is_made and _is_starting_worker():
    # It runs the caller's script anew, and would wait for ever.
    raise errors.InputError(
      'a script that makes tracks needs if __name__ == "__main__": '
      "around what it does, because its worker processes import it."
    )
  try:
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = atomic.open_lock(folder.with_suffix(".lock"))
  except OSError as error:
    raise errors.InputError(
      f"{folder.parent}: cannot keep tracks there "
      f"({error.strerror}). Set FACEREP_CACHE to a folder that can be written."
    ) from error
  with lock:
    _wait(lock, folder)
    if not (folder / build.MANIFEST).exists():
      make(folder)
  _log.info("tracks: %s", folder)
  return str(folder)


def _is_starting_worker():
  """Says whether this is a process of a pool that has not begun its work."""
  is_child = multiprocessing.current_process().name != "MainProcess"
  return is_child and multiprocessing.parent_process() is None


def _name(settings, heads):
  """Names a set by all that its bytes depend on."""
  what = {
    "generator": generator.VERSION,
    "format": build.FORMAT,
    "seed": settings.seed,
    "num_people": settings.num_people,
    "tracks_per_person": settings.tracks_per_person,
    "num_frames": settings.num_frames,
    "size_px": settings.size_px,
  }
  if settings.pose_scale != extract.Settings.pose_scale:
    what["turns"] = settings.pose_scale  # As sets of before are named.
  if settings.expressions:
    what["expressions"] = settings.expressions
  if settings.restyle:
    what["restyle"] = True
  if heads:
    what["heads"] = all_heads.fingerprint(heads)
  text = json.dumps(what, sort_keys=True)
  return f"synthetic-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _wait(lock, folder):
  """Takes the lock; another process may be making the same set."""
  hint = "Set FACEREP_CACHE to a folder on a local disk."
  with environment.locks_of(folder.parent, hint):
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _log.info("waiting for another process that makes %s", folder)
      fcntl.flock(lock, fcntl.LOCK_EX)


def _make(folder, source, settings, plan):
  """Makes a synthetic set, if there is room."""
  frames = (
    settings.num_people * settings.tracks_per_person * settings.num_frames
  )
  needed = frames * (_FRAME_BYTES + _SIDE_BYTES * settings.size_px)
  free = shutil.disk_usage(folder.parent).free
  # Parts and shards lie side by side for a moment.
  if 2 * needed > free:
    raise errors.InputError(
      f"{folder.parent}: {free >> 20} MiB are free, but synthetic tracks need "
      f"about {2 * needed >> 20} MiB. Lower config.synthetic.num_people, or "
      "set FACEREP_CACHE to another disk."
    )
  _log.info(
    "making %d frames of synthetic tracks once, about %d MiB, in %s",
    frames,
    needed >> 20,
    folder,
  )
  units = sources.collect(
    [source], settings.num_people, settings.tracks_per_person
  )
  _build(folder, units, settings, plan)


def _build(folder, units, settings, plan, passed_over=None):
  """Makes a set, showing how far it is; returns its manifest."""
  with cli.Progress(len(units), "units", "frames") as progress:
    return build.build(
      units,
      str(folder),
      settings,
      plan,
      workers=os.cpu_count() or 1,
      on_unit=lambda report, is_new: (
        progress.advance(1, report.num_read) if is_new else progress.drop(1)
      ),
      passed_over=passed_over,
    )
