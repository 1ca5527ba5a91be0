import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from facerep_jax import configuration, experiment, first_look
from facerep_jax.data import cache, images
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
  assert "linear read-out of yaw, trained" in capsys.readouterr().out
  assert (workdir / "summary.json").read_text() == before


def test_summary_holds_test_split_and_readouts(trained, capsys):
  workdir, data = trained
  summary = json.loads((workdir / "summary.json").read_text())
  assert summary["test"]["num_samples"] == 3  # One draw per test person.
  assert summary["test"]["loss"] > 0 and summary["test"]["loss_copy"] > 0
  for name in ("trained", "random_weights"):
    found = summary["yaw_readout"][name]
    assert found["num_frames"] == 3 * 6 and found["r2"] <= 1
  lines = first_look.report(summary)
  assert any("copying the source" in line for line in lines)
  assert sum("linear read-out of yaw" in line for line in lines) == 2


def test_examples_are_frames_of_the_test_split(trained):
  workdir, data = trained
  names = sorted(p.name for p in (workdir / "examples").iterdir())
  assert len(names) == 16 and names[0] == "p09-v0-00000-000.png"
  first = tiny.track(9).frames[0]
  np.testing.assert_array_equal(
    np.asarray(Image.open(workdir / "examples" / names[0])),
    images.decode(first, "frame").pixels,
  )


def test_labelled_frames_are_paired_with_their_labels(trained):
  _, data = trained
  read = first_look.labelled_frames(data, "test")
  want = np.concatenate([tiny.track(p).labels["yaw_rad"] for p in (9, 10, 11)])
  np.testing.assert_allclose(read["yaw_rad"], want, rtol=1e-6)
  assert read["person"] == [f"p{p:02d}" for p in (9, 10, 11) for _ in range(6)]


def test_a_perfect_representation_is_read_out_perfectly():
  class Perfect:
    def embed(self, faces):
      return {"embedding": np.array([[f[0, 0, 0], 1.0] for f in faces])}

  rng = np.random.default_rng(0)

  def people(names):
    yaw = rng.uniform(-1, 1, 40)
    return {
      "image": [np.full((2, 2, 3), y) for y in yaw],
      "yaw_rad": yaw.tolist(),
      "person": [names[i % len(names)] for i in range(40)],
      "name": [""] * 40,
    }

  found = first_look.yaw_readout(Perfect(), people("abcdef"), people("xyz"))
  # The weakest ridge shrinks by about 1e-4.
  assert found["r2"] > 0.9999 and found["mae_deg"] < 0.1


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
from facerep_jax import first_look

class Model:
  def embed(self, faces):
    return {"embedding": np.stack(faces)}

rng = np.random.default_rng(0)
parts = [
  {"image": list(x), "yaw_rad": x[:, 0], "person": list("abcdefgh")}
  for x in rng.normal(size=(2, 8, 3))
]
print(first_look.yaw_readout(Model(), *parts)["r2"])
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  assert float(done.stdout.split()[-1]) > 0.99
