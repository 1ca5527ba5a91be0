"""A training that the disk ends, in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import tiny

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Files of at most so many bytes stand for a disk that is full.
CODE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from facerep_jax import cli, distributed, main
distributed.leave(cli.run(main.main))
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path):
  data = tiny.write_tracks(tmp_path / "tracks")
  workdir = tmp_path / "run"
  changes = [f"data.path={data}", "steps=10", "batch_size=4", "every.eval=5"]
  changes += ["model.size_px=32", "model.width=4", "model.embed_dim=8"]

  def train(most_bytes):
    return subprocess.run(
      [
        *(sys.executable, "-c", CODE, str(most_bytes)),
        *("--config=fabnet:demo", f"--workdir={workdir}"),
        *(f"--config.{x}" for x in changes),
      ],
      cwd=ROOT,
      env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
      capture_output=True,
      text=True,
      check=False,
    )

  done = train(30_000)  # Enough for all but checkpoints and pictures.
  lines = done.stderr.splitlines()
  assert done.returncode == 1 and "Traceback" not in done.stderr
  assert [x for x in lines if x.startswith("error: ")] == [lines[-1]]
  assert str(workdir) in lines[-1] and "File too large" in lines[-1]
  assert (workdir / "metrics.jsonl").is_file()
  done = train(2**30)
  assert done.returncode == 0, done.stderr
  assert (workdir / "examples.npz").is_file()
