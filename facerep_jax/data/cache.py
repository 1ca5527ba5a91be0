"""Synthetic tracks that are made once and kept: the data of a bare run."""

import fcntl
import hashlib
import json
import logging
import os
import pathlib
import shutil

from facerep_jax import cli, errors
from facerep_jax.data import benchmark_set, build, extract, sources
from facerep_jax.data.synthetic import generator, ict_read

_log = logging.getLogger(__name__)
# Of a frame, and of each pixel of its side; measured from 32 to 256 px.
_FRAME_BYTES, _SIDE_BYTES = 1100, 16

# Names, to worker processes, the set that their parent is making.
_IN_WORK = "FACEREP_CACHE_IN_WORK"


def root() -> pathlib.Path:
  """Returns the folder of caches: FACEREP_CACHE, or the user's cache folder."""
  home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(
    os.environ.get("FACEREP_CACHE") or pathlib.Path(home) / "facerep_jax"
  )


def synthetic(
  *,
  seed: int,
  num_people: int,
  tracks_per_person: int,
  num_frames: int,
  size_px: int,
  heads: str = "",
) -> str:
  """Makes a set of synthetic tracks, unless it was made before.

  Args:
    seed: Of people and pictures.
    num_people: How many.
    tracks_per_person: Of each.
    num_frames: Of each track.
    size_px: Side of the frames.
    heads: Path of ICT-FaceKit's data; "" for the built-in head.

  Returns:
    Folder of the tracks.

  Raises:
    InputError: There is no room for it, it cannot be written, or there are no
      heads at that path.
  """
  settings = extract.Settings(
    size_px=size_px,
    seed=seed,
    num_people=num_people,
    tracks_per_person=tracks_per_person,
    num_frames=num_frames,
  )
  source = sources.Source(sources.ICT + heads if heads else sources.SYNTHETIC)
  return _kept(_name(settings, heads), source, settings, build.Plan())


def benchmark() -> str:
  """Makes the synthetic benchmark, unless it was made before.

  Returns:
    Folder of the tracks; `benchmark_set` says what they are.

  Raises:
    InputError: As for `synthetic`, or this machine draws another set.
  """
  return _kept(
    benchmark_set.NAME,
    sources.Source(sources.BENCHMARK),
    benchmark_set.settings(),
    benchmark_set.PLAN,
    check=benchmark_set.check,
  )


def _kept(name, source, settings, plan, check=lambda: None):
  """Returns the folder of a set, which is made by one process once."""
  folder = root() / name
  if os.environ.get(_IN_WORK) == str(folder):
    # A worker that runs the caller's script anew would wait for ever.
    raise errors.InputError(
      'a script that makes synthetic tracks needs if __name__ == "__main__": '
      "around what it does, because its worker processes import it."
    )
  try:
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = open(folder.with_suffix(".lock"), "w")  # noqa: SIM115
  except OSError as error:
    raise errors.InputError(
      f"{folder.parent}: cannot keep synthetic tracks there "
      f"({error.strerror}). Set FACEREP_CACHE to a folder that can be written."
    ) from error
  with lock:
    _wait(lock, folder)
    if not (folder / build.MANIFEST).exists():
      os.environ[_IN_WORK] = str(folder)
      try:
        check()
        _make(folder, source, settings, plan)
      finally:
        del os.environ[_IN_WORK]
  _log.info("synthetic tracks: %s", folder)
  return str(folder)


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
  if heads:
    what["heads"] = ict_read.fingerprint(heads)
  text = json.dumps(what, sort_keys=True)
  return f"synthetic-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _wait(lock, folder):
  """Takes the lock; another process may be making the same set."""
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    _log.info("waiting for another process that makes %s", folder)
    fcntl.flock(lock, fcntl.LOCK_EX)


def _make(folder, source, settings, plan):
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
  with cli.Progress(len(units), "units", "frames") as progress:
    build.build(
      units,
      str(folder),
      settings,
      plan,
      workers=os.cpu_count() or 1,
      on_unit=lambda report, is_new: (
        progress.advance(1, report.num_stored) if is_new else progress.drop(1)
      ),
    )
