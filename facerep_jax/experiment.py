"""From a config to a trained run."""

import pathlib

import ml_collections

from facerep_jax import configuration, distributed, first_look, train
from facerep_jax import run as setup
from facerep_jax.data import cache
from facerep_jax.systems import base


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
  with distributed.first_alone("tracks"):
    data_path = _data_path(config)
  prepared, state = setup.prepare(config, workdir, data_path)
  step = int(train.train(prepared, state).step)
  # More, where it was trained for longer before.
  if step >= config.steps and distributed.is_first():
    for line in first_look.report(first_look.measure(workdir, data_path)):
      print(line)
    print(f"{workdir}: trained")
  distributed.wait("end")
  return 0


def _data_path(config):
  """Returns the folder of tracks, made now where there is none yet."""
  if not config.data.path:
    return cache.synthetic(**config.synthetic)
  configuration.check(config)
  system = base.build(config)
  # Of photos, twice the side that is seen is kept: crops show less than all.
  return cache.data_folder(
    config.data.path,
    size_px=2 * system.size_px,
    num_frames=system.num_frames,
  )
