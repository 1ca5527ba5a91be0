"""Several processes and slices compute what one process does, also after a
process has died. Run with -m slow: each training takes up to some minutes.
"""

import os
import shutil
import signal
import time

import numpy as np
import pytest

from facerep_jax.runs import metrics
from tests import process_runs, small_runs, test_launch, tiny

pytestmark = pytest.mark.slow
_HEARTBEAT_S = 10
# Until the others notice, for a machine that is busy with other work.
_MARGIN_S = 120
_STEPS = {"steps": 200, "every.eval": 20}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"), recordings=2)


def stages(folder):
  """Returns the folders in which a run wrote its metrics."""
  return sorted(path.parent for path in folder.rglob("metrics.jsonl"))


def check_same(folder, other):
  """Compares metrics and weights of two runs.

  Not to the last bit: gradients and batch statistics are sums over devices,
  which processes add up in another order than the devices of one. The first
  step has no other difference; later ones add what it did to the weights. The
  gradient of an L1 loss, a ReLU or a bilinear sample jumps where rounding
  decides, so that gradients, and with them weights, may differ by more than
  losses do.
  """
  for place, there in zip(stages(folder), stages(other), strict=True):
    lines = small_runs.readings(place), small_runs.readings(there)
    for a, b in zip(*lines, strict=True):
      assert a.pop("split") == b.pop("split") and a.keys() == b.keys()
      for name, value in a.items():
        limit = 1e-7 + (1e-4 if "grad" in name else 1e-5) * abs(value)
        assert abs(b[name] - value) <= limit, (name, value, b[name])
  found, want = process_runs.weights(other), process_runs.weights(folder)
  assert found.keys() == want.keys() and len(want) > 20
  for name, x in want.items():
    limit = 1e-4 * np.abs(x).max()
    np.testing.assert_allclose(found[name], x, rtol=0, atol=limit, err_msg=name)


def codes(folder):
  """Returns the codes of all frames, read whole."""
  return np.load(folder / "diffusion" / "codes.npy")


@pytest.mark.parametrize("system", ["fabnet", "latentface"])
def test_processes_and_slices_give_what_one_process_does(
  system, data, tmp_path
):
  one, two, slices = (tmp_path / x for x in ("one", "two", "slices"))
  process_runs.train(system, data, one, 1, 8)
  process_runs.train(system, data, two, 2, 4)
  check_same(one, two)
  # The first process has the second slice: the last rows of each batch.
  order = {process_runs.SLICES: "1,0"}
  process_runs.train(system, data, slices, 2, 4, **order)
  check_same(one, slices)
  if system == "latentface":
    np.testing.assert_allclose(codes(two), codes(one), rtol=1e-5, atol=1e-6)


def test_saved_on_two_processes_goes_on_with_one_and_with_three(data, tmp_path):
  whole, part = tmp_path / "whole", tmp_path / "part"
  process_runs.train("fabnet", data, whole, 2, 1, steps=6)
  process_runs.train("fabnet", data, part, 2, 1)
  for count in (1, 3):
    folder = tmp_path / str(count)
    shutil.copytree(part, folder)
    log = process_runs.train("fabnet", data, folder, count, 1, steps=6)
    assert "resumed from step 3" in log
    assert f"resumed on {count} devices instead of 2" in log
    check_same(whole, folder)


def strike(arguments, folder, step, number, victim):
  """Sends one of two processes a signal after some step; waits for the other.

  No script is there that would end the other one, too. What was saved two steps
  before, in the background, is there by then.

  Returns:
    Exit code of the other, what it wrote, and the seconds that it took.
  """
  timeout = {"FACEREP_HEARTBEAT_TIMEOUT_S": str(_HEARTBEAT_S)}
  started = process_runs.start(
    ["-m", "facerep_jax.main", *arguments],
    process_runs.environments(2, 1, **timeout),
  )
  try:
    test_launch.reach(folder, step, started[0])
    saved = folder / "checkpoints" / str(step - 2)
    deadline = time.monotonic() + _MARGIN_S
    while not saved.is_dir() and time.monotonic() < deadline:
      time.sleep(0.01)
    started[victim].send_signal(number)
    begin = time.monotonic()
    err = started[1 - victim].communicate(timeout=_HEARTBEAT_S + _MARGIN_S)[1]
    return started[1 - victim].returncode, err, time.monotonic() - begin
  finally:
    for process in started:
      process.kill()
      process.wait()


def test_one_that_dies_or_freezes_ends_all_and_they_go_on(data, tmp_path):
  whole, folder = tmp_path / "whole", tmp_path / "parts"
  process = test_launch.start(
    "local.sh", *test_launch.settings(data, whole, **_STEPS)
  )
  code, _, err = test_launch.finish(process, 900)
  assert code == 0, err
  arguments = test_launch.settings(data, folder, **_STEPS)
  hits = [
    (signal.SIGSTOP, 1),
    (signal.SIGSTOP, 0),
    (signal.SIGKILL, 1),
    (signal.SIGKILL, 0),
  ]
  for i, (number, victim) in enumerate(hits):
    code, err, taken_s = strike(
      arguments[1:], folder, 22 + 20 * i, number, victim
    )
    print(f"{number.name} to process {victim}: code {code}, {taken_s:.0f} s")
    last = err.splitlines()[-1]
    if code == 1:
      assert last.startswith(f"error: process {victim} of this run has ended")
      assert "Traceback" not in err, err
    else:  # By JAX itself, where a process is silent, or process 0 is gone.
      assert code == -signal.SIGABRT, err
      assert "Terminating process because the JAX distributed service" in err
    assert metrics.read(folder)[-1]["step"] < _STEPS["steps"]
  code, _, err = test_launch.finish(
    test_launch.start("local.sh", *arguments), 900
  )
  assert code == 0 and "resumed from step 80" in err, err
  assert small_runs.readings(whole) == small_runs.readings(folder)


def test_the_script_ends_when_a_process_freezes(data, tmp_path):
  folder = tmp_path / "run"
  process = test_launch.start(
    "local.sh",
    *test_launch.settings(data, folder, **_STEPS),
    FACEREP_HEARTBEAT_TIMEOUT_S=str(_HEARTBEAT_S),
  )
  test_launch.reach(folder, 22, process)
  frozen = test_launch.children(process.pid)[1]
  os.kill(frozen, signal.SIGSTOP)
  code, _, err = test_launch.finish(process, _HEARTBEAT_S + _MARGIN_S)
  assert code in (1, 128 + signal.SIGABRT), err
  assert f"process 0 was the first to fail, with exit code {code}." in err
  said = "error: process 1 of this run has ended" if code == 1 else "JAX ends a"
  assert said in err and "from its last checkpoint" in err, err
  assert not test_launch.children(process.pid)
