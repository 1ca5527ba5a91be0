import collections
import logging
import os
import pathlib
import subprocess
import sys

import pytest

from facerep_jax import errors
from facerep_jax.data import build, cache, tracks
from facerep_jax.data.synthetic import generator

ROOT = pathlib.Path(__file__).resolve().parents[2]

TINY = {
  "seed": 0,
  "num_people": 3,
  "tracks_per_person": 1,
  "num_frames": 4,
  "size_px": 32,
}

_SCRIPT = """
import logging, os, sys
os.cpu_count = lambda: 1  # Draws here, without a pool of processes.
from facerep_jax.data import cache
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
cache.synthetic(**{settings})
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
  """Folder of the caches."""
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "cache"))
  monkeypatch.setattr(os, "cpu_count", lambda: 1)
  return tmp_path / "cache"


@pytest.fixture
def drawn(monkeypatch):
  """Tracks that were drawn."""
  made, draw = [], generator.make_track

  def counted(settings, person, track):
    made.append((person, track))
    return draw(settings, person, track)

  monkeypatch.setattr(generator, "make_track", counted)
  return made


def test_place_of_caches(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "a"))
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
  assert cache.root() == tmp_path / "a"
  monkeypatch.delenv("FACEREP_CACHE")
  assert cache.root() == tmp_path / "b" / "facerep_jax"
  monkeypatch.delenv("XDG_CACHE_HOME")
  assert cache.root() == pathlib.Path.home() / ".cache" / "facerep_jax"


def test_tracks_are_drawn_once(place, drawn):
  folder = cache.synthetic(**TINY)
  assert pathlib.Path(folder).parent == place
  assert sorted(drawn) == [(0, 0), (1, 0), (2, 0)]
  before = {
    path.name: path.stat().st_mtime_ns
    for path in pathlib.Path(folder).iterdir()
  }
  assert cache.synthetic(**TINY) == folder
  assert len(drawn) == 3
  after = {
    path.name: path.stat().st_mtime_ns
    for path in pathlib.Path(folder).iterdir()
  }
  assert after == before
  counts = collections.Counter()
  for split in ("train", "validation", "test"):
    source = tracks.TrackSource(folder, split)
    counts[split] = len(source)
    assert source.index.num_frames.tolist() == [4]
  assert set(counts.values()) == {1}


@pytest.mark.parametrize("name", ["seed", "num_people", "num_frames"])
def test_other_settings_are_another_set(place, monkeypatch, name):
  made = []

  def make(folder, source, settings, plan):
    made.append((folder, settings))
    folder.mkdir()
    (folder / build.MANIFEST).write_text("{}")

  monkeypatch.setattr(cache, "_make", make)
  first = cache.synthetic(**TINY)
  other = cache.synthetic(**TINY | {name: TINY[name] + 1})
  assert first != other
  assert cache.synthetic(**TINY) == first
  assert [str(folder) for folder, _ in made] == [first, other]
  assert getattr(made[1][1], name) == TINY[name] + 1


def test_another_generator_is_another_set(place, monkeypatch):
  monkeypatch.setattr(
    cache, "_make", lambda folder, *rest: folder.mkdir(exist_ok=True)
  )
  first = cache.synthetic(**TINY)
  monkeypatch.setattr(generator, "VERSION", generator.VERSION + 1)
  assert cache.synthetic(**TINY) != first


def test_set_that_was_not_finished_is_made_again(place, drawn, monkeypatch):
  def stop(*arguments):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(build, "_assemble", stop)
    with pytest.raises(KeyboardInterrupt):
      cache.synthetic(**TINY)
  assert len(drawn) == 3
  folder = cache.synthetic(**TINY)
  assert len(tracks.TrackSource(folder, "train")) == 1
  assert len(drawn) == 3  # What was drawn is kept.


def test_too_little_room_is_said_before_drawing(place, drawn, monkeypatch):
  usage = collections.namedtuple("usage", "total used free")
  monkeypatch.setattr(
    cache.shutil, "disk_usage", lambda path: usage(2**40, 2**40, 5 * 2**20)
  )
  with pytest.raises(errors.InputError) as caught:
    cache.synthetic(**TINY | {"num_people": 50_000})
  message = str(caught.value)
  # 50,000 x 4 frames of 1100 + 16 x 32 bytes, twice: 614.9 MiB.
  assert message.startswith(f"{place}: 5 MiB are free, but")
  assert "about 614 MiB" in message
  assert "FACEREP_CACHE" in message
  assert "\n" not in message
  assert not drawn


@pytest.mark.parametrize("size_px", [32, 96])
def test_estimate_is_near_what_is_written(place, caplog, size_px):
  caplog.set_level(logging.INFO)
  settings = TINY | {"size_px": size_px, "num_frames": 12}
  folder = pathlib.Path(cache.synthetic(**settings))
  stored = sum(path.stat().st_size for path in folder.glob("*-of-?????"))
  [making] = [x for x in caplog.records if x.msg.startswith("making")]
  frames, mebibytes, _ = making.args
  assert frames == 36
  estimate = frames * (cache._FRAME_BYTES + cache._SIDE_BYTES * size_px)
  assert mebibytes == estimate >> 20
  # People differ, and three are few.
  assert 0.7 < stored / estimate < 1.2


def test_place_that_cannot_be_used(tmp_path, monkeypatch):
  (tmp_path / "file").write_text("")
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "file" / "cache"))
  with pytest.raises(errors.InputError, match="Set FACEREP_CACHE") as caught:
    cache.synthetic(**TINY)
  assert "\n" not in str(caught.value)


def test_two_processes_make_it_once(tmp_path):
  environment = os.environ | {"FACEREP_CACHE": str(tmp_path)}
  script = _SCRIPT.format(settings=TINY)
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", script],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for _ in range(2)
  ]
  texts = [process.communicate(timeout=120)[0] for process in processes]
  assert [process.returncode for process in processes] == [0, 0], texts
  assert sum(text.count("making 12 frames") for text in texts) == 1
  for text in texts:
    assert f"synthetic tracks: {tmp_path}" in text


def test_script_without_a_guard_ends_instead_of_waiting(tmp_path):
  script = tmp_path / "script.py"
  script.write_text(
    "from facerep_jax.data import cache\n"
    "cache.synthetic(seed=0, num_people=9, tracks_per_person=1, num_frames=2,"
    " size_px=32)\n"
  )
  done = subprocess.run(
    [sys.executable, str(script)],
    env=os.environ
    | {"FACEREP_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  # Where there is one core only, no worker is needed and nothing is wrong.
  if (os.cpu_count() or 1) > 1:
    assert done.returncode != 0 and '__name__ == "__main__"' in done.stderr
  else:
    assert done.returncode == 0
