import logging
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from facerep_jax import cli, distributed, errors, sharding
from facerep_jax.runs import metrics
from facerep_jax.training import preemption, setup
from tests import tiny

ROOT = pathlib.Path(__file__).resolve().parent.parent


def environment(
  address="host:1234", count="4", number="3", auto=None, start=None
):
  values = {
    "FACEREP_START_TIMEOUT_S": start,
    "FACEREP_COORDINATOR": address,
    "FACEREP_NUM_PROCESSES": count,
    "FACEREP_PROCESS": number,
    "FACEREP_DISTRIBUTED": auto,
  }
  return {name: x for name, x in values.items() if x is not None}


def test_settings_are_what_jax_takes():
  assert distributed.settings({}) is None
  assert distributed.settings(environment("", "", "", "")) is None
  assert distributed.settings(environment()) == {
    "coordinator_address": "host:1234",
    "num_processes": 4,
    "process_id": 3,
    "initialization_timeout": 300,
    "heartbeat_timeout_seconds": 100,
  }
  assert distributed.settings(
    {
      "FACEREP_DISTRIBUTED": "auto",
      "FACEREP_START_TIMEOUT_S": "1200",
      "FACEREP_HEARTBEAT_TIMEOUT_S": "20",
    }
  ) == {"initialization_timeout": 1200, "heartbeat_timeout_seconds": 20}


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    ({"number": None}, "FACEREP_PROCESS not"),
    ({"address": None, "count": ""}, "FACEREP_COORDINATOR and FACEREP_NUM"),
    ({"auto": "yes"}, "FACEREP_DISTRIBUTED=yes: expected auto"),
    ({"auto": "auto"}, "Unset one or the other"),
    ({"auto": "auto", "count": None, "number": None}, "but FACEREP_COORD"),
    ({"address": "host"}, "expected HOST:PORT"),
    ({"address": ":1234"}, "expected HOST:PORT"),
    ({"address": "host:x"}, "expected HOST:PORT"),
    ({"address": "host:70000"}, "expected HOST:PORT"),
    ({"count": "0", "number": "0"}, "FACEREP_NUM_PROCESSES=0"),
    ({"count": "two"}, "FACEREP_NUM_PROCESSES=two"),
    ({"number": "4"}, "from 0 to FACEREP_NUM_PROCESSES - 1 = 3"),
    ({"number": "-1"}, "FACEREP_PROCESS=-1"),
    ({"start": "0"}, "FACEREP_START_TIMEOUT_S=0: expected a whole number of"),
    ({"start": "2m"}, "FACEREP_START_TIMEOUT_S=2m: expected"),
  ],
)
def test_variables_that_do_not_fit_are_refused(changes, text):
  with pytest.raises(errors.InputError, match=text):
    distributed.settings(environment(**changes))


def test_the_exit_code_of_a_stopped_training():
  name = "FACEREP_STOPPED_EXIT_CODE"
  assert not any(map(distributed.stopped_code, ({}, {name: ""}, {name: "0"})))
  assert distributed.stopped_code({name: "75"}) == 75
  for text in ("1", "2", "126", "-3", "x"):
    with pytest.raises(errors.InputError, match=f"{name}={text}: expected"):
      distributed.start({name: text})


def test_a_port_in_use_and_one_without_process_0_are_refused():
  with socket.create_server(("127.0.0.1", 0)) as other:
    address = f"127.0.0.1:{other.getsockname()[1]}"
    with pytest.raises(errors.InputError, match="another program uses"):
      distributed.start(environment(address, "2", "0"))
  with pytest.raises(errors.InputError, match="does not answer there within 1"):
    distributed.start(environment(address, "2", "1", start="1"))


def processes(code, *environments):
  """Runs Python code in processes side by side: code, stdout, stderr."""
  flags = os.environ | {"XLA_FLAGS": ""}
  started = [
    subprocess.Popen(
      [sys.executable, "-c", code],
      cwd=ROOT,
      env=flags | values,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for values in environments
  ]
  outs = [process.communicate(timeout=300) for process in started]
  return [(p.returncode, *out) for p, out in zip(started, outs)]


def test_main_refuses_half_of_the_variables_in_one_line():
  command = "from facerep_jax import main, cli, distributed\n"
  command += "distributed.leave(cli.run(main.main))"
  (done,) = processes(command, {"FACEREP_PROCESS": "1"})
  assert done[:2] == (1, "")
  assert done[2].startswith("error: FACEREP_PROCESS: set, but FACEREP_COORD")
  assert len(done[2].splitlines()) == 1


# As a task of Slurm's finds itself; JAX looks these up.
MEET = """
import logging, signal, sys, time
from facerep_jax import distributed
distributed.start()
import jax, numpy as np
from facerep_jax import sharding
assert jax.process_count() == jax.device_count() == 2
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
number = jax.process_index()
print("number", number)
with distributed.first_alone("a"):
  time.sleep(1 - number)
  begin = time.time()
any_process = sharding.jit_any(sharding.make_mesh())
votes = [bool(any_process(x)) for x in (False, number == 1, True)]
assert votes == [False, True, True], votes
logging.warning("a warning")
print("begin", begin, file=sys.stderr)
"""


def test_tasks_of_slurm_find_each_other_and_agree():
  found = processes(
    MEET,
    *(
      {
        "FACEREP_DISTRIBUTED": "auto",
        # The port follows from the number of the job.
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(number),
        "SLURM_LOCALID": str(number),
      }
      for number in range(2)
    ),
  )
  assert [x[0] for x in found] == [0, 0], found
  # The second says nothing but what it writes to stderr itself.
  assert "number 0" in found[0][1] and found[1][1] == ""
  assert "a warning" in found[0][2] and "a warning" not in found[1][2]
  times = [float(x[2].split("begin ")[1].split()[0]) for x in found]
  assert times[0] < times[1]


FAIL = """
from facerep_jax import cli, distributed, errors
def main(arguments):
  distributed.start()
  if distributed.is_first():
    distributed.wait("for ever")
  {raising}
distributed.leave(cli.run(main))
"""


@pytest.mark.parametrize(
  ("raising", "text"),
  [
    ("raise errors.InputError('wrong')", "error: wrong"),
    ("raise ZeroDivisionError", "Traceback"),
  ],
)
def test_one_that_fails_does_not_wait_for_the_others(raising, text):
  with socket.create_server(("127.0.0.1", 0)) as free:
    address = f"127.0.0.1:{free.getsockname()[1]}"
  code = FAIL.format(raising=raising)
  first, second = (
    subprocess.Popen(
      [sys.executable, "-c", code],
      cwd=ROOT,
      env=os.environ | environment(address, "2", str(number)),
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(2)
  )
  try:
    # Python would wait 300 seconds for the other one.
    err = second.communicate(timeout=200)[1]
    assert second.returncode == 1 and text in err
  finally:
    first.kill()
    first.communicate()


def test_leave_ends_a_process_at_once_only_after_a_failure(monkeypatch):
  for name in ("AUTO", "COORDINATOR", "COUNT", "NUMBER"):
    monkeypatch.delenv(getattr(distributed, f"_{name}"), raising=False)
  ended = []
  monkeypatch.setattr(distributed.os, "_exit", ended.append)
  with pytest.raises(SystemExit) as told:
    distributed.leave(0)
  assert told.value.code == 0 and ended == []
  with pytest.raises(SystemExit):  # Where the stand-in has returned.
    distributed.leave(3)
  assert ended == [3]
  # All have come to the end; JAX lets them go together.
  monkeypatch.setenv("FACEREP_STOPPED_EXIT_CODE", "75")
  with pytest.raises(SystemExit) as told:
    distributed.leave(75)
  assert told.value.code == 75 and ended == [3]


def test_agreement_comes_so_many_questions_later(monkeypatch):
  monkeypatch.setattr(preemption.jax, "process_count", lambda: 2)
  told = [False, False, True, False, False, False]
  ask = preemption.agreed(
    iter(told).__next__, sharding.make_mesh(jax.devices()[:2]), delay=2
  )
  assert [ask() for _ in told] == [False, False, False, False, True, False]


def test_a_single_process_needs_no_agreement():
  mesh = sharding.make_mesh(jax.devices()[:2])
  assert preemption.agreed(bool, mesh, delay=3) is bool


def test_any_sees_each_device():
  any_process = sharding.jit_any(sharding.make_mesh())
  assert not any_process(False) and any_process(True)
  assert any_process(np.bool_(True)).dtype == bool


def test_others_write_and_show_nothing(tmp_path, capsys):
  methods = {name for name in vars(metrics.Writer) if name[0] != "_"}
  assert methods == {name for name in vars(metrics.Silent) if name[0] != "_"}
  logging.disable(logging.WARNING)
  try:
    with cli.Progress(1, "steps", "tracks") as progress:
      progress.advance(1, 1)
  finally:
    logging.disable(logging.NOTSET)
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize("is_there", [True, False])
def test_others_refuse_what_process_0_did_not_write(
  tmp_path, monkeypatch, is_there
):
  data = tiny.write_tracks(tmp_path / "tracks")
  config = tiny.config(data)
  if is_there:
    setup._store(tiny.config(data, steps=7), tmp_path)
  monkeypatch.setattr(distributed, "is_first", lambda: False)
  monkeypatch.setattr(distributed, "_SHOWN_AFTER_S", 0.2)
  with pytest.raises(errors.InputError, match="the same command"):
    setup._store(config, tmp_path)
  config.steps = 7
  if is_there:
    setup._store(config, tmp_path)  # As process 0 was told.
