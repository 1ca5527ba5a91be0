"""Parses lists of pairs of faces: LFW's, SLLFW's, and CPLFW's and CALFW's."""

import dataclasses
import itertools
import logging
import os

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import files

_log = logging.getLogger(__name__)
_NUM_FOLDS = 10  # Of lists that do not say.
_IMAGES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Pair:
  """One pair of a list.

  Attributes:
    line: Its first line in the file, from 1.
    left: Path of its first image, below the set's folder.
    right: Path of its second image.
    is_same: Both show one person.
    fold: From 0.
  """

  line: int
  left: str
  right: str
  is_same: bool
  fold: int


def parse(path: str | os.PathLike) -> list[Pair]:
  """Reads a list of pairs in any of the three formats, told by its first line.

  LFW: a header "FOLDS PAIRS", or only "PAIRS" for one fold; then for each fold
  PAIRS lines "NAME N1 N2" of one person and PAIRS lines "NAME1 N1 NAME2 N2" of
  two.

  SLLFW: no header, two lines a pair, each a path NAME/IMAGE.jpg; one person
  where both names agree. Assumed: pairs stand as in LFW, as many of one person
  as at the start, then as many of two, fold after fold (10 of 300 + 300).

  CPLFW, CALFW: no header, two lines a pair, each "IMAGE.jpg FLAG" with the same
  flag; 0 for two people. Flags above 1 are taken for the pair's fold, from 1.
  The list does not say the folds of pairs of two people, and with flags 0 and 1
  those of no pair: they are dealt in equal, successive shares.

  Args:
    path: The list.

  Returns:
    Pairs in the file's order.

  Raises:
    InputError: The file cannot be read, or is not in one of these formats.
  """
  lines = files.read_lines(path)
  if not lines:
    raise errors.InputError(f"{path}: is empty, expected a list of pairs.")
  fields = lines[0][1].split()
  if len(fields) <= 2 and all(x.isdecimal() for x in fields):
    pairs = _parse_lfw(path, lines)
  elif len(fields) == 1 and "/" in fields[0]:
    pairs = _parse_paths(path, lines)
  elif len(fields) == 2 and fields[0].lower().endswith(_IMAGES):
    pairs = _parse_flags(path, lines)
  else:
    raise errors.InputError(
      f'{path}, line {lines[0][0]}: expected LFW\'s header "FOLDS PAIRS", a '
      f'path "NAME/IMAGE.jpg" or "IMAGE.jpg FLAG", got {lines[0][1]!r}.'
    )
  repeated = len(pairs) - len({(x.left, x.right) for x in pairs})
  if repeated:
    _log.warning("%s: %d pairs occur before in the list.", path, repeated)
  return pairs


def _parse_lfw(path, lines):
  header = [int(x) for x in lines[0][1].split()]
  num_folds, size = header if len(header) == 2 else (1, *header)
  expected = 2 * size * num_folds
  if len(lines) - 1 != expected or not expected:
    raise errors.InputError(
      f"{path}: the header, {lines[0][1]!r}, means {num_folds} folds of {size} "
      f"+ {size} pairs, {expected} lines; got {len(lines) - 1}."
    )
  pairs = []
  for i, (line, text) in enumerate(lines[1:]):
    pair = _parse_lfw_line(path, line, text, i // (2 * size))
    wanted = i % (2 * size) < size
    if pair.is_same != wanted:
      kinds = ("two people", "one person")
      raise errors.InputError(
        f"{path}, line {line}: a pair of {kinds[pair.is_same]} where fold "
        f"{pair.fold + 1} of {size} + {size} pairs should have one of "
        f"{kinds[wanted]}."
      )
    pairs.append(pair)
  return pairs


def _parse_lfw_line(path, line, text, fold):
  fields = text.split()
  numbers = fields[1:] if len(fields) == 3 else fields[1::2]
  is_pair = len(fields) in (3, 4) and all(x.isdecimal() for x in numbers)
  if not is_pair:
    raise errors.InputError(
      f'{path}, line {line}: expected "name n1 n2" or "name1 n1 name2 n2", got '
      f"{text!r}."
    )
  people = (fields[0], fields[0] if len(fields) == 3 else fields[2])
  left, right = (
    f"{name}/{name}_{int(number):04d}.jpg"
    for name, number in zip(people, numbers)
  )
  if left == right or (len(fields) == 4 and people[0] == people[1]):
    kind = "the same image twice" if left == right else "the same person twice"
    raise errors.InputError(f"{path}, line {line}: {kind} in {text!r}.")
  return Pair(line, left, right, len(fields) == 3, fold)


def _couples(path, lines):
  if len(lines) % 2:
    raise errors.InputError(
      f"{path}: {len(lines)} lines, expected two lines a pair."
    )
  return zip(lines[::2], lines[1::2])


def _parse_paths(path, lines):
  drawn = []
  for (line, left), (below, right) in _couples(path, lines):
    for number, text in ((line, left), (below, right)):
      if text.count("/") != 1 or not text.lower().endswith(_IMAGES):
        raise errors.InputError(
          f'{path}, line {number}: expected "NAME/IMAGE.jpg", got {text!r}.'
        )
    is_same = left.split("/")[0] == right.split("/")[0]
    drawn.append(Pair(line, left, right, is_same, 0))
  runs = [(k, len(list(g))) for k, g in itertools.groupby(drawn, _is_same)]
  size = runs[0][1]
  if not runs[0][0] or len(runs) % 2 or any(count != size for _, count in runs):
    raise errors.InputError(
      f"{path}: expected folds of as many pairs of one person, then as many of "
      f"two; the list has runs of {', '.join(str(n) for _, n in runs[:8])}"
      f"{' ..' if len(runs) > 8 else ''}, the first of "
      f"{'one person' if runs[0][0] else 'two people'}."
    )
  return [
    dataclasses.replace(pair, fold=i // (2 * size))
    for i, pair in enumerate(drawn)
  ]


def _is_same(pair):
  return pair.is_same


def _parse_flags(path, lines):
  flagged = []
  for (line, left), (below, right) in _couples(path, lines):
    images, flags = [], []
    for number, text in ((line, left), (below, right)):
      image, _, flag = text.rpartition(" ")
      if not image.lower().rstrip().endswith(_IMAGES) or not flag.isdecimal():
        raise errors.InputError(
          f'{path}, line {number}: expected "IMAGE.jpg FLAG", got {text!r}.'
        )
      images.append(image.strip())
      flags.append(int(flag))
    if flags[0] != flags[1]:
      raise errors.InputError(
        f"{path}, lines {line} and {below}: expected the same flag in both "
        f"lines of a pair, got {flags[0]} and {flags[1]}."
      )
    flagged.append((line, *images, flags[0]))
  flag = np.array([row[3] for row in flagged])
  folds = _folds_of_flags(path, flag)
  return [
    Pair(line, left, right, bool(f), int(fold))
    for (line, left, right, f), fold in zip(flagged, folds)
  ]


def _folds_of_flags(path, flag):
  says_folds = flag.max() > 1
  num_folds = int(flag.max()) if says_folds else _NUM_FOLDS
  folds = np.where(flag > 0, flag - 1, 0)
  deal = [flag == 0] if says_folds else [flag == 0, flag > 0]
  for chosen in deal:
    count = int(chosen.sum())
    folds[chosen] = np.arange(count) * num_folds // max(count, 1)
  for fold in range(num_folds):
    counts = [
      int((chosen & (folds == fold)).sum()) for chosen in (flag > 0, flag == 0)
    ]
    if not all(counts):
      raise errors.InputError(
        f"{path}: fold {fold + 1} of {num_folds} has {counts[0]} pairs of one "
        f"person and {counts[1]} of two, expected some of both."
      )
  return folds
