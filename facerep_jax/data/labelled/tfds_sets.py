"""LFW and CelebA as TensorFlow Datasets prepares them; nothing is downloaded.

Needs no TensorFlow: the files are found by the metadata beside them, the
records are parsed here.
"""

import os
import pathlib
import re
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from facerep_jax import errors
from facerep_jax.data.labelled import base
from facerep_jax.detection import crop as face_crop
from facerep_jax.files import decode, places
from facerep_jax.tracks import tfrecord

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_NAMES = ("lfw", "celeb_a")
_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_CELEBA_PX = (178, 218)  # Width, height.
# Boxes x0, y0, x1, y1 of the aligned image, and what cut they make.
_CELEBA_BOXES = {
  # All the width; the eyes as far down as in the tracks of `make_tracks`.
  "square": ((0, 35, 178, 213), "track"),
  # Less the top 35 rows, then 35 px on every side: 108 x 113 px, stretched.
  "mafl": ((35, 70, 143, 183), "face"),
  "none": ((0, 0, 178, 218), "photo"),
}


def load(
  path: str, *, crop: str = "", cut: str = ""
) -> dict[str, base.Labelled]:
  """Opens a prepared dataset.

  Args:
    path: NAME, or NAME:DATA_DIR; NAME is "lfw" or "celeb_a", DATA_DIR what
      `tfds.load` calls so: TFDS_DATA_DIR or ~/tensorflow_datasets by default.
      The newest version there is opened.
    crop: Of celeb_a: "square" (default), the square of the width below the
      top 35 rows; "mafl", the crop of the published MAFL protocol; "none".
    cut: As for `Labelled`; by default what the crop makes: "track", "face",
      "photo"; for lfw "photo", whose images show 2.2 times the face's box.

  Returns:
    lfw: "all", people as group. celeb_a: "train", "validation", "test", labels
    attributes [N, 40] 0 or 1, and landmarks_px [N, 5, 2]: eyes, nose, corners
    of the mouth, the image's left before its right; people as group where the
    version has them.

  Raises:
    InputError: The dataset is not there, or not as expected.

  Source: the MAFL crop, Thewlis et al., as the evaluation protocol gives it.
  """
  name, _, data_dir = path.partition(":")
  if name not in _NAMES:
    raise errors.InputError(
      f"tfds:{path}: expected tfds:NAME or tfds:NAME:DATA_DIR, with NAME one "
      f"of {', '.join(_NAMES)}."
    )
  known = tuple(_CELEBA_BOXES) if name == "celeb_a" else ()
  if crop and crop not in known:
    raise errors.InputError(
      f"tfds:{path}: crop is {crop!r}, expected one of "
      f"{', '.join(known) or 'none at all'}."
    )
  folder = _find(name, data_dir)
  parts = {}
  for split, paths in _shards(folder).items():
    if name == "celeb_a":
      parts[split] = _celeb_a(split, paths, crop or "square", cut)
    else:
      parts["all"] = _lfw(paths, cut)
  order = ("train", "validation", "test", "all")
  return {split: parts[split] for split in order if split in parts}


def _find(name, data_dir):
  """Returns the folder of the newest version."""
  root = pathlib.Path(
    data_dir
    or os.environ.get("TFDS_DATA_DIR")
    or places.home(f"tfds:{name}", "TFDS_DATA_DIR") / "tensorflow_datasets"
  )
  versions = sorted(
    (tuple(int(x) for x in match.groups()), folder)
    for folder in (root / name).glob("*.*.*")
    if (match := _VERSION.fullmatch(folder.name))
    and (folder / "dataset_info.json").is_file()
  )
  if not versions:
    raise errors.InputError(
      f"tfds:{name}: no prepared dataset in {root / name}/VERSION. Prepare it "
      f"where TensorFlow is installed (tfds build {name} --data_dir={root} "
      "--file_format=tfrecord), or copy its folder there."
    )
  return versions[-1][1]


def _shards(folder):
  """Returns the files of each split."""
  info = tfds.builder_from_directory(folder).info
  if info.file_format.value != "tfrecord":
    raise errors.InputError(
      f"{folder}: prepared as {info.file_format.value}, expected tfrecord. "
      "Prepare it with --file_format=tfrecord."
    )
  return {
    split: [os.fspath(path) for path in found.filepaths]
    for split, found in info.splits.items()
  }


class _Records:
  """Random access to the records of some shards.

  Attributes:
    names: File name and number of each record.
  """

  def __init__(self, paths):
    self._reader = tfrecord.Reader(paths)
    self._places = [
      (file, number, offset, length)
      for file, path in enumerate(paths)
      for number, (offset, length) in enumerate(tfrecord.scan(path))
    ]
    self.names = tuple(
      f"{os.path.basename(paths[file])} record {number}"
      for file, number, _, _ in self._places
    )

  def features(self, i):
    """Parses record i."""
    data = self._reader.read(*self._places[i])
    try:
      return tf_example_pb2.Example.FromString(data).features.feature
    except DecodeError as error:
      raise errors.InputError(
        f"{self.names[i]}: not a tf.train.Example ({error})."
      ) from error

  def value(self, features, i, name, kind):
    """Returns the only value of a feature; kind is "bytes" or "int64"."""
    values = getattr(features[name], f"{kind}_list").value
    if name not in features or len(values) != 1:
      raise errors.InputError(
        f"{self.names[i]}: lacks the feature {name!r} of this dataset."
      )
    return values[0]

  def image(self, i):
    """Decodes the image of record i."""
    data = self.value(self.features(i), i, "image", "bytes")
    return decode.decode(data, self.names[i])


def _lfw(paths, cut):
  records = _Records(paths)
  people = [
    records.value(records.features(i), i, "label", "bytes").decode()
    for i in range(len(records.names))
  ]
  return base.Labelled(
    name="lfw",
    split="all",
    names=records.names,
    labels={},
    group=np.array(people),
    classes={},
    cut=cut or "photo",
    read=records.image,
  )


def _celeb_a(split, paths, crop, cut):
  records = _Records(paths)
  attributes, points, people, names = [], [], [], ()
  for i in range(len(records.names)):
    features = records.features(i)
    names = names or _names_below(features, "attributes")
    attributes.append(
      [records.value(features, i, f"attributes/{x}", "int64") for x in names]
    )
    points.append(
      [
        records.value(features, i, f"landmarks/{point}_{axis}", "int64")
        for point in _POINTS
        for axis in "xy"
      ]
    )
    if "identity/Identity_No" in features:
      people.append(
        str(records.value(features, i, "identity/Identity_No", "int64"))
      )
  box, default = _CELEBA_BOXES[crop]
  cut_out, move = _plan(box)
  return base.Labelled(
    name="celeb_a",
    split=split,
    names=records.names,
    labels={
      "attributes": np.array(attributes, np.int64),
      "landmarks_px": move(np.array(points, np.float32).reshape(-1, 5, 2)),
    },
    group=np.array(people) if len(people) == len(records.names) else None,
    classes={"attributes": names},
    cut=cut or default,
    read=lambda i: cut_out(_checked(records.image(i), records.names[i])),
  )


def _names_below(features, name):
  start = f"{name}/"
  return tuple(
    sorted(x.removeprefix(start) for x in features if x.startswith(start))
  )


def _checked(image, name):
  errors.check_shape(name, image, f"{_CELEBA_PX[1]} {_CELEBA_PX[0]} 3")
  return image


def _plan(box) -> tuple[Callable, Callable]:
  """Returns how to cut an image, and how to move its landmarks."""
  x0, y0, x1, y1 = box
  width, height = x1 - x0, y1 - y0
  if box == _CELEBA_BOXES["mafl"][0]:
    side = max(width, height)
    scale = np.array([side / width, side / height], np.float32)
    corner = np.array([x0, y0], np.float32)
    return (
      lambda image: face_crop.stretch(image, box, side),
      lambda points: (
        (points + np.float32(0.5) - corner) * scale - np.float32(0.5)
      ),
    )
  corner = np.array([x0, y0], np.float32)
  return lambda image: image[y0:y1, x0:x1], lambda points: points - corner
