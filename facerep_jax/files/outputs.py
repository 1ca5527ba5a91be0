"""Checks of the places that a command will write to, before its work."""

import os
import pathlib
import tempfile

from facerep_jax import environment, errors

_PROBE_BYTES = 4096


def check_file(path: str | os.PathLike, flag: str = "") -> None:
  """Checks that a file can be written.

  Args:
    path: The file; its folder must exist.
    flag: That names it, such as "--output", for messages.

  Raises:
    InputError: It is a folder, its folder does not exist, or nothing can be
      written there.
  """
  name = _named(path, flag)
  if os.path.isdir(path):
    raise errors.InputError(f"{name}: expected a file, got a folder.")
  folder = os.path.dirname(os.path.abspath(path))
  if not os.path.isdir(folder):
    raise errors.InputError(f"{name}: its folder does not exist.")
  _probe(name, folder)


def check_folder(path: str | os.PathLike, flag: str = "") -> None:
  """Checks that a folder can be written to, or made; it is not made yet.

  Args:
    path: The folder.
    flag: That names it, for messages.

  Raises:
    InputError: It is a file, or nothing can be written there.
  """
  name = _named(path, flag)
  place = pathlib.Path(os.path.abspath(path))
  while not (place.exists() or place.is_symlink()):
    place = place.parent
  if not place.is_dir():
    what = "a file" if place.exists() else "a link that leads nowhere"
    raise errors.InputError(
      f"{name}: expected a folder, or a place to make it; {place} is {what}."
    )
  _probe(name, place)


def _named(path, flag):
  return f"{flag}={path}" if flag else os.fspath(path)


def _probe(name, folder):
  """Writes a little, since permissions do not tell all: a disk may be full."""
  try:
    with tempfile.TemporaryFile(dir=folder) as file:
      file.write(bytes(_PROBE_BYTES))
      file.flush()
      os.fsync(file.fileno())
  except OSError as error:
    why = environment.line_of(OSError(error.errno, ""))
    raise errors.InputError(
      f"{name}: nothing can be written there: {why}"
    ) from error


class Room:
  """Keeps room on the disk for a file that is to be written later.

  Use as a context manager; at its end the room is free for the file.

  Args:
    path: The file.
  """

  def __init__(self, path: str | os.PathLike):
    self._path = path
    self._file = None

  def __enter__(self):
    return self

  def __exit__(self, kind, value, traceback):
    if self._file is not None:
      self._file.close()

  def keep(self, num_bytes: int) -> None:
    """Keeps room, unless some is kept already.

    Args:
      num_bytes: How large the file will be.

    Raises:
      InputError: There is not as much room.
    """
    if self._file is not None:
      return
    folder = os.path.dirname(os.path.abspath(self._path))
    self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    _allocate(self._file, num_bytes, self._path)


def fill(path: str | os.PathLike) -> None:
  """Gives a sparse file its room on the disk.

  A memory map of a file without room ends the process by a signal when the
  disk is full.

  Args:
    path: The file.

  Raises:
    InputError: There is not as much room.
  """
  with open(path, "r+b") as file:
    _allocate(file, os.path.getsize(path), path)


def _allocate(file, num_bytes, path):
  try:
    os.posix_fallocate(file.fileno(), 0, max(1, num_bytes))
  except OSError as error:
    # Some file systems cannot keep room; then it shows when it is written.
    if error.errno not in environment.FULL:
      return
    raise errors.InputError(
      f"{path}: {num_bytes / 2**20:.3g} MiB are needed there: "
      f"{environment.line_of(OSError(error.errno, ''))}"
    ) from error
