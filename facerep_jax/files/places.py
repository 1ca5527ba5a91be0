"""Places on this machine: the home folder, caches; addresses are refused."""

import os
import pathlib
import re

from facerep_jax import errors

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TILDE = re.compile(r"(^|[=,:])~(?=/|,|$)")


def home(purpose: str, instead: str) -> pathlib.Path:
  """Finds the user's home folder.

  Args:
    purpose: What needs it, such as "the cache".
    instead: What to give where there is none, such as "FACEREP_CACHE".

  Raises:
    InputError: This user has none, as in some containers and batch systems.
  """
  try:
    return pathlib.Path.home()
  except RuntimeError as error:
    raise errors.InputError(
      f"{purpose}: there is no home folder (HOME is not set). Set {instead} to "
      "a folder that can be written."
    ) from error


def cache_root() -> pathlib.Path:
  """Returns the folder of caches: FACEREP_CACHE, or the user's cache folder.

  Raises:
    InputError: Neither is known.
  """
  own, caches = map(os.environ.get, ("FACEREP_CACHE", "XDG_CACHE_HOME"))
  if own:
    return pathlib.Path(own)
  if caches:
    return pathlib.Path(caches) / "facerep_jax"
  return home("cache", "FACEREP_CACHE") / ".cache" / "facerep_jax"


def expand(arguments: list[str]) -> list[str]:
  """Puts the home folder in the place of "~", where a shell leaves it.

  Args:
    arguments: Of a command line, such as "--output=~/x", "--also=~/a,~/b" or
      "--data=lfw:~/lfw". "./~/x" means a folder that is called so.

  Returns:
    The same with whole paths.

  Raises:
    InputError: There is a "~", but no home folder, or an address of a store.
  """
  for argument in arguments:
    name, _, place = argument.rpartition("=")
    check_local(name or "path", place)
  return [_expanded(argument) for argument in arguments]


def check_local(name: str, place: str) -> None:
  """Refuses addresses of stores, such as buckets.

  Args:
    name: Of the option or setting, for the message.
    place: Its value.

  Raises:
    InputError: It is an address, which would become a folder of that name.
  """
  found = _ADDRESS.match(place)
  if found:
    raise errors.InputError(
      f"{name}={place}: expected a path; addresses ({found[0]}..) cannot be "
      "read or written. Mount the bucket (such as with gcsfuse) or copy what "
      "is needed: docs/launch.md, Storage."
    )


def _expanded(argument):
  if not _TILDE.search(argument):
    return argument
  folder = home(argument, "HOME")
  return _TILDE.sub(lambda found: f"{found[1]}{folder}", argument)
