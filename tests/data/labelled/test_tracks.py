import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import open_set, tracks
from tests.tracks import helpers


def _labels(number, count=4):
  return {
    "yaw_rad": np.linspace(0, 1, count) + number,
    "expression": np.full(count, number % 8),
    "landmarks_px": np.full((count, 68, 2), number),
  }


@pytest.fixture
def folder(tmp_path):
  for split, numbers in (("train", range(3)), ("test", range(3, 5))):
    records = [helpers.track(i, labels=_labels(i)) for i in numbers]
    helpers.write_dataset(tmp_path / "set", records, split)
  return tmp_path / "set"


@pytest.mark.parametrize("memory", [False, True])
def test_frames_and_labels_go_together(folder, memory):
  parts = tracks.load(str(folder), memory=memory)
  assert list(parts) == ["train", "test"]
  test = parts["test"]
  assert len(test) == 8 and test.split == "test" and test.cut == "track"
  for i in range(8):
    number, frame = 3 + i // 4, i % 4
    assert test.read(i)[0, 0].tolist() == [number, frame, 0]
    assert test.labels["yaw_rad"][i] == np.float32(number + frame / 3)
    assert test.names[i] == f"p{number}/v/t frame {frame}"
    assert test.group[i] == f"p{number}"
  assert test.labels["landmarks_px"].shape == (8, 68, 2)
  assert test.classes["expression"][:3] == ("neutral", "happiness", "sadness")


@pytest.mark.parametrize(
  "frames, chosen",
  [(0, [0, 1, 2, 3]), (1, [2]), (2, [1, 3]), (9, [0, 1, 2, 3])],
)
def test_some_frames_of_each_chunk(folder, frames, chosen):
  train = tracks.load(str(folder), frames=frames)["train"]
  got = [train.read(i)[0, 0, 1] for i in range(len(chosen))]
  assert got == chosen
  assert len(train) == 3 * len(chosen)
  yaw = train.labels["yaw_rad"][: len(chosen)]
  np.testing.assert_allclose(yaw, np.array(chosen) / 3, rtol=1e-6)


def test_a_person_is_the_same_in_every_video(tmp_path):
  names = [("a", "x"), ("a", "y"), ("b", "x")]
  records = [helpers.track(i, 2, *name) for i, name in enumerate(names)]
  helpers.write_dataset(tmp_path, records)
  train = tracks.load(str(tmp_path))["train"]
  assert train.group.tolist() == ["a"] * 4 + ["b"] * 2
  track = train.labels["track"]
  assert track.tolist() == np.repeat(["a/x/t", "a/y/t", "b/x/t"], 2).tolist()


def test_labels_that_not_all_records_have_are_left_out(tmp_path, caplog):
  without = {"yaw_rad": np.zeros(4)}
  records = [
    helpers.track(0, labels=_labels(0)),
    helpers.track(1, labels=without),
  ]
  helpers.write_dataset(tmp_path, records)
  train = tracks.load(str(tmp_path))["train"]
  assert list(train.labels) == ["yaw_rad", "track"] and not train.classes
  assert "p1/v/t: not all records have the label expression" in caplog.text


def test_through_the_text(folder):
  parts = open_set.open_data(f"tracks:{folder}:frames=2:memory=yes:cut=face")
  assert len(parts["train"]) == 6 and parts["train"].cut == "face"
  assert open_set.folder(f"tracks:{folder}:frames=2") == str(folder)


def test_refusals(folder, tmp_path):
  with pytest.raises(errors.InputError, match="does not exist"):
    tracks.load(str(tmp_path / "none"))
  with pytest.raises(errors.InputError, match="frames is -1"):
    tracks.load(str(folder), frames=-1)
  test = tracks.load(str(folder))["test"]
  helpers.damage(folder, 1, "test")
  with pytest.raises(errors.InputError, match="record 1: the checksum"):
    test.read(7)
