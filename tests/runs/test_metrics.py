import json

import pytest

from facerep_jax.runs import metrics


def test_lines_after_the_step_and_halves_of_lines_are_cut(tmp_path):
  writer = metrics.Writer(tmp_path, 0)
  for step in (10, 20, 30):
    writer.write(step, "train", {"loss": step / 100})
  writer.close()
  with open(tmp_path / "metrics.jsonl", "a") as file:
    file.write('{"step": 40, "spl')
  writer = metrics.Writer(tmp_path, 20)
  writer.write(25, "validation", {"loss": 0.5})
  writer.close()
  assert metrics.read(tmp_path) == [
    {"step": 10, "split": "train", "loss": 0.1},
    {"step": 20, "split": "train", "loss": 0.2},
    {"step": 25, "split": "validation", "loss": 0.5},
  ]
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert all(json.loads(line) for line in lines)
  assert list((tmp_path / "tensorboard").glob("events*"))


def test_numbers_that_are_not_finite_are_named_and_never_written(tmp_path):
  values = {"loss": float("nan"), "grad_norm": 1.0, "rate": float("inf")}
  assert metrics.not_finite(values) == ["loss", "rate"]
  writer = metrics.Writer(tmp_path, 0)
  with pytest.raises(ValueError, match="JSON"):
    writer.write(1, "train", values)
