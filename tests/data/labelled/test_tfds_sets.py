import io

import numpy as np
import pytest
import tensorflow_datasets as tfds

from facerep_jax import errors
from facerep_jax.data.labelled import open_set, tfds_sets
from facerep_jax.tracks import tfrecord
from tests.data.labelled import tiny

_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_AXES = [f"{point}_{axis}" for point in _POINTS for axis in "xy"]
_MARKS = np.array([[69, 111], [109, 111], [89, 130], [73, 152], [108, 152]])


def _write(root, name, features, splits, version="2.1.0", suffix="tfrecord"):
  folder = root / name / version
  folder.mkdir(parents=True)
  infos = []
  for split, examples in splits.items():
    shards = np.array_split(np.arange(len(examples)), 2)
    for number, shard in enumerate(shards):
      file = f"{name}-{split}.tfrecord-{number:05d}-of-00002"
      with tfrecord.Writer(folder / file) as writer:
        for i in shard:
          writer.write(features.serialize_example(examples[i]))
    infos.append(
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[len(shard) for shard in shards],
        num_bytes=1,
      )
    )
  tfds.folder_dataset.write_metadata(
    data_dir=str(folder),
    features=features,
    split_infos=infos,
    check_data=False,
    description="A test.",
  )
  return folder


def _celeb_a(root, identity=True, shape=(218, 178, 3), **options):
  kinds = {
    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
    "landmarks": {name: np.int64 for name in _AXES},
    "attributes": {name: np.bool_ for name in ("Young", "Male")},
  }
  if identity:
    kinds["identity"] = {"Identity_No": np.int64}
  marks = dict(zip(_AXES, _MARKS.ravel().tolist()))

  def example(i):
    pixels = np.zeros(shape, np.uint8)
    for x, y in _MARKS:
      pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
    held = {
      "image": io.BytesIO(tiny.jpeg(pixels)),
      "landmarks": marks,
      "attributes": {"Male": i % 2 == 0, "Young": i == 0},
    }
    if identity:
      held["identity"] = {"Identity_No": 100 + i}
    return held

  splits = {
    "test": [example(0)],
    "train": [example(i) for i in range(3)],
    "validation": [example(2), example(0)],
  }
  features = tfds.features.FeaturesDict(kinds)
  return _write(root, "celeb_a", features, splits, **options)


def test_celeb_a(tmp_path):
  _celeb_a(tmp_path)
  parts = open_set.open_data(f"tfds:celeb_a:{tmp_path}")
  sizes = {name: len(part) for name, part in parts.items()}
  assert list(sizes.items()) == [("train", 3), ("validation", 2), ("test", 1)]
  train = parts["train"]
  assert train.classes["attributes"] == ("Male", "Young")
  assert train.labels["attributes"].tolist() == [[1, 1], [0, 0], [1, 0]]
  assert train.group.tolist() == ["100", "101", "102"]
  assert train.names[2] == "celeb_a-train.tfrecord-00001-of-00002 record 0"
  assert train.cut == "track" and train.read(0).shape == (178, 178, 3)
  np.testing.assert_array_equal(
    train.labels["landmarks_px"][1], _MARKS - [0, 35]
  )


@pytest.mark.parametrize(
  "crop, cut, side", [("square", "track", 178), ("mafl", "face", 113)]
)
def test_landmarks_stay_on_what_they_mark(tmp_path, crop, cut, side):
  _celeb_a(tmp_path, identity=False)
  part = open_set.open_data(f"tfds:celeb_a:{tmp_path}:crop={crop}")["test"]
  image = part.read(0)
  assert part.cut == cut and image.shape == (side, side, 3)
  assert part.group is None
  y, x = np.mgrid[:side, :side]
  for px, py in part.labels["landmarks_px"][0]:
    near = (np.abs(x - px) < 6) & (np.abs(y - py) < 6)
    weight = image[..., 0] * near.astype(float)
    middle = (
      (weight * x).sum() / weight.sum(),
      (weight * y).sum() / weight.sum(),
    )
    # The dots are JPEG, and the window may be a pixel wider on one side.
    np.testing.assert_allclose(middle, (px, py), atol=0.15)


def test_the_mafl_crop_is_what_the_protocol_says(tmp_path):
  _celeb_a(tmp_path)
  whole = tfds_sets.load(f"celeb_a:{tmp_path}", crop="none")["test"]
  image = whole.read(0)
  assert whole.cut == "photo" and image.shape == (218, 178, 3)
  part = tfds_sets.load(f"celeb_a:{tmp_path}", crop="mafl")["test"]
  inner = image[35:][35:-35, 35:-35]
  assert inner.shape == (113, 108, 3)
  # Only the width is stretched, so rows keep their mean but for rounding and
  # what the filter takes from beyond the crop.
  got = part.read(0).mean(axis=(1, 2))
  np.testing.assert_allclose(got, inner.mean(axis=(1, 2)), atol=1.5)


def test_lfw_has_people_and_the_newest_version_is_taken(tmp_path, monkeypatch):
  features = tfds.features.FeaturesDict(
    {
      "label": tfds.features.Text(),
      "image": tfds.features.Image(shape=(250, 250, 3)),
    }
  )
  pixels = np.full((250, 250, 3), 80, np.uint8)

  def write(version, people):
    examples = [
      {"label": person, "image": io.BytesIO(tiny.jpeg(pixels))}
      for person in people
    ]
    _write(tmp_path, "lfw", features, {"train": examples}, version)

  write("0.9.0", ["A", "B", "C"])
  write("0.10.0", ["Ann_B", "Zoe"])
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  [(split, part)] = open_set.open_data("tfds:lfw").items()
  assert split == "all" and part.group.tolist() == ["Ann_B", "Zoe"]
  assert part.cut == "photo" and part.read(1).shape == (250, 250, 3)


def test_refusals(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "env"))
  for text, message in (
    ("celeb_a", f"no prepared dataset in {tmp_path}/env/celeb_a/VERSION. Prep"),
    (f"lfw:{tmp_path}", f"no prepared dataset in {tmp_path}/lfw/VERSION"),
    ("mnist", "with NAME one of lfw, celeb_a"),
  ):
    with pytest.raises(errors.InputError, match=message):
      tfds_sets.load(text)
  for name, expected in (("celeb_a", "square, mafl, none"), ("lfw", "none at")):
    with pytest.raises(
      errors.InputError, match=f"'tight', expected.*{expected}"
    ):
      tfds_sets.load(name, crop="tight")


def test_records_that_do_not_fit(tmp_path):
  folder = _celeb_a(tmp_path, shape=(218, 170, 3))
  part = tfds_sets.load(f"celeb_a:{tmp_path}")["test"]
  with pytest.raises(errors.InputError, match=r"record 0: expected \[218, 178"):
    part.read(0)
  path = folder / "celeb_a-test.tfrecord-00000-of-00002"
  for record, message in (
    (b"", "lacks the feature"),
    (b"\xff", "record 0: not a tf.train.Example"),
  ):
    with tfrecord.Writer(path) as writer:
      writer.write(record)
    with pytest.raises(errors.InputError, match=message):
      tfds_sets.load(f"celeb_a:{tmp_path}")


def test_other_file_formats_are_refused(tmp_path):
  folder = _celeb_a(tmp_path)
  info = folder / "dataset_info.json"
  info.write_text(info.read_text().replace('"tfrecord"', '"array_record"'))
  with pytest.raises(errors.InputError, match="prepared as array_record, exp"):
    tfds_sets.load(f"celeb_a:{tmp_path}")
