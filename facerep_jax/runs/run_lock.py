"""A folder that one process at a time writes to, and that says which one.

The lock is a file whose text names its holder. The operating system gives up
the lock of a process that ends in whatever way; where a file system refuses
such locks, the file's existence stands in for one, and its text tells whether
the holder is still there.
"""

import contextlib
import datetime
import fcntl
import json
import logging
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

from facerep_jax import errors
from facerep_jax.files import atomic

NAME = "lock.json"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(workdir: str | os.PathLike) -> Iterator[None]:
  """Holds the folder of a run.

  Args:
    workdir: The folder; made if it does not exist.

  Raises:
    InputError: Another process holds it; the line names it.
  """
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / NAME
  file = _take(path)
  try:
    yield
  finally:
    # Before it is let go: nobody else can hold what is deleted here.
    if _is_at(file, path):
      path.unlink()
    file.close()


def _take(path):
  """Returns the file that is held, open."""
  while True:
    file, is_new = atomic.open_or_make(path)
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      holder = _read(file)
      file.close()
      raise _refusal(path, holder) from error
    except OSError as error:
      if not is_new:
        file.close()
        _put_away(path)
        continue
      _log.info(
        "%s: this file system refuses locks (%s); that the file is there "
        "stands in for one.",
        path,
        error.strerror,
      )
      break
    if _is_at(file, path):
      _say_whose_it_was(path, _read(file))
      break
    file.close()  # Its last holder has deleted it meanwhile.
  _write(file)
  return file


def _is_at(file, path):
  try:
    return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
  except FileNotFoundError:
    return False


def _put_away(path):
  """Deletes the lock file of a process that has ended, and no other."""
  with contextlib.suppress(FileNotFoundError):
    holder = _read_path(path)
    if holder is None or not _is_gone(holder):
      raise _refusal(path, holder)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    os.rename(path, aside)
    now = _read_path(aside)
    if now != holder:  # Another process was faster, and holds it.
      os.rename(aside, path)
      raise _refusal(path, now)
    aside.unlink()
    _say_whose_it_was(path, holder)


def _write(file):
  file.seek(0)
  file.truncate()
  json.dump(_me(), file)
  file.flush()


def _read_path(path):
  with open(path, encoding="utf-8") as file:
    return _read(file)


def _read(file):
  """Returns who the file names, None where it does not say."""
  file.seek(0)
  try:
    holder = json.load(file)
  except ValueError:
    return None
  kinds = {name: type(value) for name, value in _me().items()}
  is_ours = isinstance(holder, dict) and kinds == {
    name: type(holder.get(name)) for name in kinds
  }
  return holder if is_ours else None


def _me() -> dict[str, Any]:
  now = datetime.datetime.now().astimezone()
  return {
    "pid": os.getpid(),
    "host": socket.gethostname(),
    "since": now.isoformat(timespec="seconds"),
    "started": _start_of(os.getpid()),
  }


def _start_of(pid):
  """Says when a process began, which tells it from a later one of its number.

  Returns:
    Boot of the machine and ticks since then; "" where the system has no such
    files, or no such process.
  """
  try:
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return ""
  # Behind the name in brackets, which may hold anything.
  return f"{boot} {stat.rpartition(')')[2].split()[19]}"


def _is_gone(holder):
  """Says whether it is certain that a holder has ended."""
  if holder["host"] != socket.gethostname():
    return False
  try:
    os.kill(holder["pid"], 0)
  except ProcessLookupError:
    return True
  except PermissionError:
    pass  # It is there, and another user's.
  return _start_of(holder["pid"]) != holder["started"]


def _say_whose_it_was(path, holder):
  if holder:
    _log.info(
      "%s: process %s on %s, which held it since %s, has ended; taken over.",
      path,
      holder["pid"],
      holder["host"],
      holder["since"],
    )


def _refusal(path, holder):
  who = "another process"
  if holder:
    who = (
      f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    )
  return errors.InputError(
    f"{path.parent}: {who} trains there. Wait for it, end it, or give another "
    f"--workdir. If it is gone for certain, delete {path}."
  )
