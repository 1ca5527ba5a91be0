import dataclasses
import logging
import os

import numpy as np
import pytest

from facerep_jax.tracks import index, schema, tfrecord
from tests.tracks import helpers

TRACKS = [
  helpers.track(0, 3),
  helpers.track(1, 1, person="Zoë", video="a/b"),
  helpers.track(2, 5, labels={"yaw_rad": np.zeros(5)}),
]


@pytest.fixture
def path(tmp_path):
  return helpers.write_shard(tmp_path / "x", TRACKS)


@pytest.fixture
def num_built(monkeypatch):
  """Shards that were read to make their index."""
  built, build = [], index.build

  def counted(path, **options):
    built.append(path)
    return build(path, **options)

  monkeypatch.setattr(index, "build", counted)
  return built


def assert_same(got, want):
  for field in dataclasses.fields(index.Index):
    np.testing.assert_array_equal(
      getattr(got, field.name), getattr(want, field.name), strict=True
    )


def data_of(path, number):
  """Where the data of a record starts and ends."""
  offset, length = list(tfrecord.scan(path))[number]
  return offset, offset + length


def test_index_says_what_records_hold(path):
  got, num_bad = index.build(path)
  assert num_bad == 0
  records = [schema.serialize(track) for track in TRACKS]
  for i, record in enumerate(records):
    start = got.offset[i]
    with open(path, "rb") as file:
      assert file.read()[start : start + got.length[i]] == record
    assert got.checksum[i] == tfrecord.masked_crc32c(record)
  assert got.number.tolist() == [0, 1, 2]
  assert got.num_frames.tolist() == [3, 1, 5]
  assert got.person.tolist() == ["p0", "Zoë", "p2"]
  assert got.video.tolist() == ["p0/v", "Zoë/a/b", "p2/v"]
  reader = tfrecord.Reader([path])
  assert reader.read(0, 2, got.offset[2], got.length[2]) == records[2]


def test_index_is_stored_and_used_again(path, num_built):
  first, _ = index.load(path)
  assert sorted(os.listdir(os.path.dirname(path))) == ["x", "x.index"]
  second, num_bad = index.load(path)
  assert num_built == [path]
  assert num_bad == 0
  assert_same(second, first)


def test_written_index_is_used(path, num_built):
  index.write(path)
  index.load(path)
  assert num_built == [path]


def test_index_of_a_shard_that_changed_is_made_again(path, num_built):
  index.load(path)
  helpers.write_shard(path, TRACKS[:2])
  got, _ = index.load(path)
  assert got.num_frames.tolist() == [3, 1]
  assert num_built == [path, path]
  assert_same(index.load(path)[0], got)
  assert len(num_built) == 2


def test_damaged_index_is_never_used(path):
  want, _ = index.load(path)
  stored = path + index.SUFFIX
  size = os.path.getsize(stored)
  for position in range(0, size, 97):
    helpers.flip(stored, position)
    assert index._load_stored(path) is None
    helpers.flip(stored, position)
  assert_same(index._load_stored(path), want)
  for keep in (size - 1, size // 2, 4, 3, 0):
    os.truncate(stored, keep)
    assert index._load_stored(path) is None
  assert_same(index.load(path)[0], want)
  assert os.path.getsize(stored) == size


def test_index_of_another_version_is_made_again(path, num_built, monkeypatch):
  monkeypatch.setattr(index, "VERSION", index.VERSION + 1)
  index.write(path)
  monkeypatch.undo()
  assert index._load_stored(path) is None


def test_folder_that_cannot_be_written(path, monkeypatch, caplog):
  caplog.set_level(logging.INFO)

  def refuse(source, target):
    raise OSError(30, "Read-only file system")

  monkeypatch.setattr(os, "replace", refuse)
  got, _ = index.load(path)
  assert len(got.offset) == 3
  assert "not stored (Read-only file system)" in caplog.text
  assert os.listdir(os.path.dirname(path)) == ["x"]


def test_empty_shard(tmp_path):
  path = helpers.write_shard(tmp_path / "x", [])
  assert len(index.load(path)[0].person) == 0
  assert len(index.load(path)[0].person) == 0


def without_frames():
  record = schema.serialize(helpers.track(0, 1))
  return record.replace(b"frames", b"framez")


@pytest.mark.parametrize(
  ("record", "text"),
  [(without_frames(), "holds no frames"), (b"?", "not a tf.train.Example")],
)
def test_record_that_holds_no_track(tmp_path, record, text):
  path = helpers.write_shard(tmp_path / "x", [TRACKS[0], record, TRACKS[2]])
  with pytest.raises(tfrecord.BadRecordError) as caught:
    index.load(path)
  assert str(caught.value).startswith(f"{path}: record 1: {text}")
  assert "\n" not in str(caught.value)
  got, num_bad = index.load(path, on_bad_record="skip")
  assert num_bad == 1
  assert got.number.tolist() == [0, 2]
  assert got.num_frames.tolist() == [3, 5]
  # No index hides the bad record from a run that asks for an error.
  assert os.listdir(tmp_path) == ["x"]


def test_damaged_data_is_skipped_alone(path):
  helpers.flip(path, data_of(path, 1)[0])
  with pytest.raises(tfrecord.BadRecordError, match="record 1: the checksum"):
    index.load(path)
  got, num_bad = index.load(path, on_bad_record="skip")
  assert (got.number.tolist(), num_bad) == ([0, 2], 1)


def test_damaged_header_ends_the_shard(path):
  helpers.flip(path, data_of(path, 1)[0] - tfrecord.HEADER_BYTES)
  with pytest.raises(tfrecord.BadRecordError, match="record 1"):
    index.load(path)
  got, num_bad = index.load(path, on_bad_record="skip")
  assert (got.number.tolist(), num_bad) == ([0], 1)


def test_cut_shard(path):
  os.truncate(path, data_of(path, 2)[1] - 10)
  with pytest.raises(tfrecord.BadRecordError, match="record 2 is cut off"):
    index.load(path)
  got, num_bad = index.load(path, on_bad_record="skip")
  assert (got.number.tolist(), num_bad) == ([0, 1], 1)


def test_joined_indexes(path, tmp_path):
  other = helpers.write_shard(tmp_path / "y", [TRACKS[2], b"?", TRACKS[1]])
  empty = helpers.write_shard(tmp_path / "z", [])
  paths = [path, empty, other]
  shards, num_bad = index.load_all(paths, on_bad_record="skip")
  assert num_bad == 1
  got, file = index.join(shards)
  assert file.tolist() == [0, 0, 0, 2, 2]
  assert got.number.tolist() == [0, 1, 2, 0, 2]
  assert got.person.tolist() == ["p0", "Zoë", "p2", "p2", "Zoë"]
  with pytest.raises(tfrecord.BadRecordError, match="y: record 1"):
    index.load_all(paths)
