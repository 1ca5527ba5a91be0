"""Refuses sources that would give two things one name."""

from collections.abc import Sequence
from typing import Protocol

from facerep_jax import errors
from facerep_jax.synthetic import heads


class Named(Protocol):
  """What is checked of an entry, see `sources.Entry`."""

  path: str
  person: str
  video: str
  track: str


def check_mixed(drawn: Sequence[str], synthetic: str) -> None:
  """Refuses a mixed set beside another: it holds people of both.

  Args:
    drawn: The synthetic sources, as they were given.
    synthetic: How the plain one is given.

  Raises:
    InputError: There is one beside another.
  """
  mixed = f"{synthetic}:{heads.MIXED}"
  if mixed in drawn and len(drawn) > 1:
    raise errors.InputError(
      f"--source={mixed}: holds people of {synthetic} and of {synthetic}:"
      f"{heads.ICT}, so it must be the only synthetic source; make one dataset "
      "of each."
    )


def check_marks(clips: Sequence[Named], mark: str) -> None:
  """Refuses names that second people of a video would be given, too.

  Args:
    clips: All videos.
    mark: What stands before the number of a second person.

  Raises:
    InputError: A person has such a name.
  """
  taken = {entry.video: entry for entry in clips}
  for entry in clips:
    video, found, number = entry.person.rpartition(mark)
    if found and number.isdigit() and video in taken:
      raise errors.InputError(
        f"{entry.path}: person {entry.person!r} would have the name of another "
        f"person in {taken[video].path}; rename one of them."
      )


def check_unique(sources: Sequence[tuple[str, Sequence[Named]]]) -> None:
  """Refuses two tracks of one person, video and number.

  Args:
    sources: Path and entries of each.

  Raises:
    InputError: There are two.
  """
  seen: dict[tuple[str, str, str], str] = {}
  for path, entries in sources:
    for entry in entries:
      name = entry.person, entry.video, entry.track
      if name in seen:
        raise errors.InputError(
          f"{path}: person {name[0]!r}, video {name[1]!r} is already in "
          f"{seen[name]}; rename one folder, or make one dataset of each."
        )
      seen[name] = path
