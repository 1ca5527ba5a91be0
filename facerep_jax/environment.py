"""Troubles of the machine, not of the library, as lines for the user."""

import contextlib
import ctypes
import errno
import hashlib
import os
import pathlib
import platform
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
_COMPILED = "JAX_COMPILATION_CACHE_DIR"
_USES_COMPILED = "JAX_ENABLE_COMPILATION_CACHE"
_COMPILED_BYTES = 4 * 2**30
# Options of glibc's mallopt (malloc.h): large arrays are no mappings of their
# own, up to 2 GiB is kept, and one heap serves all threads, since only the
# first can grow beyond 64 MiB.
_MMAP_MAX, _TRIM_THRESHOLD, _ARENA_MAX = -4, -1, -8
_MALLOC_OPTIONS = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TILDE = re.compile(r"(^|[=,:])~(?=/|,|$)")


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


def keep_compiled() -> None:
  """Lets JAX keep compiled programs in the cache, unless told otherwise.

  What the environment says of JAX's compilation cache stands; without a place
  for caches there is none.
  """
  if _COMPILED not in os.environ and _may_cache():
    place = cache_root() / f"compiled-{_processor()}"
    _set_jax(_COMPILED, str(place))
    _set_jax("JAX_COMPILATION_CACHE_MAX_SIZE", str(_COMPILED_BYTES))


@contextlib.contextmanager
def compiling_anew() -> Iterator[None]:
  """Keeps JAX from using compiled programs of before, to time compiling."""
  before = os.environ.get(_USES_COMPILED)
  _set_jax(_USES_COMPILED, "false")
  _forget_compiled()
  try:
    yield
  finally:
    _set_jax(_USES_COMPILED, before or "true")
    _forget_compiled()


def keep_memory() -> None:
  """Lets this process keep freed memory for its next arrays.

  glibc gives large blocks back when they are freed. The next step of a program
  on CPUs gets them anew, page by page, which takes up to a fifth of its time.
  What the environment says of glibc's allocator stands; with other allocators
  nothing happens.
  """
  if platform.libc_ver()[0] != "glibc" or any(map(_is_of_malloc, os.environ)):
    return
  set_option = ctypes.CDLL(None).mallopt
  for option, value in _MALLOC_OPTIONS.items():
    set_option(option, value)


def _is_of_malloc(name):
  return name == "GLIBC_TUNABLES" or name.startswith("MALLOC_")


def _forget_compiled():
  """Lets JAX decide anew whether it uses the cache: it does so only once."""
  if "jax" in sys.modules:
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()


def _set_jax(name, text):
  """Sets an option of JAX, imported or not, for processes to come as well."""
  os.environ[name] = text
  if "jax" not in sys.modules:
    return
  value = {"true": True, "false": False}.get(text, text)
  if text.isdecimal():
    value = int(text)
  sys.modules["jax"].config.update(name.lower(), value)


def _may_cache():
  """Says whether there is a folder for caches that can be written."""
  try:
    place = cache_root()
  except errors.InputError:
    return False
  while not place.exists():
    place = place.parent
  return os.access(place, os.W_OK)


def _processor():
  """Names what programs are compiled for, where homes are shared."""
  parts = [platform.machine(), platform.processor()]
  with contextlib.suppress(OSError):
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    kinds = ("flags", "Features", "model name")
    parts += sorted({x for x in lines if x.startswith(kinds)})
  return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


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
