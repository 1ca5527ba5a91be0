import os
import shutil

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.tracks import index, schema, tfrecord, track_source
from tests.tracks import helpers


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_missing_shard(tmp_path, lost):
  records = [helpers.track(i) for i in range(6)]
  paths = helpers.write_dataset(tmp_path, records, num_shards=3)
  assert track_source.shard_paths(tmp_path, "train") == paths
  os.unlink(paths[lost])
  with pytest.raises(errors.InputError, match="is missing") as caught:
    helpers.source_of(tmp_path)
  assert paths[lost] in str(caught.value)


def test_shards_of_two_sets(tmp_path):
  records = [helpers.track(i) for i in range(6)]
  helpers.write_dataset(tmp_path, records, num_shards=3)
  helpers.write_dataset(tmp_path, records, num_shards=2)
  with pytest.raises(errors.InputError, match="belong to several data sets"):
    helpers.source_of(tmp_path)


def test_folder_without_manifest(folder):
  os.unlink(folder / "manifest.json")
  with pytest.raises(errors.InputError, match="is incomplete") as caught:
    helpers.source_of(folder)
  assert "\n" not in str(caught.value)
  with pytest.raises(errors.InputError, match="does not exist"):
    helpers.source_of(folder / "other")


def test_unknown_split(folder):
  with pytest.raises(errors.InputError, match="holds no split 'dev'"):
    helpers.source_of(folder, "dev")


def test_splits_are_apart(folder):
  helpers.write_dataset(folder, [helpers.track(9)], split="test")
  assert len(helpers.source_of(folder)) == 5
  assert helpers.source_of(folder, "test").index.person.tolist() == ["p9"]


def test_record_that_was_bad_before_the_index_is_counted(folder):
  helpers.damage(folder, 1)
  [path] = track_source.shard_paths(folder, "train")
  os.unlink(path + index.SUFFIX)
  with pytest.raises(tfrecord.BadRecordError, match="record 1: the checksum"):
    helpers.source_of(folder)
  source = helpers.source_of(folder, on_bad_record="skip")
  assert (len(source), source.num_bad) == (4, 1)
  samples = helpers.samples_of(source, sample_by="chunk", on_bad_record="skip")
  # Messages name the number in the file.
  assert source.name(1) == f"{path}: record 2"
  assert sorted(int(samples[i]["record"]) for i in range(4)) == [0, 1, 2, 3]


def test_set_without_a_usable_record(tmp_path):
  helpers.write_dataset(tmp_path, [b"?", b"?"])
  with pytest.raises(errors.InputError, match="'train' holds no usable track"):
    helpers.source_of(tmp_path, on_bad_record="skip")


def test_fingerprint_is_of_the_records_not_of_the_place(folder, tmp_path):
  want = helpers.source_of(folder).fingerprint()
  copy = tmp_path / "elsewhere" / "copy"
  shutil.copytree(folder, copy)
  assert helpers.source_of(copy).fingerprint() == want
  for path in copy.glob("*.index"):
    path.unlink()
  assert helpers.source_of(copy).fingerprint() == want


@pytest.mark.parametrize("change", ["frame", "person", "order", "fewer"])
def test_fingerprint_changes_with_the_records(folder, change):
  want = helpers.source_of(folder).fingerprint()
  records = [helpers.track(i) for i in range(5)]
  sizes = [len(schema.serialize(record)) for record in records]
  if change == "frame":
    records[2].frames[1] = helpers.frame(2, 1, blue=1)
  if change == "person":
    records[2].person = "p9"
  if change == "order":
    records[1], records[2] = records[2], records[1]
  if change == "fewer":
    records.pop()
  else:  # Sizes alone would not tell.
    assert [len(schema.serialize(record)) for record in records] == sizes
  other = folder.parent / "other"
  helpers.write_dataset(other, records)
  assert helpers.source_of(other).fingerprint() != want


def test_maps_are_read_when_asked_for(tmp_path):
  track = helpers.track(0, 2)
  track.maps = {"depth_png": [b"a", b"b"], "mask_png": [b"c", b"d"]}
  helpers.write_dataset(tmp_path, [track])
  source = helpers.source_of(tmp_path)
  assert source.read(0).maps == {}
  assert source.read(0, (), ("mask_png",)).maps == {"mask_png": [b"c", b"d"]}
  assert source.read(0, (), schema.MAPS).maps == track.maps


@pytest.mark.parametrize("most", [0, 2**21])
def test_frames_are_the_same_the_first_time_and_later(
  folder, most, monkeypatch
):
  monkeypatch.setattr(track_source, "_MOST_PLACES", most)
  source = helpers.source_of(folder)
  for picks in ([2], [3, 0], np.array([1, 1, 2]), range(4)):
    for record in range(len(source)):
      want = source.read(record).frames
      assert source.read_frames(record, picks) == [want[i] for i in picks]


def test_frames_of_records_laid_out_otherwise_are_parsed(folder, monkeypatch):
  monkeypatch.setattr(schema, "frame_places", lambda record: None)
  source = helpers.source_of(folder)
  assert source.read_frames(1, [3]) == [helpers.frame(1, 3)]


def test_later_only_the_wanted_frames_are_read(folder, monkeypatch):
  source = helpers.source_of(folder)
  first = source.read_frames(1, [0, 2])
  monkeypatch.setattr(source, "_read", None)  # Of whole records.
  assert source.read_frames(1, [0, 2]) == first
  assert source.read_frames(1, [3]) == [helpers.frame(1, 3)]


def test_damage_is_found_after_the_first_time(folder):
  source = helpers.source_of(folder)
  for record in range(5):
    source.read_frames(record, range(4))
  helpers.damage(folder, 3)
  with pytest.raises(tfrecord.BadRecordError, match="record 3: the checksum"):
    source.read_frames(3, range(4))
  assert source.read_frames(2, [1]) == [helpers.frame(2, 1)]
