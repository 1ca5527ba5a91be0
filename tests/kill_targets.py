"""What is killed, each a function that a new process runs from its start."""

import contextlib
import os
import pathlib
import sys

import jax

from facerep_jax import cli, embed, evaluate, make_tracks
from facerep_jax.training import experiment
from tests import tiny, tiny_face
from tests.evaluators import made_up


def _command(module, *arguments) -> None:
  """Runs a command silently; a code other than 0 is that of the process."""
  sys.argv = ["command", *map(str, arguments)]
  with (
    open(os.devnull, "w") as nowhere,
    contextlib.redirect_stdout(nowhere),
    contextlib.redirect_stderr(nowhere),
  ):
    code = cli.run(module.main)
  if code:
    raise SystemExit(code)


def _one_device() -> None:
  """Compiles for one device, and the same program only once."""
  jax.config.update("jax_platforms", "cpu")
  folder = os.environ.get("FACEREP_TESTS_COMPILED")
  jax.config.update("jax_compilation_cache_dir", folder)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
  jax.local_devices = lambda: jax.devices()[:1]


def tracks(source: str, output: str) -> None:
  """Makes tracks of folders of frames."""
  _command(
    make_tracks,
    *(f"--source={source}", f"--output={output}", "--size=64", "--workers=1"),
  )


def embedded(workdir: str, photos: str, output: str) -> None:
  """Embeds a folder of images."""
  _one_device()
  pathlib.Path(output).mkdir(exist_ok=True)
  _command(
    embed,
    *(f"--workdir={workdir}", f"--images={photos}", "--crop=none"),
    *(f"--output={output}/features.npz", "--batch-size=16"),
  )


def evaluated(workdir: str, data: str, output: str) -> None:
  """Evaluates a run on labelled tracks."""
  import pytest

  _one_device()
  with pytest.MonkeyPatch.context() as patch:
    made_up.hurry(patch, 10.0)
    _command(
      evaluate,
      *(f"--workdir={workdir}", f"--data=tracks:{data}", f"--output={output}"),
      *("--tasks=pose,expression", "--supervised-steps=0"),
    )


def trained(data: str, output: str) -> None:
  """Trains both stages of LatentFace; stands in for what looks at them."""
  _one_device()
  config = tiny_face.lean(data)
  for one in (config.autoencoder, config.diffusion):
    one.steps = 8
    one.every.update(log=2, eval=2, pictures=2)
  # Looks have tests of their own, and would be most of the work.
  experiment.summary.measure = lambda place, data_path, frames: {
    "test": {"loss": 0.0, "num_samples": 1},
    "step": 8,
  }
  experiment.examples.write = lambda workdir: None
  with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
    experiment.run(config, pathlib.Path(output), jax.devices()[:1])


def small_run(folder: str, data: str) -> None:
  """Makes a run of FAb-Net, to embed and evaluate with."""
  _one_device()
  from facerep_jax.training import setup

  config = tiny.config(data, steps=1)
  prepared, state = setup.prepare(config, folder, data, jax.devices()[:1])
  prepared.checkpoints.save(1, state, {}, None)
  prepared.checkpoints.close()
  prepared.writer.close()
