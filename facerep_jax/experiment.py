"""From a config to a trained run, in one stage or several."""

import logging
import os
import pathlib

import jax
import ml_collections

from facerep_jax import (
  configuration,
  distributed,
  errors,
  examples,
  first_look,
  stage_inputs,
  stages,
  start_weights,
  train,
)
from facerep_jax import run as setup
from facerep_jax.data import cache
from facerep_jax.systems import base

_log = logging.getLogger(__name__)


def run(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike,
  devices: list[jax.Device] | None = None,
) -> int:
  """Trains, or goes on with, one run.

  Args:
    config: Its config.
    workdir: Its folder.
    devices: Which to train on; all by default.

  Returns:
    Exit code.

  Raises:
    InputError: Config, data or the folder do not fit.
  """
  workdir = pathlib.Path(workdir)
  _check_tracks(config)
  if stages.of(config):
    return _run_stages(config, workdir, devices)
  with distributed.first_alone("tracks"):
    data_path = _data_path(config)
  if _train(config, workdir, data_path, {}, devices):
    _look(workdir, data_path, workdir)
    _write_examples(workdir, is_new=False)
  distributed.wait("end")
  return 0


def _run_stages(config, workdir, devices):
  configs = {
    name: stages.config_of(config, name) for name in stages.chosen(config)
  }
  for name, one in configs.items():
    configuration.check(one)
    base.build(one)
    configuration.check_same(one, workdir / name)
    # Later stages would find out after hours.
    is_begun = (workdir / name / "checkpoints").is_dir()
    if one.init_from and name != stages.of(config)[0] and not is_begun:
      start_weights.check(one)
  _check_order(configs, workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  if distributed.is_first():
    configuration.write(config, workdir)
  with distributed.first_alone("tracks"):
    data_path = _data_path(next(iter(configs.values())))
  is_new = False
  for name, one in configs.items():
    place = workdir / name
    if stages.done_step(place) >= one.steps:
      _log.info("stage %s: done, step %d", name, stages.done_step(place))
      continue
    _log.info("stage %s: %d steps, in %s", name, one.steps, place)
    with distributed.first_alone(f"inputs of {name}"):
      given = stage_inputs.frozen(one, workdir, data_path)
    if not _train(one, place, data_path, given, devices):
      return 0
    _look(place, data_path, workdir)
    if distributed.is_first():
      stages.mark_done(place, one.steps)
    is_new = True
    distributed.wait(f"end of {name}")
  _write_examples(workdir, is_new)
  return 0


def _check_order(configs, workdir):
  """Refuses to train a stage on which a later one rests already."""
  for name, one in configs.items():
    names = base.STAGES[one.system]
    later = names[names.index(name) + 1 :]
    is_done = stages.done_step(workdir / name) >= one.steps
    begun = [x for x in later if (workdir / x / "checkpoints").is_dir()]
    if begun and not is_done:
      raise errors.InputError(
        f"{workdir / name}: config.{name}.steps={one.steps} asks for more "
        f"training, but the stage {begun[0]} rests on these weights. Give "
        "another --workdir with --config.init_from, or delete "
        f"{workdir / begun[0]}."
      )


def _train(config, place, data_path, given, devices):
  """Trains in one folder; returns whether it came to the end."""
  prepared, state = setup.prepare(config, place, data_path, devices, given)
  # More, where it was trained for longer before.
  return int(train.train(prepared, state).step) >= config.steps


def _look(place, data_path, workdir):
  """Says what a trained run has learned."""
  if not distributed.is_first():
    return
  frames = workdir / examples.FRAMES
  for line in first_look.report(first_look.measure(place, data_path, frames)):
    print(line)
  print(f"{place}: trained")


def _write_examples(workdir, is_new):
  """Writes features and pictures of example frames, once for some weights."""
  is_there = (workdir / examples.FEATURES).exists()
  if distributed.is_first() and (is_new or not is_there):
    examples.write(workdir)


def _check_tracks(config):
  if not (config.data.path or config.synthetic.num_people):
    raise errors.InputError(
      "config.data.path: needed, as config.synthetic.num_people is 0: this "
      "training is for tracks or photos of your own. Give "
      "--config.data.path=DIR."
    )


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
