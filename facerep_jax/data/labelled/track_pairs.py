"""Pairs of frames of labelled people's tracks, to verify people on."""

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base, tracks

NUM_FOLDS = 10
_SEED = 0


def load(
  path: str,
  *,
  split: str = "test",
  pairs: int = 6000,
  frames: int = 0,
  cut: str = "track",
) -> base.Pairs:
  """Draws pairs of frames from a folder of tracks.

  Half of the pairs show one person, in two different tracks; the other half
  two people. The people are divided into ten folds, and both frames of a pair
  are of the same fold, so that no person is in two of them, as in LFW's lists.

  Args:
    path: What `make_tracks` wrote, with people who have two tracks or more.
    split: Whose people.
    pairs: How many; the same ones every time.
    frames: As for tracks.
    cut: As for `Labelled`.

  Returns:
    The pairs.

  Raises:
    InputError: The folder holds no such split, too few people with two tracks,
      or the number of pairs is not a positive multiple of 20.
  """
  if pairs < 1 or pairs % (2 * NUM_FOLDS):
    raise errors.InputError(
      f"pairs:{path}: pairs is {pairs}, expected a multiple of {2 * NUM_FOLDS}."
    )
  parts = tracks.load(path, frames=frames, cut=cut)
  if split not in parts:
    raise errors.InputError(
      f"pairs:{path}: split is {split!r}, expected one of {', '.join(parts)}."
    )
  images = parts[split]
  left, right, same, fold = draw(images, pairs)
  # What is drawn anew for intervals is people, and with them their pairs.
  return base.Pairs(images, left, right, same, fold, images.group[left])


def draw(
  images: base.Labelled, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Draws pairs of frames, the same ones every time.

  Args:
    images: Frames of people in tracks, with the label `track`.
    count: How many pairs, a multiple of 20.

  Returns:
    Left and right [count] int, rows; whether they show one person [count] bool;
    fold [count] int.

  Raises:
    InputError: Too few people have two tracks.
  """
  people = _people(images)
  if len(people) < 2 * NUM_FOLDS:
    raise errors.InputError(
      f"{images.name}, {images.split}: {len(people)} people have two tracks or "
      f"more, expected {2 * NUM_FOLDS}. Make tracks with --tracks-per-person=2 "
      "and more people."
    )
  rng = np.random.default_rng(_SEED)
  order, rows = rng.permutation(len(people)), []
  for fold, members in enumerate(np.array_split(order, NUM_FOLDS)):
    chosen = [people[i] for i in members]
    for _ in range(count // NUM_FOLDS // 2):
      rows.append((*_same(chosen, rng), True, fold))
      rows.append((*_different(chosen, rng), False, fold))
  return tuple(map(np.array, zip(*rows)))


def _people(images):
  """Returns the frames of each person with two tracks or more, by track."""
  people = {}
  for row, (person, track) in enumerate(
    zip(images.group, images.labels["track"])
  ):
    people.setdefault(person, {}).setdefault(track, []).append(row)
  found = [list(one.values()) for _, one in sorted(people.items())]
  return [one for one in found if len(one) > 1]


def _same(people, rng):
  """Draws two frames of different tracks of a person."""
  person = people[rng.integers(len(people))]
  a, b = rng.choice(len(person), 2, replace=False)
  return int(rng.choice(person[a])), int(rng.choice(person[b]))


def _different(people, rng):
  """Draws a frame of each of two people."""
  a, b = rng.choice(len(people), 2, replace=False)
  return tuple(
    int(rng.choice(person[rng.integers(len(person))]))
    for person in (people[a], people[b])
  )
