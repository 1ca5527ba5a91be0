import errno
import os
import pathlib
import pickle
import platform
import signal
import subprocess
import sys
import threading
import types

import jax
import pytest

from facerep_jax import cli, environment, errors
from facerep_jax.data import build, cache, extract, sources
from facerep_jax.data.labelled import tfds_sets


def run(main, monkeypatch, *arguments):
  monkeypatch.setattr("sys.argv", ["command", *arguments])
  return cli.run(main)


def fails(error):
  def main(arguments):
    raise error

  return main


@pytest.mark.parametrize(
  ("error", "said"),
  [
    (OSError(errno.ENOSPC, "x", "/a/b"), "/a/b: No space left on device. Make"),
    (OSError(errno.EFBIG, "x", b"/a\xff"), "File too large. Make room"),
    (OSError(errno.EDQUOT, "x"), "Disk quota exceeded. Make room"),
    (PermissionError(errno.EACCES, "x", "/a"), "/a: Permission denied. Change"),
    (OSError(errno.EROFS, "x", "/a"), "/a: Read-only file system. Choose"),
    (OSError(errno.ENOLCK, "x", "/a"), "No locks available. Choose a place on"),
    (OSError(errno.EIO, "x", "/a"), "Input/output error. Check the disk"),
    (FileNotFoundError(errno.ENOENT, "x", "/a"), "/a: No such file or dir"),
    (MemoryError("Unable to allocate 9 GiB"), "out of memory (Unable to al"),
    # As TensorStore and XLA say it.
    (
      ValueError(
        'RESOURCE_EXHAUSTED: Error writing local file "/run/x/manifest": '
        "Failed to write 116 bytes to file 14: [os_error_code='28']"
      ),
      "/run/x/manifest: No space left on device. Make room",
    ),
    (
      ValueError("Failed to open '/run/x': Read-only file system"),
      "/run/x: Read-only file system. Choose",
    ),
    (
      RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes."),
      "out of memory on the device (RESOURCE_EXHAUSTED: Out of memory",
    ),
  ],
)
def test_trouble_of_the_machine_is_one_line(error, said, monkeypatch, capsys):
  assert run(fails(error), monkeypatch) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ") and said in line


def test_it_is_found_behind_other_errors(monkeypatch, capsys):
  def main(arguments):
    try:
      raise OSError(errno.ENOSPC, "x", "/disk")
    except OSError as error:
      raise ValueError("Save failed") from error

  assert run(main, monkeypatch) == 1
  assert "/disk: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
  "error",
  [ValueError("x"), RuntimeError("x"), OSError("no number"), KeyError("x")],
)
def test_defects_keep_their_traceback(error, monkeypatch):
  with pytest.raises(type(error)):
    run(fails(error), monkeypatch)


def test_what_was_handled_before_does_not_hide_a_defect(monkeypatch):
  def main(arguments):
    try:
      raise FileNotFoundError(errno.ENOENT, "x", "/a")
    except FileNotFoundError:
      raise ValueError("defect")  # noqa: B904

  with pytest.raises(ValueError, match="defect"):
    run(main, monkeypatch)


@pytest.mark.parametrize(
  ("kind", "text", "said"),
  [
    (RuntimeError, "Unable to: no GPU\nhere.", " (Unable to: no GPU here)."),
    (AssertionError, "", "."),
  ],
)
def test_missing_devices_are_named(kind, text, said, monkeypatch, capsys):
  import jax

  def no_devices():
    raise kind(text)

  monkeypatch.setattr(jax, "devices", no_devices)
  monkeypatch.setenv("JAX_PLATFORMS", "cuda")
  assert run(lambda arguments: jax.devices(), monkeypatch) == 1
  (line,) = capsys.readouterr().err.splitlines()
  want = f"JAX_PLATFORMS=cuda: JAX finds no such device{said} Unset JAX_"
  assert line.startswith(f"error: {want}")


def test_the_real_jax_without_the_device_is_one_line():
  code = (
    "import sys; from facerep_jax import cli\n"
    "import jax; sys.exit(cli.run(lambda _: jax.local_devices()))"
  )
  for wanted in ("cuda", "nonsense"):
    done = subprocess.run(
      [sys.executable, "-c", code],
      env=os.environ | {"JAX_PLATFORMS": wanted, "CUDA_VISIBLE_DEVICES": ""},
      capture_output=True,
      text=True,
      check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last.startswith(f"error: JAX_PLATFORMS={wanted}: JAX finds no")


@pytest.fixture
def _sigint_ignored():
  """As for what a script starts in the background."""
  before = signal.signal(signal.SIGINT, signal.SIG_IGN)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_sigint_ignored")
def test_trouble_in_a_thread_ends_the_command(monkeypatch, capsys):
  def write():
    raise OSError(errno.ENOSPC, "x", "/events")

  def main(arguments):
    threading.Thread(target=write).start()
    threading.Event().wait()  # For what the thread will not bring.

  before = threading.excepthook
  assert run(main, monkeypatch) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: /events: No space left on device.")
  assert threading.excepthook is before


def test_what_tensorstore_says_of_failed_writes_is_dropped(monkeypatch):
  told = []

  def main(arguments):
    for text in ("Event loop is closed", "a defect"):
      failed = types.SimpleNamespace(exc_value=RuntimeError(text))
      sys.unraisablehook(failed)

  before = lambda failed: told.append(str(failed.exc_value))
  monkeypatch.setattr(sys, "unraisablehook", before)
  assert run(main, monkeypatch) == 0
  assert told == ["a defect"]
  assert sys.unraisablehook is before


def test_the_place_is_told_where_the_error_names_none(monkeypatch, capsys):
  def main(arguments):
    with environment.at("/runs/one"):
      raise OSError(errno.ENOSPC, "x")

  assert run(main, monkeypatch) == 1
  assert "error: /runs/one: No space left" in capsys.readouterr().err


def test_other_libraries_log_nothing(monkeypatch, capfd):
  import logging

  def main(arguments):
    for name in ("absl", "asyncio"):
      logging.getLogger(name).error("a\nlong\ntraceback")
    logging.getLogger("facerep_jax.x").info("ours")

  assert run(main, monkeypatch) == 0
  assert capfd.readouterr().err == "ours\n"


def test_names_that_the_terminal_cannot_show(monkeypatch):
  read, write = os.pipe()
  with open(write, "w", encoding="ascii") as narrow:
    monkeypatch.setattr("sys.stdout", narrow)
    assert run(lambda _: print("caf\xe9 \udcff"), monkeypatch) == 0
    assert narrow.errors == "strict"
  with open(read, "rb") as shown:
    assert shown.read() == b"caf\\xe9 \\udcff\n"


def test_a_closed_pipe_is_one_line(monkeypatch, capsys):
  read, write = os.pipe()
  os.close(read)
  with open(write, "w") as closed:
    monkeypatch.setattr("sys.stdout", closed)
    assert run(lambda _: print("x"), monkeypatch) == 1
  assert "reader of the output" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("given", "want"),
  [
    ("--output=~/x", "--output=/me/x"),
    ("~/x", "/me/x"),
    ("--output=~", "--output=/me"),
    ("--also=~/a,b,~/c", "--also=/me/a,b,/me/c"),
    ("--data=lfw:~/lfw:cut=face", "--data=lfw:/me/lfw:cut=face"),
    ("--source=synthetic:ict=~/ict", "--source=synthetic:ict=/me/ict"),
    ("--config.data.path=~/t", "--config.data.path=/me/t"),
    # Names in which it is a letter as others.
    ("--output=./~/x", "--output=./~/x"),
    ("--output=a~/x", "--output=a~/x"),
    ("--images=~$doc", "--images=~$doc"),
  ],
)
def test_home_is_put_in_the_place_of_its_sign(given, want, monkeypatch):
  monkeypatch.setenv("HOME", "/me")
  got = []
  assert run(got.extend, monkeypatch, given) == 0
  assert got == [want]


@pytest.fixture
def no_home(monkeypatch):
  def none():
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.setattr(pathlib.Path, "home", none)
  for name in ("FACEREP_CACHE", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
    monkeypatch.delenv(name, raising=False)


def test_without_a_home_what_is_said_suffices(no_home, monkeypatch, tmp_path):
  with pytest.raises(errors.InputError, match="Set FACEREP_CACHE to a folder"):
    environment.cache_root()
  with pytest.raises(errors.InputError, match="Set TFDS_DATA_DIR to a folder"):
    tfds_sets._find("lfw", "")
  with pytest.raises(errors.InputError, match="--output=~/x: there is no home"):
    environment.expand(["--output=~/x"])
  assert environment.expand(["--output=x"]) == ["--output=x"]
  monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
  assert environment.cache_root() == pathlib.Path("/caches/facerep_jax")
  monkeypatch.setenv("FACEREP_CACHE", "/own")
  assert environment.cache_root() == pathlib.Path("/own")
  with pytest.raises(errors.InputError, match="no prepared dataset in"):
    tfds_sets._find("lfw", str(tmp_path))


@pytest.mark.parametrize(
  "number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]
)
def test_locks_that_a_file_system_refuses(number, tmp_path, monkeypatch):
  def refuse(file, how):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr("fcntl.flock", refuse)
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "cache"))
  said = r"refuses locks \(.*\)\. Set FACEREP_CACHE"
  with pytest.raises(errors.InputError, match=said):
    cache.benchmark()
  units = sources.collect([sources.Source("synthetic")], 1, 1)
  with pytest.raises(errors.InputError, match="locks .* --output on a local"):
    build.build(
      units, str(tmp_path / "o"), extract.Settings(size_px=16), build.Plan()
    )


def test_errors_of_workers_keep_their_number():
  error = pickle.loads(pickle.dumps(OSError(errno.ENOSPC, "x", "/a")))
  assert environment.line_of(error).startswith("/a: No space left")


def test_place_of_caches(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "a"))
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
  assert environment.cache_root() == tmp_path / "a"
  monkeypatch.delenv("FACEREP_CACHE")
  assert environment.cache_root() == tmp_path / "b" / "facerep_jax"
  monkeypatch.delenv("XDG_CACHE_HOME")
  assert (
    environment.cache_root() == pathlib.Path.home() / ".cache" / "facerep_jax"
  )


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
  with environment.compiling_anew():
    assert hits()[0] == 0


def test_without_a_place_nothing_is_kept(no_home, monkeypatch):
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
  environment.keep_compiled()
  assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_time_to_compile_is_measured_anew(monkeypatch):
  monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE", raising=False)
  with environment.compiling_anew():
    assert not jax.config.jax_enable_compilation_cache
  assert jax.config.jax_enable_compilation_cache


@pytest.mark.parametrize(
  ("argument", "name"),
  [
    ("--workdir=gs://bucket/run", "--workdir=gs://bucket/run"),
    ("--data=lfw:x", None),
    ("--config.data.path=s3://b/tracks", "--config.data.path=s3://b/tracks"),
    ("http://here/photos", "path=http://here/photos"),
    ("--images=a:b//c", None),
  ],
)
def test_addresses_of_stores_are_refused(argument, name):
  if name is None:
    assert environment.expand([argument]) == [argument]
    return
  with pytest.raises(errors.InputError) as caught:
    environment.expand([argument])
  assert str(caught.value).startswith(f"{name}: expected a path")


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
