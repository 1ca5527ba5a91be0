"""What a set of labelled images is, whatever files it comes from."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from facerep_jax import errors

# How much of the picture around the face an image shows.
#   track: as `make_tracks` cuts, the face's box x 1.6; the run's own middle
#     crop still follows.
#   face: tight to the face already; no crop follows.
#   photo: any picture; the face must still be found.
CUTS = ("track", "face", "photo")
_ORDER = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Labelled:
  """Images with labels; consistent, or it cannot be made.

  Attributes:
    name: Of the set, such as "fer2013".
    split: "train", "validation", "test" or "all".
    names: N texts, one an image, for messages and reports.
    labels: Arrays [N, ...]; named as in `schema.LABELS` where they exist there,
      else freely. `expression` is the int number of a class; landmarks are in
      pixels of the image as `read` returns it, the centre of the top left
      pixel is (0, 0).
    group: [N] str, person of each image; None where people are unknown.
    classes: Names of the classes of an integer label, or of the columns of one
      with two axes.
    cut: One of `CUTS`.
    read: Maps i to uint8 [H, W, 3] RGB of image i; raises `InputError`, naming
      the file, on a bad image.
  """

  name: str
  split: str
  names: tuple[str, ...]
  labels: dict[str, np.ndarray]
  group: np.ndarray | None
  classes: dict[str, tuple[str, ...]]
  cut: str
  read: Callable[[int], np.ndarray]

  def __post_init__(self):
    check(self)

  def __len__(self):
    return len(self.names)


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Pairs of images of one or of two people; consistent as `Labelled` is.

  Attributes:
    images: Each image once.
    left: [P] int, position of the pair's first image in `images`.
    right: [P] int, of its second.
    same: [P] bool, one person.
    fold: [P] int, from 0.
    group: [P], what a pair belongs to where pairs are not independent, such as
      a person; None: each stands alone.
  """

  images: Labelled
  left: np.ndarray
  right: np.ndarray
  same: np.ndarray
  fold: np.ndarray
  group: np.ndarray | None = None

  def __post_init__(self):
    check_pairs(self)

  def __len__(self):
    return len(self.left)


def check(labelled: Labelled) -> None:
  """Checks that the parts of a set agree.

  Args:
    labelled: The set.

  Raises:
    InputError: It is empty, a label has another length than the names, the cut
      is unknown, or a class number has no name.
  """
  count = len(labelled.names)
  where = f"{labelled.name}, {labelled.split}"
  if not count:
    raise errors.InputError(f"{where}: holds no image.")
  if labelled.cut not in CUTS:
    raise errors.InputError(
      f"{where}: cut is {labelled.cut!r}, expected one of {', '.join(CUTS)}."
    )
  columns = dict(labelled.labels)
  if labelled.group is not None:
    columns["group"] = labelled.group
  for label, value in columns.items():
    if value.shape[:1] != (count,):
      raise errors.InputError(
        f"{where}: label {label} has shape {value.shape} for {count} images."
      )
  for label, classes in labelled.classes.items():
    if label in labelled.labels:
      _check_classes(where, label, labelled.labels[label], classes)


def _check_classes(where, label, value, classes):
  if value.ndim > 1:
    if value.shape[1] != len(classes):
      raise errors.InputError(
        f"{where}: label {label} has {value.shape[1]} columns, but "
        f"{len(classes)} names."
      )
  elif not np.isin(value, np.arange(len(classes))).all():
    raise errors.InputError(
      f"{where}: label {label} runs from {value.min()} to {value.max()}, "
      f"expected 0 to {len(classes) - 1} ({', '.join(classes)})."
    )


def check_pairs(pairs: Pairs) -> None:
  """Checks that pairs agree with each other and with their images.

  Args:
    pairs: The pairs.

  Raises:
    InputError: There are none, columns differ in length, or a pair names an
      image that is not there.
  """
  where, count = pairs.images.name, len(pairs.left)
  if not count:
    raise errors.InputError(f"{where}: holds no pair.")
  for column in ("left", "right", "same", "fold"):
    shape = getattr(pairs, column).shape
    if shape != (count,):
      raise errors.InputError(
        f"{where}: {column} has shape {shape}, expected ({count},)."
      )
  for column in ("left", "right"):
    value = getattr(pairs, column)
    if value.min() < 0 or value.max() >= len(pairs.images):
      raise errors.InputError(
        f"{where}: {column} runs from {value.min()} to {value.max()}, but "
        f"there are {len(pairs.images)} images."
      )


def subset(labelled: Labelled, indices: Sequence[int] | np.ndarray) -> Labelled:
  """Takes some images of a set.

  Args:
    labelled: The set.
    indices: [M] int, positions in it, in any order; not a mask.

  Returns:
    The set of these M images.

  Raises:
    InputError: There are none, or they are no positions of the set.
  """
  chosen = np.asarray(indices)
  is_integer = np.issubdtype(chosen.dtype, np.integer)
  if chosen.ndim != 1 or not (is_integer or not chosen.size):
    raise errors.InputError(
      f"{labelled.name}: indices are {chosen.dtype}{list(chosen.shape)}, "
      "expected a row of whole numbers."
    )
  chosen = chosen.astype(np.int64)
  if chosen.size and (chosen.min() < 0 or chosen.max() >= len(labelled)):
    raise errors.InputError(
      f"{labelled.name}: indices run from {chosen.min()} to {chosen.max()}, "
      f"but there are {len(labelled)} images."
    )
  read = labelled.read
  return dataclasses.replace(
    labelled,
    names=tuple(labelled.names[i] for i in chosen),
    labels={name: value[chosen] for name, value in labelled.labels.items()},
    group=None if labelled.group is None else labelled.group[chosen],
    read=lambda i: read(int(chosen[i])),
  )


def divide(labelled: Labelled, splits: Sequence[str]) -> dict[str, Labelled]:
  """Divides a set into its splits.

  Args:
    labelled: The set.
    splits: Name of the split of each image.

  Returns:
    The parts: "train", "validation" and "test" first, as far as there are such.
  """
  names = np.asarray(splits)
  order = [*(x for x in _ORDER if x in names), *sorted(set(splits) - {*_ORDER})]
  return {
    name: dataclasses.replace(
      subset(labelled, np.flatnonzero(names == name)), split=name
    )
    for name in order
  }


def concatenate(parts: Sequence[Labelled]) -> Labelled:
  """Joins sets, or parts of one.

  Args:
    parts: At least one; all with the same labels, classes and cut.

  Returns:
    Their images in order. Names, splits that differ are joined by "+"; people
    are kept where all parts know them.

  Raises:
    InputError: There are no parts, or they do not fit together.
  """
  if not parts:
    raise errors.InputError("expected at least one set to join, got none.")
  first = parts[0]
  for part in parts[1:]:
    for what in ("labels", "classes", "cut"):
      one, two = getattr(first, what), getattr(part, what)
      is_same = one.keys() == two.keys() if what == "labels" else one == two
      if not is_same:
        raise errors.InputError(
          f"{first.name}, {first.split} and {part.name}, {part.split} cannot "
          f"be joined: their {what} differ."
        )
  starts = np.cumsum([0] + [len(part) for part in parts])

  def read(i):
    number = int(np.searchsorted(starts, i, side="right")) - 1
    if not 0 <= number < len(parts):
      raise IndexError(f"image {i} of {starts[-1]}")
    return parts[number].read(int(i - starts[number]))

  knows_people = all(part.group is not None for part in parts)
  return Labelled(
    name="+".join(dict.fromkeys(part.name for part in parts)),
    split="+".join(dict.fromkeys(part.split for part in parts)),
    names=tuple(name for part in parts for name in part.names),
    labels={
      name: np.concatenate([part.labels[name] for part in parts])
      for name in first.labels
    },
    group=np.concatenate([part.group for part in parts])
    if knows_people
    else None,
    classes=first.classes,
    cut=first.cut,
    read=read,
  )
