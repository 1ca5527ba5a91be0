import collections
import logging
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import build, cache, extract
from facerep_jax.files import colour
from facerep_jax.synthetic import generator
from facerep_jax.tracks import track_source

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
    source = track_source.TrackSource(folder, split)
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


def test_a_starting_worker_gets_the_set_that_is_there(
  place, drawn, monkeypatch
):
  folder = cache.synthetic(**TINY)
  monkeypatch.setattr(cache, "_is_starting_worker", lambda: True)
  assert cache.synthetic(**TINY) == folder
  with pytest.raises(errors.InputError, match="__main__"):
    cache.synthetic(**TINY | {"seed": TINY["seed"] + 1})


def test_smaller_turns_are_another_set(place, drawn):
  first = cache.synthetic(**TINY)
  assert cache.synthetic(**TINY, pose_scale=1.0) == first
  half = cache.synthetic(**TINY, pose_scale=0.5)
  assert half != first
  yaw, yaw_half = (
    track_source.TrackSource(folder, "train")
    .read(0, ("yaw_rad",))
    .labels["yaw_rad"]
    for folder in (first, half)
  )
  np.testing.assert_array_equal(yaw_half, yaw / 2)
  with pytest.raises(errors.InputError, match="pose_scale: .* 0 to 1, got 1.5"):
    cache.synthetic(**TINY, pose_scale=1.5)


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
  assert len(track_source.TrackSource(folder, "train")) == 1
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
    assert f"tracks: {tmp_path}" in text


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


def save_photos(folder, names, size_px=48):
  """Writes noisy photos, the brightness of which says which one it is."""
  rng = np.random.default_rng(0)
  for number, name in enumerate(names):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(20 * number, 20 * number + 20, (size_px, size_px, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def faces(monkeypatch):
  """Finds a face in the middle of all photos but the darkest; counts them."""
  seen = []

  def find(image):
    seen.append(1)
    box = [12, 12, 36, 36, 1] if image.mean() > 20 else []
    return np.array(box, np.float32).reshape(-1, 5)

  monkeypatch.setattr(extract, "_detector", lambda model: find)
  return seen


def read_all(folder, split):
  source = track_source.TrackSource(folder, split)
  return [source.read(record) for record in range(len(source))]


def test_photos_become_tracks_once(place, faces, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  names = [f"p{i // 2}/{i}.png" for i in range(11)]
  save_photos(tmp_path / "photos", names)
  path = str(tmp_path / "photos")
  folder = cache.data_folder(path, size_px=32, num_frames=1)
  assert pathlib.Path(folder).parent == place
  assert "a face found in 10 of 11 photos; left out: 1 x no face" in caplog.text
  assert len(faces) == 11
  assert cache.data_folder(path, size_px=32, num_frames=1) == folder
  assert len(faces) == 11
  people = {
    split: [track.person for track in read_all(folder, split)]
    for split in ("train", "validation", "test")
  }
  # Every photo once, and no folder in two splits.
  assert sum(len(x) for x in people.values()) == 10
  assert sum(len(set(x)) for x in people.values()) == 6
  assert cache.data_folder(folder, size_px=32, num_frames=1) == folder
  assert "noted" not in caplog.text
  # Another picture, of the same size and from the same time.
  one = tmp_path / "photos" / "p0" / "1.png"
  data, times = bytearray(one.read_bytes()), one.stat()
  data[-30] ^= 1
  one.write_bytes(data)
  os.utime(one, ns=(times.st_atime_ns, times.st_mtime_ns))
  assert cache.data_folder(path, size_px=32, num_frames=1) != folder
  data[-30] ^= 1
  one.write_bytes(data)
  assert cache.data_folder(path, size_px=32, num_frames=1) == folder
  save_photos(tmp_path / "photos", ["p9/new.png"])
  assert cache.data_folder(path, size_px=32, num_frames=1) != folder


def test_what_was_assumed_of_photos_is_logged(
  place, faces, tmp_path, caplog, monkeypatch
):
  caplog.set_level(logging.INFO)
  path = tmp_path / "photos"
  save_photos(path, ["a/1.png", "b/2.png"])
  with Image.open(path / "a" / "1.png") as image:
    image.putalpha(200)
    image.save(path / "a" / "1.png")
  before = cache.data_folder(str(path), size_px=32, num_frames=1)
  assert f"noted: 1 x {colour.TRANSPARENT}" in caplog.text
  # What was made by another reading of the pixels is not taken.
  monkeypatch.setattr(extract, "READING", extract.READING + 1)
  assert cache.data_folder(str(path), size_px=32, num_frames=1) != before


@pytest.mark.parametrize(
  ("names", "num_frames", "text"),
  [
    (
      [],
      1,
      r"expected a folder of face tracks .* or of photos .*found neither",
    ),
    (["a/b/c/1.png", "a/b/d/1.png"], 1, "looks like frames of video"),
    (["1.png"], 2, "holds photos, but this system compares 2 frames"),
    (["1.png"], 1, "not one usable track .*no face"),
  ],
)
def test_folders_that_cannot_be_used(
  place, faces, tmp_path, names, num_frames, text
):
  (tmp_path / "photos").mkdir()
  save_photos(tmp_path / "photos", names)
  with pytest.raises(errors.InputError, match=text) as caught:
    cache.data_folder(
      str(tmp_path / "photos"), size_px=32, num_frames=num_frames
    )
  assert "\n" not in str(caught.value)
  assert str(tmp_path / "photos") in str(caught.value)


def test_missing_and_unfinished_tracks_are_left_to_their_reader(tmp_path):
  unfinished = tmp_path / "tracks"
  (unfinished / ".parts").mkdir(parents=True)
  for path in (str(tmp_path / "none"), str(unfinished)):
    assert cache.data_folder(path, size_px=32, num_frames=1) == path
