import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from facerep_jax import errors
from facerep_jax.runs import run_lock

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOLD = """
import fcntl, sys
from facerep_jax.runs import run_lock
if {is_refused}:
  def refuse(*args):
    raise OSError(37, "No locks available")
  fcntl.flock = refuse
with run_lock.held(sys.argv[1]):
  print("held", flush=True)
  sys.stdin.read()
"""


def refuse(*args):
  raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture(params=["locks", "no locks"])
def kind(request, monkeypatch):
  """Locks of the file system, and one that refuses them."""
  if request.param == "no locks":
    monkeypatch.setattr(fcntl, "flock", refuse)
  return request.param


@pytest.fixture
def start(kind, tmp_path):
  """Starts a process that holds the folder."""
  started = []

  def run():
    code = HOLD.format(is_refused=kind == "no locks")
    process = subprocess.Popen(
      [sys.executable, "-c", code, str(tmp_path)],
      cwd=ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    started.append(process)
    assert process.stdout.readline() == "held\n"
    return process

  yield run
  for process in started:
    process.kill()
    process.communicate()


def held_text(folder):
  return json.loads((folder / run_lock.NAME).read_text())


def test_who_holds_a_folder_is_named(start, tmp_path):
  other = start()
  note = held_text(tmp_path)
  assert note["pid"] == other.pid and note["host"] == os.uname().nodename
  with (
    pytest.raises(errors.InputError) as caught,
    run_lock.held(tmp_path),
  ):
    pass
  text = str(caught.value)
  assert f"{tmp_path}: process {other.pid} on {note['host']} (since " in text
  assert note["since"] in text and "another --workdir" in text
  assert held_text(tmp_path) == note  # Left as it was.
  other.communicate("")
  assert other.returncode == 0
  assert not list(tmp_path.iterdir())
  with run_lock.held(tmp_path):
    assert held_text(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_locks_of_dead_processes_are_taken_over(start, tmp_path, how, caplog):
  other = start()
  other.send_signal(how)
  assert other.wait() == -how
  assert held_text(tmp_path)["pid"] == other.pid
  with (
    caplog.at_level("INFO", "facerep_jax"),
    run_lock.held(tmp_path),
  ):
    assert held_text(tmp_path)["pid"] == os.getpid()
    assert os.listdir(tmp_path) == [run_lock.NAME]
  assert f"process {other.pid} on" in caplog.text
  assert "has ended; taken over" in caplog.text
  assert not list(tmp_path.iterdir())


def test_one_process_holds_a_folder_once(kind, tmp_path):
  with run_lock.held(tmp_path / "new" / "run"):
    with (
      pytest.raises(errors.InputError, match=f"process {os.getpid()} on"),
      run_lock.held(tmp_path / "new" / "run"),
    ):
      pass
    assert held_text(tmp_path / "new" / "run")["pid"] == os.getpid()
  with run_lock.held(tmp_path / "new" / "run"):
    pass


def test_an_error_lets_the_folder_go(kind, tmp_path):
  with pytest.raises(ZeroDivisionError), run_lock.held(tmp_path):
    raise ZeroDivisionError
  assert not list(tmp_path.iterdir())


def test_file_systems_without_locks_are_named(tmp_path, monkeypatch, caplog):
  monkeypatch.setattr(fcntl, "flock", refuse)
  with caplog.at_level("INFO", "facerep_jax"), run_lock.held(tmp_path):
    pass
  assert "this file system refuses locks (No locks available)" in caplog.text


def leave(folder, **changes):
  """Leaves a lock as a process of this machine does that is still there."""
  with run_lock.held(folder):
    note = held_text(folder)
  note |= changes
  (folder / run_lock.NAME).write_text(json.dumps(note))
  return note


@pytest.mark.parametrize(
  "changes", [{"host": "elsewhere"}, {"host": "elsewhere", "pid": 1 << 30}]
)
def test_without_locks_other_machines_are_believed(
  tmp_path, monkeypatch, changes
):
  note = leave(tmp_path, **changes)
  monkeypatch.setattr(fcntl, "flock", refuse)
  with (
    pytest.raises(errors.InputError) as caught,
    run_lock.held(tmp_path),
  ):
    pass
  assert f"process {note['pid']} on elsewhere" in str(caught.value)
  assert f"delete {tmp_path / run_lock.NAME}" in str(caught.value)
  assert held_text(tmp_path) == note


def test_a_number_that_another_process_has_now_is_no_holder(
  tmp_path, monkeypatch
):
  leave(tmp_path, started="long ago")
  monkeypatch.setattr(fcntl, "flock", refuse)
  with run_lock.held(tmp_path):
    assert held_text(tmp_path)["started"] != "long ago"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "\x00" * 9])
def test_a_damaged_note_is_no_obstacle_with_locks(tmp_path, text):
  (tmp_path / run_lock.NAME).write_text(text)
  with run_lock.held(tmp_path):
    assert held_text(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_note_is_refused_without_locks(tmp_path, monkeypatch, text):
  (tmp_path / run_lock.NAME).write_text(text)
  monkeypatch.setattr(fcntl, "flock", refuse)
  with (
    pytest.raises(errors.InputError, match="another process trains there"),
    run_lock.held(tmp_path),
  ):
    pass
  assert (tmp_path / run_lock.NAME).read_text() == text


def test_links_are_not_written_through(tmp_path):
  (tmp_path / "file").write_text("text")
  (tmp_path / run_lock.NAME).symlink_to(tmp_path / "file")
  with (
    pytest.raises(errors.InputError, match="is a symbolic link"),
    run_lock.held(tmp_path),
  ):
    pass
  assert (tmp_path / "file").read_text() == "text"
