"""What is said where another process of a run has ended."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import types

import jax
import pytest

from facerep_jax import cli, distributed
from facerep_jax.training import loop
from tests import test_distributed

ROOT = pathlib.Path(__file__).resolve().parent.parent
ERROR = jax.errors.JaxRuntimeError
# As the survivor of two processes on CPUs has raised them, by jaxlib 0.10.2.
GLOO = (
  "UNKNOWN: Gloo all-reduce failed: [external/gloo/gloo/transport/tcp/pair.cc:"
)
CLOSED = f"{GLOO}547] Connection closed by peer [127.0.0.1]:18145"
RESET = f"{GLOO}538] Read error [127.0.0.1]:25734: Connection reset by peer"
BARRIER = (
  "INTERNAL: Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 1 "
  "heartbeat timeout. This indicates that the remote task has failed, got "
  "preempted, or crashed unexpectedly. Check the task logs for an earlier "
  "error or scheduler events (e.g. preemption, eviction) to debug further. "
  "[type.googleapis.com/tensorflow.CoordinationServiceError='']. Barrier Id: "
  "facerep_jax/0/for ever::0, Task: 1\n\nRPC: "
  "/xla.coordination.CoordinationService/Barrier "
  "[type.googleapis.com/tensorflow.CoordinationServiceError='']"
)
# As it stood in what JAX logged before it ended the process by itself.
SILENT = (
  "UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):"
  "\n1\nThe tasks have crashed. Check the task logs for an earlier error"
)
NO_SERVICE = (
  "UNAVAILABLE: Failed to send RPC to coordination service. Either the leader "
  "task was preempted/died/restarted unexpectedly or this task is experiencing "
  "network issues."
)


@pytest.mark.parametrize(
  ("error", "count", "who", "why"),
  [
    (ERROR(CLOSED), 2, "process 1", "Connection closed by peer"),
    (ValueError(CLOSED), 2, "process 1", "Connection closed by peer"),
    (ERROR(RESET), 2, "process 1", "Connection reset by peer"),
    (ERROR(RESET), 3, "another process", "Connection reset by peer"),
    (ERROR(BARRIER), 3, "process 1", "heartbeat timeout"),
    (ERROR(SILENT), 3, "process 1", "stopped sending heartbeats"),
    (ERROR(NO_SERVICE), 3, "another process", "Failed to send RPC to coordin"),
  ],
)
def test_the_end_of_another_process_is_one_line(
  error, count, who, why, monkeypatch, capsys
):
  def main(arguments):
    try:
      raise error
    finally:
      # As where checkpoints are waited for, which fails, too.
      if count == 3:
        raise ValueError("the save failed")

  monkeypatch.setattr(jax, "process_count", lambda: count)
  monkeypatch.setattr("sys.argv", ["main"])
  assert cli.run(main) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f"error: {who} of this run has ended or no longer")
  assert why in line and "goes on from its last checkpoint" in line


@pytest.mark.parametrize(
  "error",
  [
    ERROR(f"{GLOO}50] Unsupported reduction kind"),
    ERROR(
      "ALREADY_EXISTS: key "
      "[type.googleapis.com/tensorflow.CoordinationServiceError='']"
    ),
    ERROR("INTERNAL: heartbeat"),
    ValueError("Connection reset by peer"),
    RuntimeError(CLOSED),
    OSError(CLOSED),
  ],
)
def test_other_errors_do_not_speak_of_processes(error):
  assert distributed.line_of(error) is None
  try:
    raise ValueError from error
  except ValueError as outer:
    assert distributed.line_of(outer) is None


def test_an_error_that_was_dealt_with_is_not_the_cause():
  with pytest.raises(ValueError) as told:
    try:
      raise ERROR(CLOSED)
    except ERROR:
      raise ValueError("of something else") from None
  assert distributed.line_of(told.value) is None


# Steps without end, of which each waits for both processes.
STEPS = """
import sys
from facerep_jax import cli, distributed
def main(arguments):
  distributed.start()
  from facerep_jax import sharding
  any_process = sharding.jit_any(sharding.make_mesh())
  any_process(True).block_until_ready()
  print("up", file=sys.stderr, flush=True)
  while bool(any_process(True)):
    pass
distributed.leave(cli.run(main))
"""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_is_told_by_the_other(victim):
  with socket.create_server(("127.0.0.1", 0)) as free:
    address = f"127.0.0.1:{free.getsockname()[1]}"
  common = os.environ | {"XLA_FLAGS": ""}
  both = [
    subprocess.Popen(
      [sys.executable, "-c", STEPS],
      cwd=ROOT,
      env=common | test_distributed.environment(address, "2", number),
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in "01"
  ]
  try:
    for process in both:
      assert any(line == "up\n" for line in process.stderr)
    both[victim].kill()
    err = both[1 - victim].communicate(timeout=100)[1]
  finally:
    for process in both:
      process.kill()
      process.wait()
      process.stderr.close()
  code = both[1 - victim].returncode
  # JAX ends process 1 once it misses process 0, unless we were faster.
  if (victim, code) != (0, -signal.SIGABRT):
    assert code == 1 and "Traceback" not in err, err
    last = err.splitlines()[-1]
    assert last.startswith(f"error: process {victim} of this run has ended")


@pytest.mark.parametrize(
  ("error", "is_waited_for"), [(ERROR(CLOSED), False), (ValueError(), True)]
)
def test_a_save_is_not_waited_for_without_the_others(
  error, is_waited_for, monkeypatch, tmp_path
):
  done = []

  def fail(*arguments):
    raise error

  monkeypatch.setattr(loop, "_loop", fail)
  every = types.SimpleNamespace(save_minutes=0)
  run = types.SimpleNamespace(
    mesh=None,
    workdir=tmp_path,
    config=types.SimpleNamespace(every=every, profile_steps=0),
    checkpoints=types.SimpleNamespace(wait=lambda: done.append("wait")),
    writer=types.SimpleNamespace(close=lambda: done.append("close")),
  )
  with pytest.raises(type(error)):
    loop.train(run, None)
  assert done == (["wait", "close"] if is_waited_for else ["close"])


def test_an_error_that_is_its_own_cause_has_an_end():
  """As where a thread that reads hands its error on, and it is raised anew."""
  first, second = ValueError("damaged"), RuntimeError("reading failed")
  first.__cause__, second.__context__ = second, first
  assert distributed.line_of(first) is None
  second.__cause__ = ERROR(CLOSED)
  assert "Connection closed by peer" in distributed.line_of(first)
