"""From a config to a trained run, in one stage or several."""

import contextlib
import logging
import os
import pathlib

import jax
import ml_collections

from facerep_jax import distributed, errors, sharding
from facerep_jax.data import cache
from facerep_jax.files import images
from facerep_jax.runs import configuration, run_lock, stages
from facerep_jax.systems import base
from facerep_jax.tracks import tfrecord
from facerep_jax.training import (
  examples,
  init_from,
  loop,
  setup,
  stage_inputs,
  summary,
)

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
  names = stages.of(config)
  train_all = _run_stages if names else _run_whole
  # Of all stages, so that what is wrong is told under its own name.
  for one in [stages.config_of(config, x) for x in names] or [config]:
    with stages.named(one):
      configuration.check(one)
      base.build(one)
  return train_all(config, workdir, devices)


def _run_whole(config, workdir, devices):
  configuration.check_same(config, workdir)
  sharding.check_batch_size(config.batch_size, devices)
  with _held(workdir):
    with distributed.first_alone("tracks"):
      data_path = _data_path(config)
    if _train(config, workdir, workdir, data_path, {}, devices):
      _look(config, workdir, data_path, workdir)
      _write_examples(workdir)
    distributed.wait("end")
  return 0


def _run_stages(config, workdir, devices):
  configs = {
    name: stages.config_of(config, name) for name in stages.chosen(config)
  }
  # Later stages would find out after hours.
  for name, one in configs.items():
    with stages.named(one):
      _check_stage(one, workdir / name, devices)
  _check_order(configs, workdir)
  with _held(workdir):
    if distributed.is_first():
      configuration.write(config, workdir)
    with distributed.first_alone("tracks"):
      data_path = _data_path(next(iter(configs.values())))
    for name, one in configs.items():
      if not _run_stage(one, name, workdir, data_path, devices):
        return 0
    _write_examples(workdir)
    # The others would wait at JAX's own end, which has a time limit.
    distributed.wait("end")
  return 0


def _run_stage(config, name, workdir, data_path, devices):
  """Trains one stage; returns whether it is done."""
  place = workdir / name
  if _is_done(config, place):
    _log.info("stage %s: done, step %d", name, stages.done_step(place))
    return True
  _log.info("stage %s: %d steps, in %s", name, config.steps, place)
  with distributed.first_alone(f"inputs of {name}"):
    given = stage_inputs.frozen(config, workdir, data_path)
  if not _train(config, place, workdir, data_path, given, devices):
    return False
  _look(config, place, data_path, workdir)
  if distributed.is_first():
    stages.mark_done(place, config.steps)
  distributed.wait(f"end of {name}")
  return True


def _is_done(config, place):
  return stages.done_step(place) >= config.steps


def _check_stage(config, place, devices):
  """Checks a stage before any of them trains."""
  configuration.check_same(config, place)
  if not _is_done(config, place):
    sharding.check_batch_size(config.batch_size, devices)
  is_first = config.stage == base.STAGES[config.system][0]
  is_begun = (place / "checkpoints").is_dir()
  if config.init_from and not is_first and not is_begun:
    init_from.check(config)


@contextlib.contextmanager
def _held(workdir):
  """Keeps other runs out of the folder; process 0 does so for all."""
  if not distributed.is_first():
    yield
    return
  with run_lock.held(workdir):
    yield


def _check_order(configs, workdir):
  """Refuses to train a stage on which a later one rests already."""
  for name, one in configs.items():
    names = base.STAGES[one.system]
    later = names[names.index(name) + 1 :]
    begun = [x for x in later if (workdir / x / "checkpoints").is_dir()]
    if begun and not _is_done(one, workdir / name):
      raise errors.InputError(
        f"{workdir / name}: config.{name}.steps={one.steps} asks for more "
        f"training, but the stage {begun[0]} rests on these weights. Give "
        "another --workdir with --config.init_from, or delete "
        f"{workdir / begun[0]}."
      )


def _train(config, place, workdir, data_path, given, devices):
  """Trains in one folder; returns whether it came to the end."""
  with stages.named(config):
    prepared, state = setup.prepare(config, place, data_path, devices, given)
    if prepared.start < config.steps and distributed.is_first():
      examples.forget(workdir)
    # More, where it was trained for longer before.
    return int(loop.train(prepared, state).step) >= config.steps


def _look(config, place, data_path, workdir):
  """Says what a trained run has learned."""
  if not distributed.is_first():
    return
  frames = workdir / examples.FRAMES
  try:
    with stages.named(config):
      values = summary.measure(place, data_path, frames)
  except (tfrecord.BadRecordError, images.ImageError):
    raise  # The user decides: config.data.on_bad_record.
  except errors.InputError as error:
    # Such as tracks without a test split. What is trained is trained.
    summary.forget(place)
    _log.warning("%s: not measured, what it has learned: %s", place, error)
  else:
    for line in summary.report(values):
      print(line)
  print(f"{place}: trained")


def _write_examples(workdir):
  """Writes features and pictures of example frames, once for some weights."""
  if distributed.is_first():
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
  system = base.build(config)
  # Of photos, twice the side that is seen is kept: crops show less than all.
  return cache.data_folder(
    config.data.path,
    size_px=2 * system.size_px,
    num_frames=system.num_frames,
  )
