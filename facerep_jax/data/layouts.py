"""Names the people of videos by how their files lie."""

import itertools
import re
from collections.abc import Sequence

# VoxCeleb's people: .../idNNNNN/VIDEO/FILE.
_VOXCELEB = re.compile(r"(?:.*/)?(id\d{5})/[^/]+/[^/]+")
# Folders that hold people, and are none.
_HOLDERS = frozenset(
  ("clips", "dev", "mp4", "test", "train", "val", "valid", "validation")
  + ("video", "videos")
)
_BY_FILE = "no layout of people is known here: each file counts as a person"
_RULES = {
  "frames": "PERSON/VIDEO/TRACK/*: a person is the first folder",
  "flat": "each image counts as a person",
  "photos": "a person is the first folder below those that all photos share, "
  "else each photo",
  "synthetic": "drawn people",
}


def of_videos(names: Sequence[str]) -> tuple[list[str], str]:
  """Recognises how videos lie.

  Args:
    names: Their paths, relative to the source, with slashes.

  Returns:
    The person of each video, "" where that is the file itself; and how they
    were told, for the user to read.
  """
  found = [_VOXCELEB.fullmatch(name) for name in names]
  if all(found):
    rule = "ID/VIDEO/FILE as in VoxCeleb: a person is the folder ID"
    return [match[1] for match in found], rule
  folders = [_without_holders(name.split("/")[:-1]) for name in names]
  depths = {len(folder) for folder in folders}
  if depths == {0}:
    return [""] * len(names), "one flat folder: each file counts as a person"
  if len(depths) > 1:
    return [""] * len(names), _BY_FILE
  # What all share tells nothing.
  alike = itertools.takewhile(lambda x: len(set(x)) == 1, zip(*folders))
  shared = len(list(alike))
  if shared == len(folders[0]):
    return [""] * len(names), _BY_FILE
  rules = {
    1: "PERSON/FILE: a person is the folder",
    2: "PERSON/VIDEO/FILE as in VoxCeleb: a person is the first folder",
  }
  rest = len(folders[0]) - shared
  rule = rules.get(rest, "PERSON/../FILE: a person is the first folder")
  return [folder[shared] for folder in folders], rule


def rule(kind: str, names: Sequence[str], pattern: str | None) -> str:
  """Says how the people of a source are named.

  Args:
    kind: "videos", "frames", "flat", "photos" or "synthetic".
    names: Of its videos, as for `of_videos`.
    pattern: The user's own rule, if there is one.
  """
  if pattern:
    return f"named by --person={pattern}"
  return of_videos(names)[1] if kind == "videos" else _RULES[kind]


def _without_holders(folders):
  """Returns folders without those in front that hold people."""
  start = 0
  while start < len(folders) and folders[start].lower() in _HOLDERS:
    start += 1
  return folders[start:]
