"""Photos or crops with 68 landmarks: a CSV table, or iBUG's .pts files."""

import collections
import logging
import os
from collections.abc import Callable

import numpy as np

from facerep_jax import errors
from facerep_jax.data import listing, sources
from facerep_jax.data.labelled import base, files, landmark_crop
from facerep_jax.files import images

NUM_POINTS = 68
_SPLITS = {
  "train": "train",
  "training": "train",
  "val": "validation",
  "validation": "validation",
  "test": "test",
  "testing": "test",
}
# Folders of 300-W: the two that are all of one split, and those that say it.
_FOLDER_SPLITS = {
  "afw": "train",
  "trainset": "train",
  "ibug": "test",
  "testset": "test",
}
_log = logging.getLogger(__name__)
Row = collections.namedtuple("Row", "where image split points")


def load(
  path: str, *, crop: str = "", cut: str = ""
) -> dict[str, base.Labelled]:
  """Opens images with 68 landmarks in iBUG's order.

  Args:
    path: A CSV file or a folder of .pts files.
      CSV: columns image, x0, y0 to x67, y67 (the centre of the top left pixel
      is (0, 0)), and split if any; others are not read. Images lie beside the
      file or in images/ there.
      Folder: at any depth, FILE.pts (n_points: 68; coordinates that count from
      1, as iBUG's do: 1 is subtracted) beside FILE.jpg or .png. Folders afw and
      trainset are "train", ibug and testset are "test", as 300-W is used.
    crop: One of `landmark_crop.CROPS`; by default "none" for a CSV, whose
      images are taken for cut already, and "square" for .pts files.
    cut: As for `Labelled`; by default what the crop makes, and "track" for a
      CSV without a crop.

  Returns:
    The parts that the split column or the folders name (training and testing
    are read as "train" and "test"; `base.concatenate` joins them), or "all".
    Label: landmarks_px.

  Raises:
    InputError: A file is missing or not as above, or an image is twice.
  """
  is_folder = os.path.isdir(path)
  rows = _read_folder(path) if is_folder else _read_table(path)
  crop_name = crop or ("square" if is_folder else "none")
  if crop_name not in landmark_crop.CROPS:
    raise errors.InputError(
      f"{path}: crop is {crop_name!r}, expected one of "
      f"{', '.join(landmark_crop.CROPS)}."
    )
  default = landmark_crop.CROPS[crop_name] if crop or is_folder else "track"
  name = os.path.splitext(os.path.basename(os.path.normpath(path)))[0]
  planned = [plan(row.where, crop_name, row.points) for row in rows]
  points = np.array([points for _, points in planned], np.float32)
  whole = base.Labelled(
    name=name,
    split="all",
    names=tuple(os.path.basename(row.image) for row in rows),
    labels={"landmarks_px": points},
    group=None,
    classes={},
    cut=cut or default,
    read=lambda i: cut_image(rows[i].image, planned[i][0]),
  )
  return base.divide(whole, [row.split for row in rows])


def plan(
  where: str, crop_name: str, points: np.ndarray
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
  """As `landmark_crop.plan`, with the place of the landmarks in the message."""
  try:
    return landmark_crop.plan(crop_name, points)
  except errors.InputError as error:
    raise errors.InputError(f"{where}: {error}") from error


def cut_image(path: str, cut: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
  """Reads an image and cuts it; messages name the file.

  Args:
    path: Image file.
    cut: What `landmark_crop.plan` returned.

  Returns:
    uint8 [S, S, 3] RGB.

  Raises:
    InputError: The image cannot be read, or its landmarks lie outside of it.
  """
  image = files.read_image(path)
  try:
    return cut(image)
  except errors.InputError as error:
    raise errors.InputError(f"{path}: {error}") from error


def _read_table(path):
  columns, lines = files.read_rows(path)
  axes = [f"{axis}{i}" for i in range(NUM_POINTS) for axis in "xy"]
  missing = [name for name in ("image", *axes) if name not in columns]
  if missing:
    raise errors.InputError(
      f"{path}, line 1: lacks the column {missing[0]!r}; expected image, x0, "
      f"y0 to x{NUM_POINTS - 1}, y{NUM_POINTS - 1}."
    )
  places = {name: columns.index(name) for name in ("image", *axes)}
  split_at = columns.index("split") if "split" in columns else None
  rows, seen = [], {}
  for line, fields in lines:
    where = f"{path}, line {line}"
    image = fields[places["image"]]
    if image in seen:
      raise errors.InputError(
        f"{where}: image {image!r} stands in line {seen[image]} already."
      )
    seen[image] = line
    split = "all" if split_at is None else _split(fields[split_at], where)
    values = [
      files.to_float(fields[places[axis]], f"{where}, column {axis}")
      for axis in axes
    ]
    points = np.array(values).reshape(NUM_POINTS, 2)
    rows.append(Row(where, _find_image(path, image, where), split, points))
  if not rows:
    raise errors.InputError(f"{path}: holds no row but the header.")
  return rows


def _split(text, where):
  if text.lower() not in _SPLITS:
    raise errors.InputError(
      f"{where}: split is {text!r}, expected one of {', '.join(_SPLITS)}."
    )
  return _SPLITS[text.lower()]


def _find_image(path, image, where):
  folder = os.path.dirname(path)
  below = os.path.join(folder, "images", image)
  beside = os.path.join(folder, image)
  return files.require_file(beside if os.path.isfile(beside) else below, where)


def _read_folder(path):
  names, others = listing.walk(path)
  found = [x for x in names if listing.kind(x) == ".pts"]
  if not found:
    raise errors.InputError(
      f"{path}: holds no .pts file; expected FILE.pts beside FILE.jpg, or the "
      f"path of a CSV file; {listing.say_empty(listing.count(names, others))}."
    )
  rows = []
  for relative in sorted(found, key=sources.natural_key):
    points_path = os.path.join(path, relative)
    splits = {
      _FOLDER_SPLITS[part]
      for part in relative.lower().split("/")
      if part in _FOLDER_SPLITS
    }
    if len(splits) > 1:
      raise errors.InputError(
        f"{points_path}: its folders name two splits, {', '.join(splits)}."
      )
    image = _image_beside(points_path)
    split = splits.pop() if splits else "all"
    rows.append(Row(points_path, image, split, read_points(points_path)))
  used = {os.path.relpath(row.image, path) for row in rows}
  others = listing.count({*names} - {*found} - used, others)
  if others:
    _log.info("%s: passed over %s", path, listing.say(others))
  _check_splits(path, rows)
  return rows


def _check_splits(path, rows):
  """Refuses a folder of which only some files have a split."""
  without = [row for row in rows if row.split == "all"]
  if 0 < len(without) < len(rows):
    raise errors.InputError(
      f"{path}: {without[0].where} is in none of the folders "
      f"{', '.join(_FOLDER_SPLITS)}, but others are. Open the folders of one "
      "split, or move it."
    )


def _image_beside(points_path):
  stem = os.path.splitext(points_path)[0]
  for extension in images.EXTENSIONS:
    for name in (stem + extension, stem + extension.upper()):
      if os.path.isfile(name):
        return name
  raise errors.InputError(
    f"{points_path}: there is no image of that name beside it "
    f"({', '.join(images.EXTENSIONS)})."
  )


def read_points(path: str | os.PathLike) -> np.ndarray:
  """Reads a .pts file of iBUG.

  Args:
    path: The file: "version: 1", "n_points: 68", "{", 68 lines "x y", "}".

  Returns:
    float64 [68, 2] x, y in pixels, the centre of the top left pixel is (0, 0):
    the file counts pixels from 1.

  Raises:
    InputError: The file is not like that.
  """
  lines = files.read_lines(path)
  texts = [text for _, text in lines]
  if "{" not in texts or "}" not in texts:
    raise errors.InputError(
      f"{path}: expected n_points and the points between {{ and }}."
    )
  inner = lines[texts.index("{") + 1 : texts.index("}")]
  if len(inner) != NUM_POINTS:
    raise errors.InputError(
      f"{path}: {len(inner)} points, expected {NUM_POINTS}."
    )
  points = []
  for line, text in inner:
    where = f"{path}, line {line}"
    fields = text.split()
    if len(fields) != 2:
      raise errors.InputError(f'{where}: expected "x y", got {text!r}.')
    points.append([files.to_float(field, where) for field in fields])
  return np.array(points) - 1
