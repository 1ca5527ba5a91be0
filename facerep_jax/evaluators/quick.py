"""A sample of a labelled set, for an evaluation in a minute or two.

The sample is a rule and no draw: names are put in the order of their SHA-256,
so that every model is measured on the same images.
"""

import dataclasses
import hashlib

import numpy as np

from facerep_jax.data.labelled import base as labelled_base

MARK = "quick"  # In the names of sets, and so in all tables.
_MOST_IMAGES = {"train": 1000, "validation": 200, "test": 500}
_MOST_OTHERS = 1200  # Of a part with another name.
_MOST_FRAMES = 8  # Of a person.
_MOST_PAIRS = 600


def sample(
  opened: dict[str, labelled_base.Labelled] | labelled_base.Pairs,
) -> dict[str, labelled_base.Labelled] | labelled_base.Pairs:
  """Takes a sample of a labelled set.

  Of every part whole people are taken, up to 8 images of each, spread over
  theirs, until there are 1000 images (train), 200 (validation), 500 (test) or
  1200 (a part with another name). Of pairs, about 600: as many of each fold, of
  one person and of two.

  Args:
    opened: Parts by split, or pairs.

  Returns:
    The same of the sample; the set's name says that it is one.
  """
  if isinstance(opened, labelled_base.Pairs):
    return _pairs(opened)
  return {name: _part(part) for name, part in opened.items()}


def _part(part):
  most = _MOST_IMAGES.get(part.split, _MOST_OTHERS)
  group = part.group
  if group is None:
    group = np.array([str(i) for i in range(len(part))])
  people, person = np.unique(np.asarray(group), return_inverse=True)
  by_person = np.split(
    np.argsort(person, kind="stable"),
    np.cumsum(np.bincount(person))[:-1],
  )
  rows = []
  for k in _in_order(people):
    own = by_person[k]
    number = min(_MOST_FRAMES, len(own))
    rows += list(own[np.arange(number) * len(own) // number])
    if len(rows) >= most:
      break
  return _marked(labelled_base.subset(part, np.sort(rows)))


def _pairs(pairs):
  kinds, kind = np.unique(
    np.stack([pairs.fold, pairs.same]), axis=1, return_inverse=True
  )
  most = -(-_MOST_PAIRS // kinds.shape[1])
  order = _in_order([f"{i}" for i in range(len(pairs))])
  rows = np.sort(
    np.concatenate(
      [order[kind.ravel()[order] == k][:most] for k in range(kinds.shape[1])]
    )
  )
  ends = np.stack([pairs.left[rows], pairs.right[rows]])
  used, place = np.unique(ends, return_inverse=True)
  left, right = place.reshape(ends.shape)
  return labelled_base.Pairs(
    _marked(labelled_base.subset(pairs.images, used)),
    left,
    right,
    pairs.same[rows],
    pairs.fold[rows],
    None if pairs.group is None else pairs.group[rows],
  )


def _marked(part):
  return dataclasses.replace(part, name=f"{part.name} ({MARK})")


def _in_order(names):
  """Returns the positions of names in the order of their hashes."""
  hashes = [hashlib.sha256(str(name).encode()).hexdigest() for name in names]
  return np.argsort(hashes, kind="stable")
