"""LatentFace's presets, made small, on several numbers of devices.

A minute each; in the usual run, `test_experiment` trains a stage on many.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from facerep_jax.runs import metrics
from tests import tiny

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = """
import sys
import jax
from configs import latentface
from facerep_jax import cli
from facerep_jax.training import examples, experiment
from tests import tiny_face

preset, data, folder, count = sys.argv[1:]
assert jax.device_count() == int(count)
# These have tests of their own, and would be most of the work.
experiment._look = lambda *args: None
examples.write = lambda workdir: None
config = tiny_face.small(latentface.get_config(preset), data)
# Adam's first steps are as long whatever the gradient is: where that is
# nothing but rounding, devices would part.
for one in (config.autoencoder, config.diffusion):
  one.optimizer.name = "sgd"
sys.exit(cli.run(lambda arguments: experiment.run(config, folder)))
"""
# Batches of the two stages: the demo's own; of the published recipe the first
# is a tenth, the second as published.
BATCHES = {"demo": (8, 8), "paper": (6, 1)}


def train(preset, data, folder, count):
  """Trains both stages in a process with so many devices; returns its log."""
  flags = f"--xla_force_host_platform_device_count={count}"
  done = subprocess.run(
    [sys.executable, "-c", RUN, preset, data, str(folder), str(count)],
    cwd=ROOT,
    env=os.environ
    | {
      "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0",
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": os.environ["FACEREP_TESTS_COMPILED"],
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done.stderr


def num_devices(folder, stage):
  """Returns on how many devices a stage was trained."""
  (meta,) = (folder / stage / "checkpoints").glob("2/meta/metadata")
  return json.loads(meta.read_text())["num_devices"]


def losses(folder):
  """Returns the losses of both stages, in training and validation."""
  return [
    line["loss"]
    for stage in ("autoencoder", "diffusion")
    for line in metrics.read(folder / stage)
  ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"), recordings=2)


def check(preset, data, folder, count):
  """Trains, and checks that as many devices as fit were used."""
  log = train(preset, data, folder, count)
  for stage, batch in zip(("autoencoder", "diffusion"), BATCHES[preset]):
    fitting = max(n for n in range(1, count + 1) if batch % n == 0)
    assert num_devices(folder, stage) == fitting
    said = (
      f"a batch of {batch} does not divide among {count} devices: {fitting}"
    )
    assert (said in log) == (fitting < count)
    assert (folder / stage / "done.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("preset", BATCHES)
def test_presets_give_the_same_on_1_2_3_and_8_devices(preset, data, tmp_path):
  found = {}
  for count in (1, 2, 3, 8):
    check(preset, data, tmp_path / str(count), count)
    found[count] = losses(tmp_path / str(count))
  assert len(found[1]) == 6
  for count in (2, 3, 8):
    # Sums in another order, through two networks; the first step has no other
    # difference, the rest have weights that differ by rounding.
    np.testing.assert_allclose(found[count][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[count], found[1], rtol=2e-3)
