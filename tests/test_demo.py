"""The demo for three seeds: minutes each, run by hand with -m slow."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demo_beats_copying_and_random_weights(seed, tmp_path):
  subprocess.run(
    [
      *(sys.executable, "-m", "facerep_jax.main"),
      "--config=configs/fabnet.py:demo",
      f"--config.seed={seed}",
      f"--workdir={tmp_path}",
    ],
    cwd=ROOT,
    check=True,
  )
  summary = json.loads((tmp_path / "summary.json").read_text())
  print(json.dumps(summary))
  assert summary["test"]["loss"] < summary["test"]["loss_copy"]
  probe = summary["yaw_probe"]
  assert probe["trained"]["r2"] > probe["random_weights"]["r2"]
  assert probe["trained"]["mae_deg"] < probe["random_weights"]["mae_deg"]
