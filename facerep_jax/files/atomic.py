"""Writing files that are whole or absent, and reading small ones of ours.

All that the library writes goes through here. What lies under a name is
replaced, and never written through: a link that someone put there stays
without effect.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import Any

from facerep_jax import errors

SUFFIX = ".tmp"
# After which what a killed process left behind is removed.
_STALE_S = 24 * 3600
_NAME_LENGTH = 50  # Letters of the name: file systems take 255 bytes.


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Makes way for a file that appears only when it is complete.

  Several processes may write the same file at once: the last one wins.

  Args:
    path: Of the file; its folder is made if it does not exist.

  Yields:
    Where to write it, beside its place: a new, empty file that no one else
    writes to. It takes its place at the end, and is removed after an error.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = _free_name(path)
  os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Makes way for a folder that appears only when it is complete.

  Args:
    path: Of the folder, which must not exist; the one above it is made.

  Yields:
    A new, empty folder beside it, which takes its place at the end, and is
    removed after an error.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = _free_name(path)
  temporary.mkdir()
  try:
    yield temporary
    temporary.rename(path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _free_name(path: pathlib.Path) -> pathlib.Path:
  """Returns an unused name beside a path, and removes old ones of dead runs."""
  start = f"{path.name[:_NAME_LENGTH]}."
  with os.scandir(path.parent) as entries:
    for entry in entries:
      if entry.name.startswith(start) and entry.name.endswith(SUFFIX):
        _remove_stale(entry)
  return path.with_name(f"{start}{secrets.token_hex(8)}{SUFFIX}")


def _remove_stale(entry: os.DirEntry) -> None:
  try:
    age_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
    if age_s < _STALE_S:
      return
    if entry.is_dir(follow_symlinks=False):
      shutil.rmtree(entry.path)
    else:
      os.unlink(entry.path)
  except OSError:  # Another process removed it, or it is not ours to remove.
    return


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text, whole or not at all, also when the power fails."""
  with (
    whole(path) as temporary,
    open(temporary, "w", encoding="utf-8") as file,
  ):
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def write_json(path: str | os.PathLike, value: Any, indent: int = 2) -> None:
  """Writes a value as JSON; see `write_text`."""
  write_text(path, json.dumps(value, indent=indent) + "\n")


def read_json(
  path: str | os.PathLike, hint: str = "Restore it from a copy."
) -> dict[str, Any]:
  """Reads a file that `write_json` wrote of a dict.

  Args:
    path: Of the file.
    hint: What to do where it is damaged.

  Returns:
    The dict.

  Raises:
    FileNotFoundError: There is no such file.
    InputError: It cannot be read, or holds no JSON object.
  """
  try:
    with open(path, encoding="utf-8") as file:
      value = json.load(file)
  except FileNotFoundError:
    raise
  except OSError as error:
    raise errors.InputError(
      f"{path}: cannot be read ({error.strerror}). Check the file and its disk."
    ) from error
  # Bytes that are no text, text that is no JSON, or brackets without end.
  except (ValueError, RecursionError) as error:
    raise errors.InputError(f"{path}: is damaged ({error}). {hint}") from error
  if not isinstance(value, dict):
    raise errors.InputError(
      f"{path}: is damaged (expected a JSON object, got "
      f"{type(value).__name__}). {hint}"
    )
  return value


def open_lock(path: str | os.PathLike) -> Any:
  """Opens a file to lock, made where there is none; its content stays.

  Args:
    path: Of the file.

  Returns:
    The open file.

  Raises:
    InputError: A link lies there, which could lead anywhere.
    OSError: It cannot be made.
  """
  return open_or_make(path)[0]


def open_or_make(path: str | os.PathLike) -> tuple[Any, bool]:
  """Does as `open_lock`; returns whether the file was made now, too.

  Args:
    path: As for `open_lock`.

  Returns:
    The open file, and whether this call made it: among several processes, only
    one makes it.

  Raises:
    InputError: As `open_lock`.
    OSError: As `open_lock`.
  """
  flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
  while True:  # It may be deleted between the two.
    refuse_link(path)
    with contextlib.suppress(FileExistsError):
      handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
      return open(handle, "r+", encoding="utf-8"), True
    with contextlib.suppress(FileNotFoundError):
      return open(os.open(path, flags), "r+", encoding="utf-8"), False


def refuse_link(path: str | os.PathLike) -> None:
  """Checks that a name of ours is no symbolic link.

  Args:
    path: File or folder that the library makes and deletes by itself.

  Raises:
    InputError: It is a link: what would be written or deleted lies elsewhere.
  """
  if os.path.islink(path):
    raise errors.InputError(
      f"{path}: is a symbolic link, expected a file or folder of this "
      "library's own. Remove the link."
    )
