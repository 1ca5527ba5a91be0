"""Lists the files of a folder for all commands, and counts what is left out."""

import collections
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from facerep_jax import errors
from facerep_jax.files import images
from facerep_jax.video import video_file

HIDDEN_FILE, HIDDEN_FOLDER = "hidden file", "hidden folder"
DEAD_LINK = "link that leads nowhere"
SEEN_FOLDER = "folder that is listed already"
NO_FILE = "device, pipe or socket"
NO_EXTENSION = "without extension"
_FILE, _FOLDER = "file", "folder"
_HINTS = dict.fromkeys(images.HEIF_EXTENSIONS, images.HEIF_HINT)
_MOST_KINDS = 12  # In one line.


class Listing(NamedTuple):
  """The files below a folder.

  Attributes:
    images: Those that are read as images, relative to the folder, with "/",
      sorted.
    videos: Those that are read as videos, likewise.
    others: How many there are of all else, by kind: the extension, in lower
      case, or one of the kinds of this module.
  """

  images: tuple[str, ...]
  videos: tuple[str, ...]
  others: dict[str, int]

  def without_images(self) -> dict[str, int]:
    """Returns, by kind, what a reader of videos passes over."""
    return count(self.images, self.others)

  def without_videos(self) -> dict[str, int]:
    """Returns, by kind, what a reader of images passes over."""
    return count(self.videos, self.others)


def find(folder: str | os.PathLike) -> Listing:
  """Lists the images and videos below a folder, as `walk` finds files.

  Args:
    folder: Where to look.

  Returns:
    What is there.

  Raises:
    InputError: As `walk`.
  """
  found, others = walk(folder)
  pictures = tuple(x for x in found if is_image(x))
  videos = tuple(x for x in found if is_video(x))
  rest = (x for x in found if not (is_image(x) or is_video(x)))
  return Listing(pictures, videos, count(rest, others))


def walk(folder: str | os.PathLike) -> tuple[list[str], dict[str, int]]:
  """Lists the files below a folder, whatever they are.

  Files and folders whose names begin with a dot are passed over. Links to files
  count as files. A linked folder is listed under the name of the link, unless
  it is listed already, or holds the link itself.

  Args:
    folder: Where to look.

  Returns:
    Paths relative to the folder, with "/", sorted; and how much was passed
    over, by kind.

  Raises:
    InputError: A folder cannot be listed.
  """
  root = os.fspath(folder)
  found, others = [], collections.Counter()
  seen = {os.path.realpath(root)}
  # Folders before links to folders, so that it does not depend on their order
  # which name a folder gets that can be reached in two ways.
  folders, links = [""], collections.deque()
  while folders or links:
    place = folders.pop() if folders else links.popleft()
    if place and not _is_new(os.path.join(root, place), seen):
      others[SEEN_FOLDER] += 1
      continue
    for entry in _scan(os.path.join(root, place)):
      name = f"{place}/{entry.name}" if place else entry.name
      what = _what(entry)
      if entry.name.startswith("."):
        others[HIDDEN_FOLDER if what == _FOLDER else HIDDEN_FILE] += 1
      elif what == _FILE:
        found.append(name)
      elif what == _FOLDER:
        (links if entry.is_symlink() else folders).append(name)
      else:
        others[what] += 1
  return sorted(found), dict(others)


def _scan(folder):
  try:
    with os.scandir(folder) as entries:
      return sorted(entries, key=lambda entry: entry.name)
  except OSError as error:
    raise errors.InputError(
      f"{folder}: this folder cannot be listed ({error.strerror})."
    ) from error


def _what(entry):
  try:
    if entry.is_dir():
      return _FOLDER
    if entry.is_file():
      return _FILE
  except OSError:  # Links that lead to each other, for example.
    return DEAD_LINK
  return DEAD_LINK if entry.is_symlink() else NO_FILE


def _is_new(folder, seen):
  """Tells whether a folder is neither listed already nor above itself."""
  real = os.path.realpath(folder)
  above = os.path.realpath(os.path.dirname(folder))
  if real in seen or os.path.commonpath([real, above]) == real:
    return False
  seen.add(real)
  return True


def names(folder: str | os.PathLike) -> list[str]:
  """Lists the images in a folder itself, not below, as `find` does.

  Raises:
    OSError: It cannot be listed.
  """
  with os.scandir(folder) as entries:
    return sorted(
      x.name
      for x in entries
      if not x.name.startswith(".") and is_image(x.name) and x.is_file()
    )


def is_image(name: str) -> bool:
  """Tells by its name whether a file is read as an image."""
  return kind(name) in images.EXTENSIONS


def is_video(name: str) -> bool:
  """Tells by its name whether a file is read as a video."""
  return kind(name) in video_file.EXTENSIONS


def kind(name: str) -> str:
  """Returns the extension of a name in lower case, or says that it has none."""
  return os.path.splitext(name)[1].lower() or NO_EXTENSION


def count(names: Iterable[str], others: Mapping[str, int]) -> dict[str, int]:
  """Adds files to counts by kind.

  Args:
    names: Of the files.
    others: What is counted already, by kind.

  Returns:
    Both, the most frequent kind first.
  """
  total = collections.Counter(others)
  total.update(kind(name) for name in names)
  ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
  return dict(ordered)


def say(counts: Mapping[str, int]) -> str:
  """Says in one line how many files there are of each kind.

  Args:
    counts: By kind.

  Returns:
    Such as "3 x .heic (HEIC, read with ..), 1 x hidden folder"; "" for none.
  """
  texts = [
    f"{number} x {what}" + (f" ({_HINTS[what]})" if what in _HINTS else "")
    for what, number in counts.items()
  ]
  if len(texts) > _MOST_KINDS:
    rest = sum(list(counts.values())[_MOST_KINDS:])
    texts[_MOST_KINDS:] = [f"{rest} x others"]
  return ", ".join(texts)


def say_empty(counts: Mapping[str, int]) -> str:
  """Says what a folder holds in place of what was looked for."""
  return f"it holds {say(counts)}" if counts else "it is empty"
