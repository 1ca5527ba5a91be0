import json

import jax
import pytest

import facerep_jax
from facerep_jax import ablate, errors
from facerep_jax.ablation import bench, rows, table
from facerep_jax.data.labelled import track_pairs
from facerep_jax.runs import configuration
from facerep_jax.training import experiment
from tests import tiny
from tests.evaluators import made_up


@pytest.fixture(autouse=True)
def _small(monkeypatch):
  """Few people, few pairs, and a single strength of each linear probe."""
  monkeypatch.setattr(track_pairs, "NUM_FOLDS", 2)
  monkeypatch.setattr(bench, "NUM_PAIRS", 40)
  made_up.hurry(monkeypatch, 1.0)
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return made_up.write_tracks(tmp_path_factory.mktemp("made_up") / "set")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
  """A FAb-Net of a few steps."""
  folder = tmp_path_factory.mktemp("run")
  config = tiny.config(data, steps=2, every__eval=2, every__pictures=0)
  with jax.numpy_dtype_promotion("standard"):
    experiment.run(config, folder)
  return folder


def study(run, data, output, *more):
  ablate.main(
    [f"--workdir={run}", f"--output={output}", f"--data=tracks:{data}", *more]
  )
  return json.loads((output / ablate.FILE).read_text())["rows"]


def test_a_run_and_a_variant_stand_in_one_table(run, data, tmp_path, capsys):
  found = study(run, data, tmp_path, "--train=no-curriculum")
  assert list(found) == ["the run", "no-curriculum"]
  text = (tmp_path / table.FILE).read_text()
  assert text in capsys.readouterr().out
  lines = text.splitlines()
  assert lines[2].startswith("| the run | ")
  # Both rows, and below them their difference.
  starts = [x.split("|")[1].strip() for x in lines if x.startswith("| no-c")]
  assert starts == ["no-curriculum"] * 2 and len(lines) == 10
  for row in found.values():
    assert row["step"] == 2
    assert len(row["scores"]) == len(rows.COLUMNS["fabnet"])
  trained = configuration.load(tmp_path / "no-curriculum")
  assert trained.curriculum.use is False
  # The weights are others.
  values = [[s["value"] for s in row["scores"]] for row in found.values()]
  assert values[0] != values[1]


def test_a_study_goes_on_where_it_was(run, data, tmp_path, monkeypatch):
  first = study(run, data, tmp_path, "--train=none")

  def refuse(*args):
    raise AssertionError("measured again")

  monkeypatch.setattr(bench, "measure", refuse)
  assert study(run, data, tmp_path, "--train=none") == first


def test_a_model_of_a_file_is_measured_alone(run, data, tmp_path):
  file = tmp_path / "small.safetensors"
  facerep_jax.load(run).save(file)
  options = [f"--model={file}", f"--output={tmp_path}", f"--data=tracks:{data}"]
  with pytest.raises(errors.InputError, match="Give --train=none, or --workd"):
    ablate.main(options)
  ablate.main([*options, "--train=none", f"--also={file}"])
  found = json.loads((tmp_path / ablate.FILE).read_text())["rows"]
  assert list(found) == ["the run", "small"]
  assert found["the run"] == found["small"]
  assert found["the run"]["step"] == 2


@pytest.mark.parametrize(
  ("options", "text"),
  [
    (["--train=other"], "'other' is none of"),
    (["--every=0"], "--every=0: expected 1 or more"),
  ],
)
def test_options_that_cannot_be(run, data, tmp_path, options, text):
  with pytest.raises(errors.InputError, match=text):
    study(run, data, tmp_path, *options)
