"""Options of JAX and of the allocator, for this process."""

import contextlib
import ctypes
import hashlib
import importlib.util
import mmap
import os
import pathlib
import platform
import sys
from collections.abc import Iterator

from facerep_jax import errors
from facerep_jax.files import places

_COMPILED = "JAX_COMPILATION_CACHE_DIR"
_USES_COMPILED = "JAX_ENABLE_COMPILATION_CACHE"
_COMPILED_BYTES = 4 * 2**30
# Options of glibc's mallopt (malloc.h): large arrays are no mappings of their
# own, up to 2 GiB is kept, and one heap serves all threads, since only the
# first can grow beyond 64 MiB.
_MMAP_MAX, _TRIM_THRESHOLD, _ARENA_MAX = -4, -1, -8
_MALLOC_OPTIONS = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1}
# Leave the optimisation out, make loops the quick way, and do not cut programs
# into parts.
_QUICK = {
  "xla_backend_optimization_level": "0",
  "xla_cpu_use_fusion_emitters": "false",
  "xla_cpu_parallel_codegen_split_count": "1",
}


def keep_compiled() -> None:
  """Lets JAX keep compiled programs in the cache, unless told otherwise.

  What the environment says of JAX's compilation cache stands; without a place
  for caches there is none.
  """
  if _COMPILED not in os.environ and _may_cache():
    place = places.cache_root() / f"compiled-{_processor()}"
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


def quick_flags() -> list[str]:
  """Returns flags with which XLA compiles fast for CPUs, to slow programs.

  For XLA_FLAGS, before JAX starts. Only those that the installed XLA knows:
  one that it does not ends the process.
  """
  folder = pathlib.Path(importlib.util.find_spec("jaxlib").origin).parent
  known = set()
  for path in folder.glob("*.so"):
    with (
      open(path, "rb") as file,
      mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
      known |= {x for x in _QUICK if content.find(x.encode()) >= 0}
  return [f"--{name}={x}" for name, x in _QUICK.items() if name in known]


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
    place = places.cache_root()
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
