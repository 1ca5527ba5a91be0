import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import types

import jax
import pytest

from facerep_jax import cli, environment, errors
from facerep_jax.data import build, cache, extract, sources


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
    logging.getLogger("__main__").info("of the module that is run")

  assert run(main, monkeypatch) == 0
  assert capfd.readouterr().err == "ours\nof the module that is run\n"


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
