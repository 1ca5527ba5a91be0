import os
import platform
import subprocess
import sys

import jax
import pytest

from facerep_jax import errors
from facerep_jax.files import places
from facerep_jax.runs import process_options

# A program that JAX compiles for over the second from which it keeps them.
_COMPILING = """
import sys
from facerep_jax import cli
{first}

def main(arguments):
  import jax
  import jax.numpy as jnp

  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  hits = []
  jax.monitoring.register_event_listener(
    lambda name, **_: hits.append(name.endswith("/cache_hits"))
  )
  jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((9, 9))).block_until_ready()
  print(sum(hits), jax.config.jax_compilation_cache_max_size)

sys.exit(cli.run(main))
"""


@pytest.mark.parametrize("first", ["", "import jax"])
def test_commands_keep_what_they_compiled(first, tmp_path):
  def hits(**changes):
    names = "COMPILATION_CACHE_DIR", "PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    kept = os.environ | {"FACEREP_CACHE": str(tmp_path / "made")} | changes
    done = subprocess.run(
      [sys.executable, "-c", _COMPILING.format(first=first)],
      env={k: v for k, v in kept.items() if k.removeprefix("JAX_") not in names}
      | changes,
      capture_output=True,
      text=True,
      check=True,
    )
    assert not done.stderr
    return [int(x) for x in done.stdout.split()]

  assert hits() == [0, 4 * 2**30]
  (folder,) = (tmp_path / "made").glob("compiled-*")
  assert list(folder.glob("*-cache"))
  count, _ = hits()
  assert count > 0
  own = tmp_path / "own"
  assert hits(JAX_COMPILATION_CACHE_DIR=str(own)) == [0, -1]
  assert list(own.glob("*-cache"))
  with process_options.compiling_anew():
    assert hits()[0] == 0


def test_without_a_place_nothing_is_kept(monkeypatch):
  def none():
    raise errors.InputError("no place")

  monkeypatch.setattr(places, "cache_root", none)
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
  process_options.keep_compiled()
  assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_time_to_compile_is_measured_anew(monkeypatch):
  monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE", raising=False)
  with process_options.compiling_anew():
    assert not jax.config.jax_enable_compilation_cache
  assert jax.config.jax_enable_compilation_cache


# 64 MiB in a thread, as XLA allocates them, twice; faults of the second time.
FAULTS = """
import resource
import threading
from facerep_jax import cli

def faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def allocate(size):
  b"x" * size
  before = faults()
  b"x" * size
  print(faults() - before)

def main(arguments):
  thread = threading.Thread(target=allocate, args=(64 << 20,))
  thread.start()
  thread.join()

cli.run(main)
"""


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's"
)
@pytest.mark.parametrize(
  "settings, is_kept", [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "0"}, False)]
)
def test_commands_keep_freed_memory_unless_told_otherwise(settings, is_kept):
  own = ("MALLOC_", "GLIBC_TUNABLES")
  around = {k: v for k, v in os.environ.items() if not k.startswith(own)}
  done = subprocess.run(
    [sys.executable, "-c", FAULTS],
    env=around | settings,
    capture_output=True,
    text=True,
    check=True,
  )
  num_faults = int(done.stdout)
  # 16,384 small pages, or 32 large ones where the system gives them unasked.
  assert num_faults < 16 if is_kept else num_faults >= 31


def test_quick_flags_are_known_to_xla(monkeypatch):
  flags = process_options.quick_flags()
  assert "--xla_backend_optimization_level=0" in flags
  assert set(flags) <= set(os.environ["XLA_FLAGS"].split())  # Of the suite.
  monkeypatch.setitem(process_options._QUICK, "xla_cpu_no_such_flag", "1")
  assert process_options.quick_flags() == flags
