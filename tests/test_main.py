import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from facerep_jax.runs import metrics
from tests import small_runs, tiny

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIG = "--config=configs/fabnet.py:demo"


def start(*arguments, **environment):
  return subprocess.Popen(
    [sys.executable, "-m", "facerep_jax.main", *arguments],
    cwd=ROOT,
    env=os.environ | small_runs.ONE_DEVICE | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process):
  out, err = process.communicate(timeout=300)
  return process.returncode, out, err


@pytest.mark.parametrize(
  ("arguments", "texts"),
  [
    ([CONFIG, "--config.batchsize=3"], ["--config.batchsize", "batch_size?"]),
    ([CONFIG, "--config.model.widht=3"], ["there is no such", "model.width?"]),
    ([CONFIG, "--config.batch_size=1.5"], ["batch_size=1.5", "int"]),
    ([CONFIG + "o"], ["no preset 'demoo'", "paper, sources, small, demo"]),
    (["--config=configs/fabnt.py"], ["configs/fabnt.py: no such file"]),
    ([CONFIG, "--wrokdir=x"], ["Unknown command line flag 'wrokdir'"]),
    ([CONFIG, "more"], ["unexpected arguments: more"]),
    ([], ["--config is missing"]),
  ],
)
def test_a_wrong_command_line_ends_in_one_line(arguments, texts):
  code, out, err = finish(start(*arguments))
  assert code == 1
  assert out == "" and len(err.splitlines()) == 1, err
  assert err.startswith("error: ") and all(text in err for text in texts)


def test_help():
  code, out, _ = finish(start("--help"))
  assert code == 0 and "--config.batch_size=64" in out and "--workdir" in out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


def settings(data, workdir, **changes):
  values = {
    "steps": 40,
    "batch_size": 4,
    "data.path": data,
    "model.size_px": 32,
    "model.width": 4,
    "model.embed_dim": 8,
    "every.log": 3,
    "every.eval": 5,
  } | changes
  overrides = [f"--config.{name}={value}" for name, value in values.items()]
  return [CONFIG, f"--workdir={workdir}", *overrides]


def test_killed_and_started_again_equals_not_killed(data, tmp_path):
  # Apart: what is killed while it writes there is nobody else's.
  own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
  whole = start(*settings(data, tmp_path / "whole"), **own)
  killed = start(*settings(data, tmp_path / "killed"), **own)
  checkpoints = tmp_path / "killed" / "checkpoints"
  deadline = time.monotonic() + 240
  while time.monotonic() < deadline and killed.poll() is None:
    if any(path.name.isdigit() for path in checkpoints.glob("*")):
      break
    time.sleep(0.01)
  killed.send_signal(signal.SIGKILL)
  assert finish(killed)[0] == -signal.SIGKILL
  left = [line["step"] for line in small_runs.readings(tmp_path / "killed")]
  assert left and left[-1] < 40  # It was in the middle.
  code, out, err = finish(start(*settings(data, tmp_path / "killed"), **own))
  assert code == 0, err
  assert "resumed from step" in err
  assert "linear probe of yaw, trained" in out
  code, _, err = finish(whole)
  assert code == 0, err
  assert small_runs.readings(tmp_path / "whole") == small_runs.readings(
    tmp_path / "killed"
  )


@pytest.mark.parametrize(
  ("changes", "texts"),
  [
    ({"batch_size": 0}, ["config.batch_size: expected a whole number from 1"]),
    (
      {"data.path": "nowhere", "batch_size": 8},
      ["nowhere", "does not exist", "make_tracks"],
    ),
  ],
)
def test_what_does_not_fit_ends_in_one_line(data, tmp_path, changes, texts):
  code, _, err = finish(start(*settings(data, tmp_path / "run", **changes)))
  last = err.splitlines()[-1]
  assert code == 1 and "Traceback" not in err
  assert last.startswith("error: ") and all(text in last for text in texts)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_shards_are_named_or_skipped(tmp_path, damage):
  data = pathlib.Path(tiny.write_tracks(tmp_path / "tracks"))
  shard = data / "tracks-train.tfrecord-00000-of-00001"
  content = bytearray(shard.read_bytes())
  if damage == "cut":
    del content[-100:]
  else:
    content[len(content) // 2] ^= 1
  shard.write_bytes(content)
  arguments = settings(str(data), tmp_path / "run", steps=6, batch_size=8)
  code, _, err = finish(start(*arguments))
  last = err.splitlines()[-1]
  assert code == 1 and "Traceback" not in err
  assert last.startswith("error: ") and shard.name in last and "record" in last
  # The same run goes on when told to skip.
  code, _, err = finish(start(*arguments, "--config.data.on_bad_record=skip"))
  assert code == 0, err
  trained = [x for x in metrics.read(tmp_path / "run") if "bad_records" in x]
  assert trained[-1]["bad_records"] == 1
