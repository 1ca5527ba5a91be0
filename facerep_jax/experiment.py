"""From a config to a trained run."""

import pathlib

import ml_collections

from facerep_jax import first_look, train
from facerep_jax import run as setup
from facerep_jax.data import cache


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
  """Trains, or goes on with, one run.

  Args:
    config: Its config.
    workdir: Its folder.

  Returns:
    Exit code.

  Raises:
    InputError: Config, data or the folder do not fit.
  """
  data_path = config.data.path or cache.synthetic(**config.synthetic)
  prepared, state = setup.prepare(config, workdir, data_path)
  step = int(train.train(prepared, state).step)
  if step >= config.steps:  # More, where it was trained for longer before.
    for line in first_look.report(first_look.measure(workdir, data_path)):
      print(line)
    print(f"{workdir}: trained")
  return 0
