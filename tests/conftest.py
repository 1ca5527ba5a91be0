"""Settings of the whole suite: eight CPU devices, strict promotion."""

import gc
import os
import pathlib
import shutil
import tempfile

from facerep_jax.runs import process_options

# The suite compiles more than it computes.
_FLAGS = [
  "--xla_force_host_platform_device_count=8",
  *process_options.quick_flags(),
]
os.environ["XLA_FLAGS"] = " ".join((*_FLAGS, os.environ.get("XLA_FLAGS", "")))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402  (after the flags, which are read on import)
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Many tests compile the same program: once is enough for all processes, of
# which the first is the one that finds no folder yet.
_IS_FIRST = "FACEREP_TESTS_COMPILED" not in os.environ
if _IS_FIRST:
  os.environ["FACEREP_TESTS_COMPILED"] = tempfile.mkdtemp(
    prefix="facerep_jax_compiled_"
  )
_CACHE = os.environ["FACEREP_TESTS_COMPILED"]
_LEAST_S = 0.2
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_S)
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(_LEAST_S)

# Tracing makes many objects, few of them garbage: to search for it as often as
# is usual takes a twentieth of the time of a training in a test.
gc.set_threshold(200_000, 50, 100)

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_unconfigure():
  """Removes the compiled programs, once no process needs them."""
  if _IS_FIRST:
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """Folder of reference data beside the project; skips where it is absent."""
  path = ROOT.parent / "shared"
  if not path.is_dir():
    pytest.skip(f"{path} is absent")
  return path


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
  """Folder of the small reference files of the project."""
  return ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def compiled_once():
  """Runs of a module share what is compiled for the same settings."""
  from tests import compile_once  # JAX's settings above come first.

  with compile_once.for_all_runs():
    yield
