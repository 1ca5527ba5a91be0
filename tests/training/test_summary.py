import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from facerep_jax.data import cache
from facerep_jax.files import images
from facerep_jax.runs import configuration
from facerep_jax.training import experiment, summary
from tests import tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  data = tiny.write_tracks(folder / "tracks")
  config = tiny.config(data, steps=3, batch_size=8)
  with jax.numpy_dtype_promotion("standard"):
    assert experiment.run(config, folder / "run") == 0
  return folder / "run", data


def test_fewer_steps_than_were_trained_give_the_result_that_is_there(
  trained, capsys
):
  workdir, data = trained
  before = (workdir / "summary.json").read_text()
  with jax.numpy_dtype_promotion("standard"):
    shorter = tiny.config(data, steps=2, batch_size=8)
    assert experiment.run(shorter, workdir) == 0
  assert "linear probe of yaw, trained" in capsys.readouterr().out
  assert (workdir / "summary.json").read_text() == before


def test_summary_holds_test_split_and_probes(trained, capsys):
  workdir, data = trained
  values = json.loads((workdir / "summary.json").read_text())
  assert values["test"]["num_samples"] == 3  # One draw per test person.
  assert values["test"]["loss"] > 0 and values["test"]["loss_copy"] > 0
  for name in ("trained", "random_weights"):
    found = values["yaw_probe"][name]
    assert found["num_frames"] == 3 * 6 and found["features"] == ["embedding"]
    assert found["r2_low"] <= found["r2"] <= found["r2_high"] <= 1
  # One recording a person, and no faces.
  for name in ("viewpoint", "identification", "people"):
    assert name not in values
  lines = summary.report(values)
  assert any("copying the source" in line for line in lines)
  assert sum("linear probe of yaw" in line for line in lines) == 2


def test_examples_are_frames_of_the_test_split(trained):
  workdir, data = trained
  names = sorted(p.name for p in (workdir / "examples").iterdir())
  assert len(names) == 16 and names[0] == "p09-v0-00000-000.png"
  first = tiny.track(9).frames[0]
  np.testing.assert_array_equal(
    np.asarray(Image.open(workdir / "examples" / names[0])),
    images.decode(first, "frame").pixels,
  )


def test_people_with_two_recordings_are_recognised(trained, tmp_path):
  workdir, _ = trained
  data = tiny.write_tracks(tmp_path / "tracks", recordings=2)
  copy = shutil.copytree(workdir, tmp_path / "run")
  values = summary.measure(copy, data, tmp_path / "examples")
  assert set(values["identification"]) == {"trained", "random_weights"}
  for found in values["identification"].values():
    assert (found["num_people"], found["num_frames"]) == (3, 3 * 2 * 4)
    assert found["feature"] == "embedding"
    assert found["chance_percent"] == pytest.approx(100 / 3)
    low, high = (found[f"rank1_percent_{end}"] for end in ("low", "high"))
    assert 0 <= low <= found["rank1_percent"] <= high <= 100
  lines = summary.report(values)
  assert sum("recognised in another recording" in line for line in lines) == 2
  assert json.loads((copy / "summary.json").read_text()) == values


def test_report_writes_intervals_where_there_are_any():
  yaw = {"r2": 0.61, "r2_low": 0.5, "r2_high": 0.7, "mae_deg": 4.92}
  viewpoint = {"r": 0.86, "r_low": 0.83, "r_high": 0.89}
  viewpoint |= {"slope": 0.71, "slope_low": None, "slope_high": None}
  identity = {"rank1_percent": 26.2, "chance_percent": 5 / 3, "feature": "raw"}
  identity |= {"rank1_percent_low": 18.0, "rank1_percent_high": 35.0}
  people = {"num_people": 20, "chance": 1.0}
  people |= {"rebuilt": 14.0, "to_picture": 9.0, "of_pictures": 3.0}
  values = {
    "step": 7,
    "test": {"loss": 0.5, "num_samples": 3},
    "yaw_probe": {"random_weights": yaw},
    "viewpoint": viewpoint,
    "identification": {"trained": identity},
    "people": {"trained": people, "random_weights": people | {"rebuilt": 4.0}},
  }
  assert summary.report(values)[1:] == [
    "linear probe of yaw, random weights: R2 0.610 [0.500, 0.700], mean "
    "error 4.9 deg",
    "viewpoint: yaw |r| 0.86 [0.83, 0.89], slope 0.71",
    "people recognised in another recording, trained (raw): 26.2 [18.0, 35.0] "
    "% (chance 1.7)",
    "people: 14 of 20 faces rebuilt from one recording are nearest to the same "
    "person's other one (chance 1, random weights 4); to its picture: 9; the "
    "pictures of the two: 3",
  ]
  viewpoint["r"] = None
  viewpoint["r_low"] = viewpoint["r_high"] = None
  line = "viewpoint: yaw |r| undefined, slope 0.71"
  assert line in summary.report(values)


def test_a_run_without_a_path_makes_synthetic_tracks(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "cache"))
  asked = []

  def stand_in(**settings):
    asked.append(settings)
    return tiny.write_tracks(tmp_path / "tracks")

  monkeypatch.setattr(cache, "synthetic", stand_in)
  config = tiny.config("", steps=1, batch_size=8)
  with jax.numpy_dtype_promotion("standard"):
    experiment.run(config, tmp_path / "run")
  assert asked == [config.synthetic.to_dict()]
  assert configuration.load(tmp_path / "run").data.path == ""


def test_training_needs_nothing_of_what_evaluation_does():
  code = """
import sys
for name in ("sklearn", "skimage", "matplotlib"):
  sys.modules[name] = None  # Importing it raises ModuleNotFoundError.
import numpy as np
import facerep_jax.main
from facerep_jax.training import summary_frames, summary_measures

x = np.random.default_rng(0).normal(size=(8, 3))
frames = summary_frames.Frames([], x[:, 0], np.array(list("abcdefgh")), [])
parts = {"train": frames, "test": frames}
features = {"train": {"code": x}, "test": {"code": x}}
print(summary_measures.yaw_probe(features, parts)["r2"])
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  assert float(done.stdout.split()[-1]) > 0.99
