"""Troubles of the machine, not of the library, as lines for the user."""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator

from facerep_jax import errors

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HINTS = {
  **dict.fromkeys(FULL, "Make room and run the same command again."),
  errno.EACCES: "Change its permissions, or choose another place.",
  errno.EPERM: "Change its permissions, or choose another place.",
  errno.EROFS: "Choose another place.",
  errno.ENOLCK: "Choose a place on a local disk.",
  errno.EMFILE: "Raise the limit of open files (ulimit -n).",
  errno.EIO: "Check the disk, or the connection to it.",
  errno.ESTALE: "Check the connection to the file server.",
}
_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|[Oo]ut of memory")
_SMALLER = "Use smaller batches, fewer processes or smaller pictures."
_LONGEST_REASON = 300
# What JAX raises where the devices that JAX_PLATFORMS asks for are missing; the
# second where no plugin knows them.
_NO_DEVICES = (RuntimeError, AssertionError)
# Of these, some are trouble of the machine.
KINDS = (OSError, ValueError, MemoryError, *_NO_DEVICES)


def line_of(error: BaseException) -> str | None:
  """Says an error in one line where the machine is its cause.

  Args:
    error: What a command raised.

  Returns:
    What is wrong, where, and what to do; None for a defect of the library.
  """
  while error is not None:
    if isinstance(error, OSError) and error.errno is not None:
      return _of_system(error.errno, error.filename or error.filename2)
    if isinstance(error, MemoryError):
      return f"out of memory ({_reason(error)}). {_SMALLER}"
    line = _of_devices(error) or _of_text(error)
    if line:
      return line
    error = error.__cause__
  return None


def _of_system(number, place):
  where = f"{os.fsdecode(place)}: " if isinstance(place, str | bytes) else ""
  hint = _HINTS.get(number, "")
  return f"{where}{os.strerror(number)}. {hint}".rstrip()


def _of_devices(error):
  """Says that JAX has no devices, if that is so."""
  if not isinstance(error, _NO_DEVICES) or "jax" not in sys.modules:
    return None
  try:
    sys.modules["jax"].devices()
  except _NO_DEVICES as trouble:
    wanted = os.environ.get("JAX_PLATFORMS", "")
    reason = f" ({_reason(trouble)})" if str(trouble) else ""
    return (
      f"JAX_PLATFORMS={wanted}: JAX finds no such device{reason}. Unset "
      "JAX_PLATFORMS to use what there is, or install the JAX of the device: "
      'pip install "facerep_jax[cuda]".'
    )
  return None


def _of_text(error):
  """Finds errors of the system in what TensorStore and XLA say of them."""
  if not isinstance(error, RuntimeError | ValueError):
    return None
  text = str(error)
  for number in _HINTS:
    if f"os_error_code='{number}'" in text or os.strerror(number) in text:
      place = re.search(r"""["'](/[^"']+)["']""", text)
      return _of_system(number, place[1] if place else None)
  if _MEMORY.search(text):
    return f"out of memory on the device ({_reason(error)}). {_SMALLER}"
  return None


def _reason(error):
  text = " ".join(str(error).split()) or type(error).__name__
  if len(text) > _LONGEST_REASON:
    text = text[:_LONGEST_REASON] + ".."
  return text.rstrip(".")


@contextlib.contextmanager
def at(place: str | os.PathLike) -> Iterator[None]:
  """Says of errors that name no file where they were.

  Args:
    place: What is written to meanwhile.
  """
  try:
    yield
  except OSError as error:
    if error.errno is not None and error.filename is None:
      error.filename = os.fspath(place)
    raise


@contextlib.contextmanager
def locks_of(place: str | os.PathLike, hint: str) -> Iterator[None]:
  """Says in one line that a file system refuses locks, as some of networks do.

  Args:
    place: What is to be locked.
    hint: What to do about it.

  Raises:
    InputError: A lock was refused; that another process holds it, which is a
      `BlockingIOError`, is left to the caller.
  """
  try:
    yield
  except BlockingIOError:
    raise
  except OSError as error:
    raise errors.InputError(
      f"{place}: this file system refuses locks ({error.strerror}). {hint}"
    ) from error
