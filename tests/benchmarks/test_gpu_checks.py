import argparse
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from facerep_jax import cli, commands
from facerep_jax.benchmarks import (
  gpu_checks,
  gpu_environment,
  gpu_results,
  gpu_run,
)
from facerep_jax.runs import configuration

ROOT = pathlib.Path(__file__).resolve().parents[2]


def options(**changes):
  given = {"seconds": 540.0, "tiny": False, "tracks": "", "people": 160}
  return argparse.Namespace(**given | changes)


def test_every_part_has_its_share_and_training_what_is_left(tmp_path):
  parts = gpu_checks.plan(options(), tmp_path)
  assert [part.name for part in parts] == [
    *("environment", "tests", "tracks", "fabnet", "autoencoder"),
    *("fabnet_compiled", "render", "diffusion", "data", "devices"),
    *("training", "weights"),
  ]
  limits = {part.name: part.limit_s for part in parts}
  assert all(limit > 0 for limit in limits.values())
  before = sum(limits[part.name] for part in parts[:-2])
  least = sum(part.least_s for part in parts[-2:])
  # Not all of them take all of it.
  assert before < 540 and least == pytest.approx(0.31 * 540)
  training = parts[-2]
  assert training.may_be_told and training.grace_s == 30
  assert "--config=latentface:paper" in training.command
  assert not any(x.name == "tracks" for x in _plan(tracks="/a", to=tmp_path))


def _plan(to, **changes):
  return gpu_checks.plan(options(**changes), to)


def test_settings_of_the_training_are_known(tmp_path):
  config = configuration.from_file("latentface:paper")
  known = {f"--config.{x}" for x in configuration.flatten(config.to_dict())}
  for is_tiny in (False, True):
    (training,) = (
      part for part in _plan(tmp_path, tiny=is_tiny) if part.name == "training"
    )
    words = [x.split("=")[0] for x in training.command]
    given = {x for x in words if x.startswith("--config.")}
    assert given and given <= known


def test_what_runs_is_there(tmp_path):
  for part in [*_plan(tmp_path), *_plan(tmp_path, tiny=True)]:
    module = part.command[2]
    if module != "pytest":
      path = ROOT / f"{module.replace('.', '/')}.py"
      assert '\nif __name__ == "__main__":' in path.read_text()
    for word in part.command:
      if word.startswith(str(ROOT / "tests")):
        assert pathlib.Path(word).exists()
  # The end has time, also on a machine that is busy.
  tiny = {part.name: part for part in _plan(tmp_path, tiny=True)}
  assert tiny["weights"].least_s > 60 and tiny["training"].grace_s > 50
  names = [module for module, _ in commands.COMMANDS.values()]
  assert {"benchmark", "export", "main", "make_tracks"} < set(names)


PRODUCT = {
  **{"seconds": 0.00123456, "tflops": 700.0, "peak_share": 0.75},
  **{"memory_mb": 402.6, "compile_s": 0.4},
}
ENVIRONMENT = {
  **{"device_kind": "NVIDIA X", "commit": None, "devices": ["cuda:0"]},
  **{"versions": {"jax": "0.10.2", "torch": None}, "product_size": 8192},
  "product": {"bfloat16": PRODUCT, "float32": PRODUCT | {"peak_share": None}},
}


def stand_in(name, text, **more):
  return gpu_run.Part(name, (sys.executable, "-c", text), 60.0, **more)


@pytest.fixture
def stand_ins(monkeypatch):
  """Parts that write what the real ones would."""

  def plan(options, work):
    benchmark, run = work / "benchmark" / "fabnet", work / "run" / "autoencoder"
    line = {"step": 50, "split": "train", "loss": 1.5, "tflops": 9.0}
    looked = {"step": 50, "split": "validation", "loss": 1.25}
    lines = f"{json.dumps(line)}\n{json.dumps(looked)}\n{{"
    return [
      stand_in(
        "environment",
        f"import pathlib; pathlib.Path({str(work / 'environment.json')!r})"
        f".write_text({json.dumps(ENVIRONMENT)!r})",
      ),
      stand_in("tests", "print('2 failed'); raise SystemExit(1)"),
      stand_in(
        "fabnet",
        f"import pathlib; p = pathlib.Path({str(benchmark)!r})\n"
        "p.mkdir(parents=True)\n"
        "(p / 'benchmark.json').write_text('{\"results\": {}}')\n"
        "(p / 'benchmark.md').write_text('| fast |')",
      ),
      stand_in(
        "training",
        f"import pathlib; p = pathlib.Path({str(run)!r})\n"
        "(p / 'pictures').mkdir(parents=True)\n"
        "(p / 'pictures' / 'step.png').write_bytes(b'image')\n"
        f"(p / 'metrics.jsonl').write_text({lines!r})\n"
        "(p / 'checkpoints').mkdir()\n"
        "weights = p.parents[1] / 'weights.safetensors'\n"
        "weights.write_bytes(bytes(range(250)))",
      ),
    ]

  monkeypatch.setattr(gpu_checks, "plan", plan)
  monkeypatch.setattr(gpu_results, "_PIECE_BYTES", 100)


def run(monkeypatch, *arguments):
  monkeypatch.setattr("sys.argv", ["gpu_checks", *map(str, arguments)])
  return cli.run(gpu_checks.main)


def test_one_folder_holds_it_all_and_the_exit_code_says_what_failed(
  stand_ins, monkeypatch, tmp_path, capsys
):
  saved = []
  real = gpu_results.save

  def save(work, output, results, num_parts):
    real(work, output, results, num_parts)
    saved.append(json.loads((output / "summary.json").read_text()))

  monkeypatch.setattr(gpu_results, "save", save)
  out = tmp_path / "out"
  assert run(monkeypatch, f"--output={out}") == 1
  assert sorted(os.listdir(out)) == [
    *("logs.tar.gz", "summary.json", "summary.md", "training.tar.gz"),
    *(f"weights.safetensors.{i}" for i in range(3)),
  ]
  # After each part, for runs that are cut.
  assert [x["is_whole"] for x in saved] == [False, False, False, True]
  assert [x["is_good"] for x in saved] == [True, False, False, False]
  last = saved[-1]
  assert [x["status"] for x in last["parts"]] == [
    *("passed", "failed", "passed", "passed")
  ]
  assert last["environment"] == ENVIRONMENT
  assert last["benchmarks"] == {"fabnet": {"results": {}}}
  # Without the line that is half written.
  assert [line["loss"] for line in last["training"]] == [1.5, 1.25]
  text = (out / "summary.md").read_text()
  assert "2 failed" in text and "| fast |" in text
  for line in (
    "- device_kind: NVIDIA X",
    "- commit: unknown",
    "- devices: cuda:0",
    "- versions: jax 0.10.2, torch unknown",
    "Product of two matrices of 8192 x 8192 numbers:",
    "Validation at step 50: loss 1.25.",
  ):
    assert line in text.splitlines()
  assert "| bfloat16 | 0.00123 | 700     | 75%         | 403 " in text
  assert text in capsys.readouterr().out
  with tarfile.open(out / "logs.tar.gz") as archive:
    assert "logs/tests.log" in archive.getnames()
  with tarfile.open(out / "training.tar.gz") as archive:
    names = archive.getnames()
  assert "pictures/step.png" in names and "metrics.jsonl" in names
  assert not any("checkpoints" in name for name in names)
  pieces = [(out / f"weights.safetensors.{i}").read_bytes() for i in range(3)]
  assert b"".join(pieces) == bytes(range(250))


def test_weights_that_are_too_many_are_said(tmp_path, monkeypatch):
  monkeypatch.setattr(gpu_results, "_PIECE_BYTES", 10)
  (tmp_path / "logs").mkdir()
  (tmp_path / "weights.safetensors").write_bytes(bytes(41))
  out = tmp_path / "out"
  out.mkdir()
  gpu_results.save(tmp_path, out, [gpu_run.Result("a", "passed")], 1)
  assert not list(out.glob("weights*"))
  assert "too many to be kept here" in (out / "summary.md").read_text()


@pytest.mark.parametrize(
  ("argument", "text"),
  [
    ("--seconds=0", "--seconds=0: expected more than 0"),
    ("--output={tmp}/file", "expected a folder, or a place to make"),
    ("--seconds=x", "--help"),
  ],
)
def test_what_cannot_be_run_is_one_line(
  stand_ins, monkeypatch, tmp_path, capsys, argument, text
):
  (tmp_path / "file").write_text("")
  given = [f"--output={tmp_path / 'out'}", argument.format(tmp=tmp_path)]
  assert run(monkeypatch, *given) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ") and text in line


def test_environment_needs_a_gpu_only_where_told(tmp_path, monkeypatch, capsys):
  def ask(*more):
    words = ["x", f"--output={tmp_path / 'e.json'}", "--size=16", *more]
    monkeypatch.setattr("sys.argv", words)
    return cli.run(gpu_environment.main)

  assert ask() == 0
  found = json.loads((tmp_path / "e.json").read_text())
  assert found["device_kind"] == "cpu" and len(found["devices"]) == 8
  product = found["product"]["float32"]
  assert product["gflop"] == pytest.approx(2 * 16**3 / 1e9, rel=1e-3)
  assert np.isfinite(product["tflops"]) and product["seconds"] > 0
  (tmp_path / "e.json").unlink()
  assert ask("--need=gpu") == 1
  assert "--need=gpu: JAX finds cpu devices" in capsys.readouterr().err
  assert (tmp_path / "e.json").exists()  # What there is is said even so.


def test_the_script_wants_a_place_for_results():
  environment = {k: v for k, v in os.environ.items() if k != "OUT"}
  done = subprocess.run(
    ["bash", str(ROOT / "launch/gpu_checks.sh"), "--tiny"],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert done.stderr.startswith("error: --output is missing")


@pytest.mark.slow
def test_tiny_on_the_cpu(tmp_path):
  done = subprocess.run(
    [
      *("bash", str(ROOT / "launch/gpu_checks.sh"), "--tiny"),
      *("--seconds=600", f"--output={tmp_path}"),
    ],
    env=os.environ | {"PYTHON": sys.executable, "XLA_FLAGS": ""},
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  found = json.loads((tmp_path / "summary.json").read_text())
  assert found["is_whole"] and found["is_good"]
  assert found["training"] and found["benchmarks"]["fabnet"]["results"]
  with tarfile.open(tmp_path / "training.tar.gz") as archive:
    assert any(name.endswith(".png") for name in archive.getnames())
  assert (tmp_path / "weights.safetensors.0").stat().st_size > 0
