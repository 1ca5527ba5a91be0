import concurrent.futures.process
import dataclasses
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import build, extract, parts, sources
from facerep_jax.files import images
from facerep_jax.tracks import dataset_info, index, schema, tfrecord

SMALL = extract.Settings(size_px=32, chunk=4)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
  """Folder PERSON/VIDEO/TRACK of 6 people with 10 frames each."""
  root = tmp_path_factory.mktemp("frames")
  rng = np.random.default_rng(0)
  for person in range(6):
    for i in range(10):
      path = root / f"p{person}" / "v" / "t" / f"{i}.jpg"
      path.parent.mkdir(parents=True, exist_ok=True)
      pixels = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1)))
      Image.fromarray(pixels.astype(np.uint8)).save(path)
  return str(root)


def units_of(path):
  return sources.collect([sources.Source(path)])


def make(path, output, settings=SMALL, plan=build.Plan(), **options):  # noqa: B008
  return build.build(units_of(path), str(output), settings, plan, **options)


def contents(folder):
  return {
    name: open(os.path.join(folder, name), "rb").read()
    for name in sorted(os.listdir(folder))
  }


def stored(folder, manifest):
  return [
    schema.parse(record)
    for split in manifest["splits"].values()
    for shard in split["shards"]
    for record in tfrecord.read_records(os.path.join(folder, shard))
  ]


def test_all_frames_are_in_the_shards(frames, tmp_path):
  manifest = make(frames, tmp_path)
  chunks = stored(tmp_path, manifest)
  got = {
    (x.person, int(i)): frame
    for x in chunks
    for i, frame in zip(x.frame_index, x.frames)
  }
  want = {
    (f"p{p}", i): open(f"{frames}/p{p}/v/t/{i}.jpg", "rb").read()  # noqa: SIM115
    for p in range(6)
    for i in range(10)
  }
  assert got == want
  counts = {name: x["people"] for name, x in manifest["splits"].items()}
  assert counts == {"train": 4, "validation": 1, "test": 1}
  assert manifest["splits"]["train"]["frames"] == 40
  assert manifest["sources"][frames]["num_decoded"] == 60
  assert json.load(open(tmp_path / "manifest.json")) == manifest  # noqa: SIM115
  assert not (tmp_path / parts.FOLDER).exists()
  assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_shards_fill_evenly_and_have_an_index(frames, tmp_path):
  plan = build.Plan(shard_bytes=3000)
  manifest = make(frames, tmp_path, plan=plan)
  train = manifest["splits"]["train"]
  sizes = [os.path.getsize(tmp_path / shard) for shard in train["shards"]]
  assert len(sizes) >= 8  # 12 records of 2 to 4 kB.
  assert max(sizes) < 3000 + 4000
  total = 0
  for shard in train["shards"]:
    assert (tmp_path / (shard + index.SUFFIX)).exists()
    total += int(index.load(tmp_path / shard)[0].num_frames.sum())
  assert total == 40
  people = {
    name: {x.person for x in stored(tmp_path, {"splits": {name: split}})}
    for name, split in manifest["splits"].items()
  }
  assert not people["train"] & (people["validation"] | people["test"])


def test_shards_of_one_huge_record_are_not_empty():
  assert build._plan_shards([10, 1000, 10, 10], 100) == [2, 2]
  assert build._plan_shards([5] * 10, 1000) == [10]
  assert build._plan_shards([5] * 10, 25) == [5, 5]


def test_tfds_opens_the_folder_without_tensorflow(frames, tmp_path):
  manifest = make(frames, tmp_path)
  builder = tfds.builder_from_directory(str(tmp_path))
  splits = builder.info.splits
  for name, split in manifest["splits"].items():
    assert splits[name].num_examples == split["records"]
    assert splits[name].num_bytes == split["bytes"]
    files = [os.path.basename(path) for path in splits[name].filepaths]
    assert files == split["shards"]
  for path in splits["train"].filepaths:
    for record in tfrecord.read_records(path):
      parsed = schema.parse(record)
      example = builder.info.features.deserialize_example_np(record)
      for name in ("person", "video", "track"):
        assert example[name].decode() == getattr(parsed, name)
      np.testing.assert_array_equal(example["frame_index"], parsed.frame_index)
      pixels = [images.decode(frame, "").pixels for frame in parsed.frames]
      np.testing.assert_array_equal(np.stack(example["frames"]), pixels)
  assert "tensorflow" not in sys.modules


def test_tfds_reads_the_labels(tmp_path):
  units = sources.collect([sources.Source("synthetic")], 3, 1)
  settings = extract.Settings(
    size_px=32, num_people=3, tracks_per_person=1, num_frames=2
  )
  manifest = build.build(units, str(tmp_path), settings, build.Plan())
  (track,) = stored(tmp_path, {"splits": {"x": manifest["splits"]["test"]}})
  assert manifest["labels"] == sorted(track.labels)
  builder = tfds.builder_from_directory(str(tmp_path))
  record = next(tfrecord.read_records(builder.info.splits["test"].filepaths[0]))
  example = builder.info.features.deserialize_example_np(record)
  for name, value in track.labels.items():
    np.testing.assert_array_equal(np.stack(example[name]), value)


def test_features_describe_every_label():
  features = dataset_info.features(64, schema.LABELS)
  others = {"person", "video", "track", "chunk", "frames", "frame_index"}
  assert set(features) == others | set(schema.LABELS)
  for name, (dtype, shape) in schema.LABELS.items():
    # The first axis is that of the frames.
    assert features[name].shape == (None, *shape), name
    assert features[name].np_dtype == dtype, name


def test_only_common_labels_are_described(frames, tmp_path):
  units = sources.collect(
    [sources.Source(frames), sources.Source("synthetic")], 1, 1
  )
  settings = extract.Settings(
    size_px=32, num_people=1, tracks_per_person=1, num_frames=2
  )
  assert (
    build.build(units, str(tmp_path), settings, build.Plan())["labels"] == []
  )
  builder = tfds.builder_from_directory(str(tmp_path))
  for path in builder.info.splits["train"].filepaths:
    for record in tfrecord.read_records(path):
      builder.info.features.deserialize_example_np(record)


def test_workers_do_not_change_a_byte(frames, tmp_path):
  make(frames, tmp_path / "one")
  make(frames, tmp_path / "four", workers=4)
  assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_workers_do_not_change_a_byte_of_synthetic_tracks(tmp_path):
  units = sources.collect([sources.Source("synthetic")], 20, 2)
  assert len(units) == 5  # More than workers: they are done in any order.
  settings = extract.Settings(
    size_px=16, num_people=20, tracks_per_person=2, num_frames=2, maps=True
  )
  for workers in (1, 4):
    output = str(tmp_path / str(workers))
    build.build(units, output, settings, build.Plan(), workers=workers)
  assert contents(tmp_path / "1") == contents(tmp_path / "4")


def test_workers_do_not_change_a_byte_of_real_videos(shared, tmp_path):
  pytest.importorskip("av")
  clips = sorted((shared / "data" / "videos").glob("*.mpg"))[:2]
  units = sources.collect([sources.Source(str(clip)) for clip in clips])
  settings = extract.Settings(size_px=64, fps=5)
  for workers in (1, 2):
    output = str(tmp_path / str(workers))
    build.build(units, output, settings, build.Plan(), workers=workers)
  assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_real_talking_faces_are_found_and_followed(shared, tmp_path):
  pytest.importorskip("av")
  clips = str(shared / "data" / "videos")
  manifest = make(clips, tmp_path, extract.Settings(size_px=64), workers=2)
  assert len(manifest["videos"]) >= 7
  for report in manifest["videos"]:
    assert report["num_tracks"] == 1
    assert report["num_detected"] >= 0.7 * report["num_kept"]
    followed = report["num_detected"] + report["num_interpolated"]
    assert followed >= 0.9 * report["num_kept"]


def test_interrupted_run_goes_on_with_the_same_bytes(frames, tmp_path):
  make(frames, tmp_path / "whole")
  seen = []

  def stop(report, is_new):
    seen.append(report.person)
    if len(seen) == 3:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    make(frames, tmp_path / "cut", on_unit=stop)
  assert os.listdir(tmp_path / "cut") == [parts.FOLDER]
  done = {
    name: os.stat(tmp_path / "cut" / parts.FOLDER / name).st_mtime_ns
    for name in os.listdir(tmp_path / "cut" / parts.FOLDER)
    if name.endswith(".tfrecord")
  }
  assert len(done) == 3

  new = []

  def check(report, is_new):
    new.append(is_new)
    for name, time in done.items():  # Not made again.
      path = tmp_path / "cut" / parts.FOLDER / name
      assert path.stat().st_mtime_ns == time

  make(frames, tmp_path / "cut", on_unit=check)
  assert new == [False] * 3 + [True] * 3
  assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_killed_process_leaves_nothing_that_looks_finished(frames, tmp_path):
  make(frames, tmp_path / "whole")
  script = f"""
import os, signal
from facerep_jax.data import build, extract, sources
def die(path): os.kill(os.getpid(), signal.SIGKILL)
build.index.write = die  # In the middle of writing shards.
units = sources.collect([sources.Source({frames!r})])
build.build(units, {str(tmp_path / "cut")!r},
            extract.Settings(size_px=32, chunk=4), build.Plan())
"""
  done = subprocess.run([sys.executable, "-c", script], check=False)
  assert done.returncode == -9
  assert not (tmp_path / "cut" / "manifest.json").exists()
  # Another number of shards, so that old ones would be in the way.
  plan = build.Plan(shard_bytes=3000)
  make(frames, tmp_path / "cut", plan=plan)
  make(frames, tmp_path / "many", plan=plan)
  assert contents(tmp_path / "cut") == contents(tmp_path / "many")


def test_unfinished_run_with_other_settings_is_not_mixed(frames, tmp_path):
  def stop(report, is_new):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    make(frames, tmp_path, on_unit=stop)
  other = extract.Settings(size_px=48, chunk=4)
  with pytest.raises(errors.InputError, match=r"size_px \(was 32, is 48\)"):
    make(frames, tmp_path, other)
  manifest = make(frames, tmp_path, other, overwrite=True)
  frame = stored(tmp_path, manifest)[0].frames[0]
  assert images.decode(frame, "").pixels.shape == (48, 48, 3)


def test_finished_dataset_is_left_alone(frames, tmp_path):
  manifest = make(frames, tmp_path)
  before = contents(tmp_path)

  def never(report, is_new):
    raise AssertionError("made again")

  assert make(frames, tmp_path, on_unit=never) == manifest
  for change in (
    {"settings": extract.Settings(size_px=48)},
    {"plan": build.Plan(seed=1)},
  ):
    with pytest.raises(errors.InputError, match="finished dataset of other"):
      make(frames, tmp_path, **change)
  assert contents(tmp_path) == before
  (tmp_path / "notes.txt").write_text("mine")
  make(frames, tmp_path, plan=build.Plan(seed=1), overwrite=True)
  assert contents(tmp_path) != before
  assert (tmp_path / "notes.txt").read_text() == "mine"


def _finds_faces(monkeypatch, path):
  """Lets datasets be made with no detector but a file of CenterFace's name."""
  monkeypatch.setattr(build.detect.center_face, "find_file", lambda: path)
  monkeypatch.setattr(extract, "check_tools", lambda units, settings: None)
  face = np.array([[4, 4, 24, 24, 1.0]], np.float32)
  monkeypatch.setattr(extract, "_detector", lambda model: lambda image: face)
  return dataclasses.replace(SMALL, find_faces=True)


def test_datasets_of_two_detectors_are_not_taken_for_one(
  frames, tmp_path, monkeypatch
):
  settings = _finds_faces(monkeypatch, None)
  manifest = make(frames, tmp_path / "out", settings)
  assert manifest["settings"]["detector"] == "cascade"
  asked = dataclasses.replace(settings, detector="cascade")
  assert make(frames, tmp_path / "out", asked) == manifest
  (tmp_path / "centerface.onnx").write_bytes(b"made up")
  _finds_faces(monkeypatch, str(tmp_path / "centerface.onnx"))
  assert make(frames, tmp_path / "out", asked) == manifest
  with pytest.raises(errors.InputError, match="finished dataset of other"):
    make(frames, tmp_path / "out", settings)
  manifest = make(frames, tmp_path / "new", settings)
  assert manifest["settings"]["detector"] == "centerface"


def test_where_no_face_is_looked_for_the_detector_does_not_matter(
  frames, tmp_path, monkeypatch
):
  manifest = make(frames, tmp_path / "out")
  assert manifest["settings"]["detector"] is None
  (tmp_path / "centerface.onnx").write_bytes(b"made up")
  _finds_faces(monkeypatch, str(tmp_path / "centerface.onnx"))
  assert make(frames, tmp_path / "out") == manifest


def test_two_processes_do_not_write_to_one_folder(frames, tmp_path):
  def again(report, is_new):
    with pytest.raises(errors.InputError, match="another process"):
      make(frames, tmp_path)

  make(frames, tmp_path, on_unit=again)


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
  for i in range(3):
    (tmp_path / f"{i}.jpg").write_bytes(b"")
  with pytest.raises(errors.InputError, match="3 x empty file"):
    make(str(tmp_path), tmp_path / "out")
  assert os.listdir(tmp_path / "out") == []


def test_folders_need_neither_opencv_nor_pyav(frames, tmp_path):
  make(frames, tmp_path / "with")
  script = f"""
import sys
sys.modules["cv2"] = sys.modules["av"] = None  # Importing them now fails.
from facerep_jax.data import build, extract, sources
units = sources.collect([sources.Source({frames!r})])
build.build(units, {str(tmp_path / "without")!r},
            extract.Settings(size_px=32, chunk=4), build.Plan())
"""
  subprocess.run([sys.executable, "-c", script], check=True)
  assert contents(tmp_path / "without") == contents(tmp_path / "with")


def test_dead_worker_is_a_clear_error(frames, tmp_path, monkeypatch):
  def die(*args):
    raise concurrent.futures.process.BrokenProcessPool

  monkeypatch.setattr(concurrent.futures.ProcessPoolExecutor, "submit", die)
  with pytest.raises(errors.InputError, match="worker process died"):
    make(frames, tmp_path, workers=2)


def test_full_disk_is_a_clear_error(frames, tmp_path, monkeypatch):
  def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(tfrecord.Writer, "write", full)
    with pytest.raises(errors.InputError, match="No space left.*to go on"):
      make(frames, tmp_path)
  make(frames, tmp_path)


def test_output_that_is_a_file_is_refused(frames, tmp_path):
  (tmp_path / "out").write_text("")
  with pytest.raises(
    errors.InputError, match="expected a folder, or a place to make it"
  ):
    make(frames, tmp_path / "out")


def test_split_of_few_people_is_by_track_and_logged(frames, tmp_path, caplog):
  units = sources.collect([sources.Source(f"{frames}/p0", "frames")])
  with caplog.at_level("INFO", logger="facerep_jax"):
    manifest = build.build(units, str(tmp_path), SMALL, build.Plan())
  assert manifest["split_by"] == "track"
  assert "split is by track" in caplog.text


def test_order_and_bytes_are_those_of_the_source_not_of_the_clock(
  frames, tmp_path
):
  first = make(frames, tmp_path / "one")
  second = make(frames, tmp_path / "two")
  assert first["fingerprint"] == second["fingerprint"]
  moved = make(frames, tmp_path / "three", plan=build.Plan(seed=1))
  assert moved["fingerprint"] != first["fingerprint"]


def test_people_of_one_clip_are_in_one_split(tmp_path, monkeypatch):
  def two_tracks(unit, settings, report):
    entry = unit.entries[0]
    report.num_tracks, report.num_divided = 2, 1
    for number, person in enumerate([entry.person, f"{entry.video}#2"]):
      picture = Image.new("RGB", (32, 32))
      data = images.encode_jpeg(np.asarray(picture), 95)
      yield schema.Track(
        person, entry.video, f"{number:05d}", 0, [data], np.zeros(1, np.int64)
      )

  monkeypatch.setattr(extract, "extract", two_tracks)
  monkeypatch.setattr(extract, "check_tools", lambda units, settings: None)
  for name in ("anna/1", "anna/2", "bo/1", "cem/1", "dan/1"):
    path = tmp_path / "in" / f"{name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
  manifest = make(str(tmp_path / "in"), tmp_path / "out")
  places = {}
  for split, found in manifest["splits"].items():
    shards = [os.path.join(tmp_path / "out", x) for x in found["shards"]]
    for shard in shards:
      for record in tfrecord.read_records(shard):
        track = schema.parse(record)
        places.setdefault(track.video.split("/")[0], set()).add(split)
  # Both faces of anna's clips, and both clips, are where anna is.
  assert len(places) == 4 and all(len(x) == 1 for x in places.values())
  total = manifest["sources"][str(tmp_path / "in")]
  assert (total["people"], total["num_divided"]) == (4 + 5, 5)


def test_parts_that_are_a_link_are_left_alone(frames, tmp_path):
  outside, output = tmp_path / "outside", tmp_path / "out"
  outside.mkdir()
  output.mkdir()
  (outside / "precious.txt").write_text("precious")
  (output / parts.FOLDER).symlink_to(outside)
  for overwrite in (False, True):
    with pytest.raises(errors.InputError, match="is a symbolic link") as caught:
      make(frames, output, overwrite=overwrite)
    assert str(output / parts.FOLDER) in str(caught.value)
  assert contents(outside) == {"precious.txt": b"precious"}


def test_planted_links_are_not_written_through(frames, tmp_path):
  victim, output = tmp_path / "victim", tmp_path / "out"
  (output / parts.FOLDER).mkdir(parents=True)
  victim.write_text("precious")
  shard = "tracks-train.tfrecord-00000-of-00001"
  names = ("manifest.json", "dataset_info.json", "features.json", shard)
  for name in (
    *names,
    f"{shard}.index",
    f"{shard}.tmp",
    ".parts/settings.json",
  ):
    (output / name).symlink_to(tmp_path / "nowhere")
    if name in names:
      (output / name).unlink()
      (output / name).symlink_to(victim)
  (output / ".parts" / "settings.json").unlink()
  make(frames, output, overwrite=True)
  assert victim.read_text() == "precious"
  assert not (tmp_path / "nowhere").exists()
  assert not any((output / x).is_symlink() for x in (*names, f"{shard}.index"))


def test_a_lock_that_is_a_link_is_refused(frames, tmp_path):
  victim = tmp_path / "victim"
  victim.write_text("precious")
  (tmp_path / "out" / parts.FOLDER).mkdir(parents=True)
  (tmp_path / "out" / parts.FOLDER / "lock").symlink_to(victim)
  with pytest.raises(errors.InputError, match="lock: is a symbolic link"):
    make(frames, tmp_path / "out")
  assert victim.read_text() == "precious"


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_damaged_notes_of_an_unfinished_run(frames, tmp_path, text):
  (tmp_path / parts.FOLDER).mkdir()
  note = tmp_path / parts.FOLDER / "settings.json"
  note.write_text(text, encoding="latin-1")
  with pytest.raises(errors.InputError, match="settings.json: is damaged"):
    make(frames, tmp_path)
  make(frames, tmp_path, overwrite=True)
  (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
  with pytest.raises(errors.InputError, match="manifest.json: is damaged"):
    make(frames, tmp_path)


def test_parts_of_who_was_killed_at_the_very_end_are_deleted(frames, tmp_path):
  make(frames, tmp_path)
  want = contents(tmp_path)
  (tmp_path / parts.FOLDER).mkdir()
  (tmp_path / parts.FOLDER / "a.tfrecord").write_bytes(b"x")
  make(frames, tmp_path)
  assert contents(tmp_path) == want
