"""FER-2013: 48 px grey faces with one of seven expressions, in one CSV file."""

import hashlib
import logging

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base, files

_log = logging.getLogger(__name__)

# In the order of the file's numbers, which is not that of other sets.
CLASSES = (
  "anger",
  "disgust",
  "fear",
  "happiness",
  "sadness",
  "surprise",
  "neutral",
)
SIDE_PX = 48
_COLUMNS = ("emotion", "pixels", "Usage")
_TRAIN, _PUBLIC, _PRIVATE = "Training", "PublicTest", "PrivateTest"


def load(path: str, *, cut: str = "face") -> dict[str, base.Labelled]:
  """Reads FER-2013.

  Images that occur several times are kept, as the published numbers have them;
  the log counts them.

  Args:
    path: CSV file, gzipped or not, with the columns emotion (0 to 6), pixels
      (48 x 48 grey values, row by row) and Usage, in any order.
    cut: As for `Labelled`.

  Returns:
    Training as "train", PublicTest as "validation", PrivateTest as "test". In
    a file without PrivateTest, PublicTest is "test" and there is no
    "validation". Label: expression.

  Raises:
    InputError: The file cannot be read, or a row is not as above.
  """
  columns, rows = files.read_rows(path)
  missing = [name for name in _COLUMNS if name not in columns]
  if missing:
    raise errors.InputError(
      f"{path}, line 1: lacks the column {missing[0]!r}; expected "
      f"{', '.join(_COLUMNS)}."
    )
  places = [columns.index(name) for name in _COLUMNS]
  parts = {name: ([], [], []) for name in (_TRAIN, _PUBLIC, _PRIVATE)}
  for line, fields in rows:
    emotion, pixels, usage = (fields[i] for i in places)
    where = f"{path}, line {line}"
    if usage not in parts:
      raise errors.InputError(
        f"{where}: Usage is {usage!r}, expected one of {', '.join(parts)}."
      )
    lines, numbers, images = parts[usage]
    lines.append(f"line {line}")
    numbers.append(_class(emotion, where))
    images.append(_image(pixels, where))
  has_private = bool(parts[_PRIVATE][0])
  names = {_TRAIN: "train", _PUBLIC: "validation", _PRIVATE: "test"}
  if not has_private:
    names = {_TRAIN: "train", _PUBLIC: "test"}
  loaded = {
    split: _part(split, *parts[usage], cut)
    for usage, split in names.items()
    if parts[usage][0]
  }
  if not loaded:
    raise errors.InputError(f"{path}: holds no row but the header.")
  _count_repeats(path, [image for part in parts.values() for image in part[2]])
  return loaded


def _class(text, where):
  if text not in {str(i) for i in range(len(CLASSES))}:
    raise errors.InputError(
      f"{where}: emotion is {text!r}, expected 0 to {len(CLASSES) - 1}."
    )
  return int(text)


def _image(text, where):
  try:
    values = np.array([int(x) for x in text.split()], np.int64)
  except (ValueError, OverflowError):
    raise errors.InputError(
      f"{where}: pixels hold something that is no whole number."
    ) from None
  if values.size != SIDE_PX**2:
    raise errors.InputError(
      f"{where}: {values.size} pixels, expected {SIDE_PX**2} ({SIDE_PX} x "
      f"{SIDE_PX})."
    )
  if values.min() < 0 or values.max() > 255:
    raise errors.InputError(
      f"{where}: pixels from {values.min()} to {values.max()}, expected 0 to "
      "255."
    )
  return values.astype(np.uint8).reshape(SIDE_PX, SIDE_PX)


def _part(split, lines, numbers, images, cut):
  return base.Labelled(
    name="fer2013",
    split=split,
    names=tuple(lines),
    labels={"expression": np.array(numbers, np.int64)},
    group=None,
    classes={"expression": CLASSES},
    cut=cut,
    read=lambda i: np.repeat(images[i][..., None], 3, axis=-1),
  )


def _count_repeats(path, images):
  different = {hashlib.sha256(image.tobytes()).digest() for image in images}
  if len(different) < len(images):
    _log.warning(
      "%s: %d of %d images occur before in the file, maybe in another part.",
      path,
      len(images) - len(different),
      len(images),
    )
