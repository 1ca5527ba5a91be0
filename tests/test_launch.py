import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from facerep_jax.training import loop, setup
from tests import small_runs, tiny

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"
EXPERIMENTS = ROOT / "docs" / "experiments"
CONFIG = "--config=configs/fabnet.py:demo"


def start(script, *arguments, **environment):
  """Starts a script of launch/ as a user would in the folder of the project."""

  def heed_interrupts():
    # What runs in the background of a shell was told to ignore them, and so
    # would its children be.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

  return subprocess.Popen(
    ["bash", str(LAUNCH / script), *map(str, arguments)],
    cwd=ROOT,
    env=os.environ | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    preexec_fn=heed_interrupts,
  )


def finish(process, timeout_s=60):
  out, err = process.communicate(timeout=timeout_s)
  return process.returncode, out, err


def stub(folder, name, text):
  """Writes a program that stands in for another one."""
  path = folder / name
  path.write_text("#!/usr/bin/env bash\n" + text)
  path.chmod(0o755)
  return str(path)


def test_shellcheck_finds_nothing():
  beside = pathlib.Path(sys.executable).parent / "shellcheck"
  found = str(beside) if beside.exists() else shutil.which("shellcheck")
  if found is None:
    pytest.skip("shellcheck is absent")
  scripts = [x for x in LAUNCH.iterdir() if x.name != "Dockerfile"]
  scripts = sorted(map(str, (*scripts, *EXPERIMENTS.iterdir())))
  assert len(scripts) == 7 + 15
  done = subprocess.run([found, *scripts], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout


def test_dry_run_of_local_shows_each_process():
  code, out, err = finish(
    start(
      "local.sh",
      "--dry-run",
      3,
      CONFIG,
      "--workdir=a b",
      FACEREP_CPU_DEVICES="4",
      XLA_FLAGS="--xla_flag",
      PYTHON="python3",
    )
  )
  assert code == 0 and err == ""
  commands = [shlex.split(line) for line in out.splitlines()]
  assert len(commands) == 3
  for number, command in enumerate(commands):
    first = command.index("python3")
    assert command[0] == "env"
    assert command[first:] == [
      *("python3", "-m", "facerep_jax.main"),
      *(CONFIG, "--workdir=a b"),
    ]
    place = dict(word.split("=", 1) for word in command[1:first])
    address = place.pop("FACEREP_COORDINATOR")
    assert address.startswith("127.0.0.1:")
    assert address == commands[0][1].split("=")[1]
    assert place == {
      "FACEREP_NUM_PROCESSES": "3",
      "FACEREP_PROCESS": str(number),
      "JAX_COORDINATOR_BIND_ADDRESS": address,
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": "--xla_flag --xla_force_host_platform_device_count=4",
    }


def test_local_gives_each_process_a_gpu_when_no_cpus_are_wanted():
  environment = {"FACEREP_CPU_DEVICES": "0"}
  out = finish(start("local.sh", "--dry-run", 2, CONFIG, **environment))[1]
  assert "CUDA_VISIBLE_DEVICES=1 " in out.splitlines()[1]
  assert "JAX_PLATFORMS" not in out


def test_dry_run_of_slurm():
  arguments = (CONFIG, "--workdir=a b")
  code, out, _ = finish(start("slurm.sbatch", "--dry-run", *arguments))
  assert code == 0
  assert shlex.split(out) == [
    *("env", "FACEREP_DISTRIBUTED=auto", "srun", "--kill-on-bad-exit=1"),
    *("python", "-m", "facerep_jax.main", *arguments),
  ]


def test_dry_run_of_a_pod():
  arguments = ("a-pod", "us-central2-b", "my code", CONFIG, "--workdir=a b")
  code, out, _ = finish(start("tpu_pod.sh", "--dry-run", *arguments))
  assert code == 0
  commands = [shlex.split(line) for line in out.splitlines()]
  for command in commands:
    assert command[:7] == [
      *("gcloud", "compute", "tpus", "tpu-vm", "ssh", "a-pod"),
      "--zone=us-central2-b",
    ]
  host = ("cd", "my code", "&&", "bash", "launch/tpu_host.sh")
  train = ("FACEREP_STOPPED_EXIT_CODE=75", "python3", "-m", "facerep_jax.main")
  for command, worker, there in zip(
    commands,
    ("all", "all", "0", "0"),
    (
      ["start", "env", "FACEREP_DISTRIBUTED=auto", *train, *arguments[3:]],
      *(["follow"], ["follow"], ["status"]),
    ),
    strict=True,
  ):
    assert command[7] == f"--worker={worker}"
    (text,) = (x for x in command if x.startswith("--command="))
    assert shlex.split(text.split("=", 1)[1]) == [*host, *there]
  # The output of each host goes to a file of its own.
  assert "--output-directory=logs/a-pod/a-pod" in commands[1]


@pytest.mark.parametrize(
  ("script", "arguments", "text"),
  [
    ("local.sh", [], "PROCESSES: expected"),
    ("local.sh", ["0", CONFIG], "PROCESSES: expected"),
    ("local.sh", [CONFIG], "PROCESSES: expected"),
    ("local.sh", ["2"], "--config is missing"),
    ("local.sh", ["2", "--config.steps=3"], "--config is missing"),
    ("slurm.sbatch", [], "--config is missing"),
    ("slurm.sbatch", ["--dry-run"], "--config is missing"),
    ("slurm.sbatch", [CONFIG], "no Slurm job"),
    ("tpu_pod.sh", [], "arguments are missing"),
    ("tpu_pod.sh", ["a-pod", "us-central2-b", CONFIG], "are missing"),
    ("tpu_pod.sh", ["--x", "us-east1-d", "f", CONFIG], "NAME: expected"),
    ("tpu_pod.sh", ["a-pod", "here", "f", CONFIG], "ZONE: expected"),
    ("tpu_pod.sh", ["a-pod", "us-east1-d", "~/f", CONFIG], "FOLDER: expected"),
    ("tpu_pod.sh", ["a-pod", "us-east1-d", "f", "--workdir=w"], "--config is"),
  ],
)
def test_wrong_arguments_are_refused_with_the_usage(script, arguments, text):
  code, out, err = finish(start(script, *arguments))
  assert code == 2 and out == ""
  error, usage = err.splitlines()[:2]
  assert error.startswith("error: ") and text in error
  assert usage.startswith("usage: ") and f"launch/{script}" in usage


def test_local_keeps_outputs_apart_and_ends_with_the_last(tmp_path):
  python = stub(
    tmp_path,
    "python",
    """
    echo "out $FACEREP_PROCESS $*"; echo "err $FACEREP_PROCESS" >&2
    if [ "$FACEREP_PROCESS" = 1 ]; then sleep 0.5; printf late; fi
    """,
  )
  code, out, err = finish(start("local.sh", 2, CONFIG, PYTHON=python))
  assert code == 0
  assert out == f"out 0 -m facerep_jax.main {CONFIG}\n"
  lines = err.splitlines()
  assert lines.index("[1] err 1") < lines.index("[1] late")
  assert "err 0" in lines and len(lines) == 4


# 134: as JAX ends a process where another one is silent.
@pytest.mark.parametrize(("failing", "ended"), [(0, 7), (2, 134)])
def test_local_kills_the_others_when_one_fails(tmp_path, failing, ended):
  # A process that hears no SIGTERM, and one that it started.
  python = stub(
    tmp_path,
    "python",
    f"""
    if [ "$FACEREP_PROCESS" = {failing} ]; then sleep 0.5; exit {ended}; fi
    trap '' TERM
    sleep 987 & echo $! > {tmp_path}/$FACEREP_PROCESS
    wait
    """,
  )
  begin = time.monotonic()
  code, _, err = finish(start("local.sh", 3, CONFIG, PYTHON=python))
  assert code == ended
  # Five seconds are theirs; the rest is for a busy machine.
  assert 4 < time.monotonic() - begin < 30
  said = f"process {failing} was the first to fail, with exit code {ended}."
  assert said in err
  assert ("another one no longer answers" in err) == (ended == 134)
  for other in {0, 1, 2} - {failing}:
    # What they had started is gone too, or waits for its parent to notice.
    path = pathlib.Path("/proc", (tmp_path / str(other)).read_text().strip())
    assert not path.exists() or "sleep" not in (path / "cmdline").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_local_passes_signals_on(tmp_path, number):
  name = number.name.removeprefix("SIG")
  python = stub(
    tmp_path,
    "python",
    f"""
    trap 'echo caught >&2; exit 0' {name}
    touch {tmp_path}/up$FACEREP_PROCESS
    while :; do sleep 0.1; done
    """,
  )
  process = start("local.sh", 2, CONFIG, PYTHON=python)
  deadline = time.monotonic() + 30
  while len(list(tmp_path.glob("up*"))) < 2:
    assert time.monotonic() < deadline and process.poll() is None
    time.sleep(0.05)
  process.send_signal(number)
  code, _, err = finish(process)
  assert code == 0
  caught = [line for line in err.splitlines() if "caught" in line]
  assert sorted(caught) == ["[1] caught", "caught"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


def settings(data, workdir, **changes):
  values = {
    "batch_size": 8,
    "data.path": data,
    "model.size_px": 32,
    "model.width": 4,
    "model.embed_dim": 8,
    "curriculum.use": True,
    "every.pictures": 0,
    "every.log": 1,
  } | changes
  overrides = [f"--config.{name}={value}" for name, value in values.items()]
  return [2, CONFIG, f"--workdir={workdir}", *overrides]


def test_two_processes_compute_what_one_does(data, tmp_path):
  steps = {"steps": 4, "every.eval": 2}
  process = start("local.sh", *settings(data, tmp_path / "two", **steps))
  config = tiny.config(data, steps=4, every__log=1, every__eval=2)
  config.every.pictures = 0
  with jax.numpy_dtype_promotion("standard"):
    prepared, state = setup.prepare(
      config, tmp_path / "one", data, jax.devices()[:2]
    )
    loop.train(prepared, state)
  code, out, err = finish(process, 600)
  assert code == 0, err
  # Process 0 alone tells how far it is, and measures the result.
  assert "4 of 4 steps" in err and "[1] 4 of 4 steps" not in err
  assert out.count("test tracks: loss") == 1
  assert (tmp_path / "two" / "summary.json").exists()
  one, two = (small_runs.readings(tmp_path / name) for name in ("one", "two"))
  assert len(one) == len(two) == 6
  for a, b in zip(one, two):
    assert a.pop("split") == b.pop("split")
    # The same sums of two rows each; that of both may be taken otherwise.
    for name, value in a.items():
      np.testing.assert_allclose(b[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_one_that_is_told_to_stop_stops_all_and_they_go_on(data, tmp_path):
  steps = {"steps": 200, "every.eval": 100}
  whole = start("local.sh", *settings(data, tmp_path / "whole", **steps))
  code, _, err = finish(whole, 900)
  assert code == 0, err
  for number, stop in enumerate((signal.SIGTERM, signal.SIGKILL)):
    folder = tmp_path / "parts"
    arguments = settings(data, folder, **steps)
    codes = {"FACEREP_STOPPED_EXIT_CODE": "75"}
    stopped = start("local.sh", *arguments, **codes)
    reach(folder, 30 + 90 * number, stopped)
    os.kill(children(stopped.pid)[1], stop)
    code, _, err = finish(stopped, 300)
    if stop == signal.SIGTERM:
      assert code == 75 and "stopped at step" in err, err
      # The other one ended by itself, too.
      assert "Terminating process" not in err and "Traceback" not in err, err
    else:
      assert code == 128 + signal.SIGKILL
    assert not (folder / "summary.json").exists()
  code, _, err = finish(start("local.sh", *arguments), 900)
  assert code == 0 and "resumed from step 100" in err, err
  assert small_runs.readings(tmp_path / "whole") == small_runs.readings(folder)


def reach(workdir, step, process):
  """Waits until a run has logged a step."""
  deadline = time.monotonic() + 600
  while process.poll() is None and time.monotonic() < deadline:
    path = workdir / "metrics.jsonl"
    if path.exists() and f'"step": {step},' in path.read_text():
      return
    time.sleep(0.05)
  pytest.fail(f"step {step} was not reached: {finish(process)}")


def children(pid):
  """Returns the processes of a run by their number."""
  found = {}
  for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
      parent = (path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1]
      variables = path.read_text().split("\0")
    except OSError:
      continue
    for variable in variables:
      if int(parent) == pid and variable.startswith("FACEREP_PROCESS="):
        found[int(variable.split("=")[1])] = int(path.parent.name)
  return found
