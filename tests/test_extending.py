"""The worked example of docs/extending.md, from the text of that page."""

import json
import pathlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import facerep_jax
from facerep_jax import errors, evaluate, export, sharding
from facerep_jax.runs import configuration
from facerep_jax.systems import base
from facerep_jax.training import experiment
from tests.evaluators import made_up

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs/extending.md"
NAME = "my_systems.simclr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder that holds the files of the page, on the path of imports."""
  folder = tmp_path_factory.mktemp("stranger")
  for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
    path = folder / re.match(r"# (\S+\.py)\n", code)[1]
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
  sys.path.insert(0, str(folder))
  yield folder
  sys.path.remove(str(folder))


def _config(folder):
  return configuration.from_file(str(folder / "my_systems/simclr_config.py"))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
  """The run's folder and its tracks."""
  data = str(made_up.write_tracks(tmp_path_factory.mktemp("tracks") / "set"))
  config = _config(folder)
  config.update(steps=4, batch_size=8)
  config.model.update(size_px=32, width=8, embed_dim=8, projection_dim=4)
  config.every.update(log=2, eval=2)
  config.data.path = data
  workdir = tmp_path_factory.mktemp("run") / "run"
  with jax.numpy_dtype_promotion("standard"):  # Optax mixes types.
    assert experiment.run(config, workdir, jax.devices()[:1]) == 0
  return workdir, data


def test_the_loop_trains_and_measures_it(run):
  workdir, _ = run
  lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  found = {(x["split"], x["step"]): x for x in lines}
  assert {("train", 4), ("validation", 4)} <= found.keys()
  assert 0 <= found["validation", 4]["accuracy"] <= 1
  summary = json.loads((workdir / "summary.json").read_text())
  assert set(summary["yaw_probe"]) == {"trained", "random_weights"}
  assert list((workdir / "pictures").glob("*.png"))


def test_features_and_an_evaluation_come_of_it(run, tmp_path, monkeypatch):
  workdir, data = run
  model = facerep_jax.load(workdir)
  images = np.zeros((2, 40, 40, 3), np.uint8)
  assert model.embed(images)["embedding"].shape == (2, 8)
  made_up.hurry(monkeypatch, 10.0)
  evaluate.main(
    [
      *(f"--workdir={workdir}", f"--data=tracks:{data}", "--tasks=pose"),
      *(f"--output={tmp_path / 'report'}", "--supervised-steps=0"),
    ]
  )
  found = json.loads((tmp_path / "report/results.json").read_text())
  names = {entry["feature"] for entry in found["tasks"][0]["entries"]}
  assert {f"{NAME}: embedding", "HOG"} <= names


def test_a_file_of_its_weights_imports_nothing(run, tmp_path, monkeypatch):
  workdir, _ = run
  path = tmp_path / "simclr.safetensors"
  export.main([f"--workdir={workdir}", f"--output={path}"])
  assert facerep_jax.load(path).feature_names == ("embedding",)
  monkeypatch.delitem(sys.modules, NAME)
  with pytest.raises(errors.InputError, match="a module that you imported"):
    facerep_jax.load(path)
  assert NAME not in sys.modules


def test_its_loss_is_that_of_the_paper(folder):
  config = _config(folder)
  config.model.update(size_px=32, width=8, embed_dim=8, projection_dim=4)
  system = base.build(config)
  variables = jax.jit(system.init)(jax.random.key(0))
  rng = np.random.default_rng(0)
  batch = {"frames": rng.integers(0, 256, (8, 2, 32, 32, 3)).astype(np.uint8)}

  def loss(variables, batch):
    return system.loss_fn(
      variables.params, {}, {}, batch, {}, jax.random.key(0)
    )[0]

  # Equation 1, view by view, in float64.
  project = sys.modules[NAME]._project
  nets = system.loss_fn.args[0].args[0]
  z = np.float64(
    project(nets, variables.params, jax.tree.map(jnp.array, batch))
  )
  each = []
  for i in range(16):
    similarity = np.exp(z @ z[i] / 0.1)
    others = similarity.sum() - similarity[i]
    each.append(-np.log(similarity[(i + 8) % 16] / others))
  for count in (1, 8):
    mesh = sharding.make_mesh(jax.devices()[:count])
    found = sharding.jit_on_batch(loss, mesh)(
      sharding.put_replicated(variables, mesh), sharding.put_batch(batch, mesh)
    )
    # Float32 against float64; differences of order one under exp(10 x).
    np.testing.assert_allclose(found, np.mean(each), rtol=1e-4)


@pytest.mark.parametrize(
  ("name", "says"),
  [
    ("my_systems.simclir", "cannot be imported"),
    ("json.decoder", "has no function make"),
    ("simclr", "or a module of your own"),
  ],
)
def test_modules_that_are_no_systems_are_refused(folder, name, says):
  config = _config(folder)
  config.system = name
  with pytest.raises(errors.InputError, match=says):
    base.build(config)
