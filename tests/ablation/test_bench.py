import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.ablation import bench, rows
from facerep_jax.data.labelled import base, track_pairs
from facerep_jax.evaluators import bootstrap, features
from tests.evaluators import made_up

COLUMNS = rows.COLUMNS["latentface"]


@pytest.fixture
def images():
  """44 people with two tracks of four frames, half of them for training."""
  person, video, frame = (
    x.ravel() for x in np.mgrid[:44, :2, :4].astype(np.int64)
  )
  count = len(person)
  source = base.Labelled(
    name="made up",
    split="all",
    names=tuple(map(str, range(count))),
    labels={
      "track": np.array([f"{p:02d}/{v}" for p, v in zip(person, video)]),
      "expression": (frame + person) % 4,
    },
    group=np.array([f"{p:02d}" for p in person]),
    classes={"expression": ("a", "b", "c", "d")},
    cut="track",
    read=lambda i: np.zeros((8, 8, 3), np.uint8),
  )
  pixels = np.zeros((count, 8, 8, 3), np.uint8)
  crops = features.Crops(source, pixels, source.labels)
  train, test = np.flatnonzero(person < 22), np.flatnonzero(person >= 22)
  pairs = track_pairs.draw(base.subset(source, test), 200)
  return bench.Bench(crops, train, test, pairs)


def test_features_that_tell_one_thing_are_seen_to(images, monkeypatch):
  made_up.hurry(monkeypatch, 1.0)
  rng = np.random.default_rng(0)
  _, person = np.unique(images.crops.group, return_inverse=True)
  expression = images.crops.labels["expression"]
  noise = 0.01 * rng.normal(size=(len(person), 30))
  codes = rng.normal(size=(44, 30))
  identity = codes[person] + noise
  signs = rng.normal(size=(4, 30))
  expressive = signs[expression] + noise
  row = {"identity": identity, "expression": expressive}
  found = [x["value"] for x in bench.measure(images, row, COLUMNS)]
  assert found[:2] == [100.0, 100.0]
  # Chance is 50 %; a threshold must be chosen, and people are few.
  assert abs(found[2] - 50) < 15 and abs(found[3] - 50) < 15


def test_intervals_draw_people(images, monkeypatch):
  made_up.hurry(monkeypatch, 1.0)
  values = np.random.default_rng(1).normal(size=(len(images.crops), 5))
  row = {"identity": values, "expression": values}
  for score in bench.measure(images, row, COLUMNS):
    assert score["low"] < score["value"] < score["high"]
    ends = bootstrap.ends(np.array(score["drawn"]))
    # As many digits as are kept.
    np.testing.assert_allclose(ends, [score["low"], score["high"]], atol=1e-4)


def test_tracks_need_parts_and_labels(tmp_path):
  with pytest.raises(errors.InputError, match="KIND:PATH"):
    bench.open_data("nothing")
  made_up.write_tracks(tmp_path / "set")
  assert set(bench.open_data(f"tracks:{tmp_path}/set")) == set(made_up.PEOPLE)


def test_every_nth_image(tmp_path):
  made_up.write_tracks(tmp_path / "set")
  parts = bench.open_data(f"tracks:{tmp_path}/set")
  found = bench.thinned(parts, 3)
  for name, part in parts.items():
    assert found[name].names == part.names[::3]
