"""Any labelled images: a CSV table of paths and labels."""

import os
import re

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base, files
from facerep_jax.tracks import schema

_SPLITS = ("train", "validation", "test")
_NOT_LABELS = ("path", "split", "person")
_WHOLE = ("expression", "identity", "fold")
_POINT = re.compile(r"([xy])(\d+)")
_ANGLE = re.compile(r"(yaw|pitch|roll)_deg")
_UNIT_PREFIX = "au_"
ATTRIBUTES = "attributes"
# Labels of `schema` that take more than one column have no place here.
_SCALARS = {name for name, (_, shape) in schema.LABELS.items() if not shape}


def load(
  path: str, *, name: str = "", cut: str = "photo"
) -> dict[str, base.Labelled]:
  """Reads a CSV table with a header.

  Args:
    path: The file; read through gzip where its name ends in ".gz". Columns:
      path: of the image, from the folder of the file on.
      split (if any): train, validation or test.
      person (if any): becomes the group.
      fold (if any): whole number; becomes a label.
      yaw_rad, pitch_rad, roll_rad, or yaw_deg and so on, converted.
      expression: whole numbers from 0, or names, numbered in alphabetic order.
      x0, y0, x1, y1 ..: become landmarks_px; the centre of the top left pixel
      is (0, 0).
      Others that hold only 0 and 1, and all au_*, which must: become the
      columns of `attributes`, under their names.
      Others: numbers, labels under their names.
    name: Of the set; by default that of the file.
    cut: As for `Labelled`.

  Returns:
    The parts that the split column names, or "all".

  Raises:
    InputError: A file is missing, an image is twice, or a field is not as
      above.
  """
  columns, rows = files.read_rows(path)
  if "path" not in columns:
    raise errors.InputError(
      f"{path}, line 1: lacks the column 'path'; got {', '.join(columns)}."
    )
  lines, fields = [], []
  for line, row in rows:
    lines.append(line)
    fields.append(row)
  if not lines:
    raise errors.InputError(f"{path}: holds no row but the header.")
  texts = {
    column: [row[i] for row in fields] for i, column in enumerate(columns)
  }
  paths = _image_paths(path, lines, texts["path"])
  labels, classes = _labels(path, lines, texts)
  group = np.array(texts["person"]) if "person" in texts else None
  whole = base.Labelled(
    name=name or os.path.basename(path).split(".")[0],
    split="all",
    names=tuple(texts["path"]),
    labels=labels,
    group=group,
    classes=classes,
    cut=cut,
    read=lambda i: files.read_image(paths[i]),
  )
  if "split" not in texts:
    return {"all": whole}
  return base.divide(whole, _splits(path, lines, texts["split"]))


def _splits(path, lines, splits):
  for line, split in zip(lines, splits):
    if split not in _SPLITS:
      raise errors.InputError(
        f"{path}, line {line}: split is {split!r}, expected one of "
        f"{', '.join(_SPLITS)}."
      )
  return splits


def _image_paths(path, lines, images):
  seen, paths = {}, []
  for line, image in zip(lines, images):
    where = f"{path}, line {line}"
    if image in seen:
      raise errors.InputError(
        f"{where}: image {image!r} stands in line {seen[image]} already."
      )
    seen[image] = line
    full = os.path.join(os.path.dirname(path), image)
    paths.append(files.require_file(full, where))
  return paths


def _labels(path, lines, texts):
  """Turns columns of text into labels and the names of their classes."""
  labels, classes, points, binary = {}, {}, {}, {}
  for column, values in texts.items():
    where = (path, lines, column)
    if column in _NOT_LABELS:
      continue
    if column == "expression" and not all(x.isdecimal() for x in values):
      labels[column], classes[column] = _named(where, values)
      continue
    numbers = _numbers(where, values)
    if point := _POINT.fullmatch(column):
      points[point.groups()] = numbers
    elif column in _WHOLE:
      labels[column] = _whole(where, numbers)
    elif angle := _ANGLE.fullmatch(column):
      _add(labels, path, f"{angle[1]}_rad", np.deg2rad(numbers))
    elif column.startswith(_UNIT_PREFIX) or _is_binary(column, numbers):
      binary[column] = _zero_or_one(where, numbers)
    else:
      _add(labels, path, column, numbers)
  if "expression" in labels and "expression" not in classes:
    count = int(labels["expression"].max()) + 1
    classes["expression"] = tuple(str(i) for i in range(count))
  if points:
    _add(labels, path, "landmarks_px", _landmarks(path, points))
  if binary:
    _add(labels, path, ATTRIBUTES, np.stack(list(binary.values()), axis=1))
    classes[ATTRIBUTES] = tuple(binary)
  return labels, classes


def _add(labels, path, name, value):
  is_whole = np.issubdtype(value.dtype, np.integer)
  if name in labels or (
    name in schema.LABELS and value.ndim == 1 and name not in _SCALARS
  ):
    reason = "is given twice" if name in labels else "takes several numbers"
    raise errors.InputError(f"{path}, line 1: the label {name} {reason}.")
  labels[name] = value if is_whole else value.astype(np.float32)


def _is_binary(column, numbers):
  return column not in schema.LABELS and np.isin(numbers, (0, 1)).all()


def _numbers(where, values):
  path, lines, column = where
  return np.array(
    [
      files.to_float(x, f"{path}, line {line}, column {column}")
      for line, x in zip(lines, values)
    ]
  )


def _first(where, numbers, is_bad, expected):
  """Raises for the first bad number."""
  path, lines, column = where
  for i in np.flatnonzero(is_bad)[:1]:
    raise errors.InputError(
      f"{path}, line {lines[i]}, column {column}: expected {expected}, got "
      f"{numbers[i]:g}."
    )


def _whole(where, numbers):
  is_bad = (numbers != np.round(numbers)) | (numbers < 0)
  _first(where, numbers, is_bad, "a whole number from 0")
  return numbers.astype(np.int64)


def _zero_or_one(where, numbers):
  _first(where, numbers, ~np.isin(numbers, (0, 1)), "0 or 1")
  return numbers.astype(np.int64)


def _named(where, values):
  path, lines, column = where
  for line, value in zip(lines, values):
    if not value or value.isdecimal():
      raise errors.InputError(
        f"{path}, line {line}, column {column}: expected a name, as in other "
        f"lines, got {value!r}."
      )
  names, numbers = np.unique(values, return_inverse=True)
  return numbers.astype(np.int64), tuple(str(x) for x in names)


def _landmarks(path, points):
  """Joins the columns x0, y0 .. to [N, K, 2]."""
  count = max(int(number) for _, number in points) + 1
  wanted = [(axis, str(i)) for i in range(count) for axis in "xy"]
  for axis, number in wanted:
    if (axis, number) not in points:
      raise errors.InputError(
        f"{path}, line 1: lacks the column {axis}{number}; expected x and y of "
        f"all points from 0 to {count - 1}."
      )
  return np.stack([points[key] for key in wanted], axis=1).reshape(-1, count, 2)
