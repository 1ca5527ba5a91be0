"""Whole records that are gone, doubled or elsewhere; each record is sound."""

import json
import os
import pathlib

import pytest

from facerep_jax import errors
from facerep_jax.tracks import contents, index, tfrecord
from tests.tracks import helpers


def _records(path):
  return list(tfrecord.read_records(path))


def _drop(paths):
  helpers.write_shard(paths[0], _records(paths[0])[1:])


def _double(paths):
  records = _records(paths[0])
  helpers.write_shard(paths[0], [records[0], *records])


def _swap(paths):
  first, second, *rest = _records(paths[0])
  helpers.write_shard(paths[0], [second, first, *rest])


def _replace(paths):
  """As many records, of as many bytes; one person is there twice."""
  first, _, *rest = _records(paths[0])
  helpers.write_shard(paths[0], [first, first, *rest])


def _empty(paths):
  pathlib.Path(paths[1]).write_bytes(b"")


def _exchange(paths):
  for path, records in zip(paths, [_records(x) for x in reversed(paths)]):
    helpers.write_shard(path, records)


MUTATIONS = {
  "dropped": _drop,
  "doubled": _double,
  "swapped": _swap,
  "replaced": _replace,
  "emptied shard": _empty,
  "exchanged shards": _exchange,
}
# With an index of its own each of these is what counts tell, too.
COUNTED = ("dropped", "doubled", "emptied shard")


@pytest.fixture
def paths(tmp_path):
  """Six people in two shards, as `build` writes them."""
  records = [helpers.track(i) for i in range(6)]
  paths = helpers.write_dataset(tmp_path, records, num_shards=2)
  shards = [index.write(path) for path in paths]
  known = {
    "records": 6,
    "frames": 24,
    "bytes": sum(int(x.length.sum()) for x in shards),
    "shards": [os.path.basename(x) for x in paths],
    "checksums": [contents.digest(x) for x in shards],
  }
  _write_manifest(tmp_path, known)
  return paths


def _write_manifest(folder, known):
  text = json.dumps({"splits": {"train": known}})
  (folder / "manifest.json").write_text(text)


def _read_all(folder, **options):
  source = helpers.source_of(folder, **options)
  return [source.read(i).person for i in range(len(source))], source


def test_a_set_that_was_left_alone_is_read(tmp_path, paths):
  people = [f"p{i}" for i in range(6)]
  assert _read_all(tmp_path)[0] == people
  for path in paths:
    os.unlink(path + index.SUFFIX)
  assert _read_all(tmp_path)[0] == people


@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_sets_are_refused(tmp_path, paths, name, has_index):
  MUTATIONS[name](paths)
  if not has_index:
    for path in paths:
      os.unlink(path + index.SUFFIX)
  with pytest.raises(errors.InputError) as caught:
    _read_all(tmp_path)
  assert "tracks-train.tfrecord-0000" in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_sets_of_old_manifests_are_refused(tmp_path, paths, name):
  known = json.loads((tmp_path / "manifest.json").read_text())
  del known["splits"]["train"]["checksums"]
  _write_manifest(tmp_path, known["splits"]["train"])
  MUTATIONS[name](paths)
  if name in COUNTED:  # Where the index cannot help.
    for path in paths:
      os.unlink(path + index.SUFFIX)
  with pytest.raises(errors.InputError) as caught:
    _read_all(tmp_path)
  assert (" instead of " in str(caught.value)) == (name in COUNTED)


@pytest.mark.parametrize("name, lost", [("dropped", 1), ("emptied shard", 3)])
def test_what_is_lost_is_counted_where_it_may_be(
  tmp_path, paths, name, lost, caplog
):
  MUTATIONS[name](paths)
  people, source = _read_all(tmp_path, on_bad_record="skip")
  assert (len(people), source.num_bad) == (6 - lost, lost)
  assert "other records than were written" in caplog.text


def test_shards_of_another_set_of_the_same_name(tmp_path, paths):
  for old, new in zip(paths, ("00000", "00001")):
    os.rename(old, tmp_path / f"other-train.tfrecord-{new}-of-00002")
  with pytest.raises(errors.InputError, match="names 2 other shards"):
    _read_all(tmp_path)


@pytest.mark.parametrize(
  "text", ["", "[]", '{"splits": 3}', '{"splits": {"train": 1}}']
)
def test_damaged_manifest(tmp_path, paths, text):
  (tmp_path / "manifest.json").write_text(text)
  with pytest.raises(errors.InputError, match="manifest.json: is damaged"):
    _read_all(tmp_path)


def test_names_in_the_index_are_part_of_the_fingerprint(folder):
  source = helpers.source_of(folder)
  before = source.fingerprint()
  assert source.is_of(before) and not source.is_of("2-0123456789abcdef")
  old = source._records_digest().hexdigest()[:16]
  assert source.is_of(old)  # Of a run that began with an older version.
  source.index.person[0] = "p9"
  assert source.fingerprint() != before and not source.is_of(before)
