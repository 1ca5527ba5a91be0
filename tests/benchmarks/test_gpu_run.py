import os
import pathlib
import signal
import sys
import time

import pytest

from facerep_jax.benchmarks import gpu_run


def part(name, text, limit_s=30.0, **more):
  return gpu_run.Part(name, ("bash", "-c", text), limit_s, **more)


def run_all(tmp_path, parts, seconds=60.0):
  seen = []
  results = gpu_run.run_all(
    parts,
    tmp_path,
    time.monotonic() + seconds,
    lambda results: seen.append([x.name for x in results]),
  )
  assert seen == [[x.name for x in parts[: i + 1]] for i in range(len(parts))]
  return {result.name: result for result in results}


def test_a_part_that_fails_does_not_stop_the_next(tmp_path):
  found = run_all(
    tmp_path,
    [
      part("good", "echo $A", environment={"A": "seen"}),
      part("bad", "echo one; echo; echo two >&2; exit 3"),
      gpu_run.Part("absent", (str(tmp_path / "none"),), 30.0),
      part("last", "true"),
    ],
  )
  assert [x.status for x in found.values()] == [
    *("passed", "failed", "failed", "passed")
  ]
  assert found["bad"].exit_code == 3 and found["bad"].tail == ("one", "two")
  assert (tmp_path / "good.log").read_text() == "seen\n"
  assert "No such file" in found["absent"].tail[0]
  assert [x.is_good for x in found.values()] == [True, False, False, True]


def test_a_part_is_cut_at_its_limit_with_what_it_started(tmp_path):
  child = tmp_path / "child"
  text = f"sleep 300 & echo $! > {child}; trap '' TERM; wait; sleep 300"
  cut = part("cut", text, limit_s=1.0, grace_s=0.2)
  start = time.monotonic()
  found = run_all(tmp_path, [cut])["cut"]
  assert found.status == "cut" and time.monotonic() - start < 30
  for _ in range(100):
    if not _is_alive(int(child.read_text())):
      return
    time.sleep(0.1)
  pytest.fail("what the part started goes on")


def _is_alive(pid):
  """Whether a process runs; one that is dead and not yet fetched does not."""
  try:
    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
  except OSError:
    return False
  return state.split()[0] != "Z"


@pytest.mark.parametrize(
  ("may_be_told", "code", "status"),
  [(True, 0, "passed"), (True, 5, "cut"), (False, 0, "cut")],
)
def test_who_saves_when_told_has_passed(tmp_path, may_be_told, code, status):
  script = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "try:\n  print('begun', flush=True)\n  signal.pause()\n"
    "except KeyboardInterrupt:\n"
    f"  print('saved')\n  sys.exit({code})\n"
  )
  told = gpu_run.Part(
    "told",
    (sys.executable, "-c", script),
    limit_s=3.0,
    grace_s=20.0,
    stop=signal.SIGINT,
    may_be_told=may_be_told,
  )
  found = run_all(tmp_path, [told])["told"]
  assert (found.status, found.exit_code) == (status, code)
  assert found.tail == ("begun", "saved")


def test_parts_leave_time_to_those_behind(tmp_path):
  parts = [
    part("first", "sleep 60", grace_s=0.1),
    part("no_time", "echo no", least_s=30.0),
    part("kept", "true", least_s=8.0),
  ]
  # Seconds that are reserved for the second and third are not there.
  found = run_all(tmp_path, parts, seconds=10.0)
  assert [x.status for x in found.values()] == [
    *("left out", "left out", "passed")
  ]
  assert found["first"].exit_code is None and os.listdir(tmp_path) == [
    "kept.log"
  ]
