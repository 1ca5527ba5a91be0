"""From a config to a trained run, in one stage or several."""

import contextlib
import logging
import os
import pathlib

import jax
import ml_collections

from facerep_jax import distributed, errors, sharding
from facerep_jax.data import cache
from facerep_jax.files import images, places
from facerep_jax.runs import configuration, run_lock, setting_names, stages
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
    Exit code: 0, or `distributed.stopped_code()` where it was told to stop
    before its end.

  Raises:
    InputError: Config, data or the folder do not fit.
  """
  places.check_local("workdir", os.fspath(workdir))
  places.check_local("config.data.path", config.data.path)
  workdir = pathlib.Path(workdir)
  _check_tracks(config)
  # Of all stages: what is wrong with a later one is told before it begins.
  for stage in stages.split(config):
    configuration.check(stage.config)
    base.build(stage.config)
  parts = stages.chosen(config)
  for stage in parts:
    _check_stage(stage, workdir, devices)
  with _held(workdir):
    if parts[0].name and distributed.is_first():
      configuration.write(config, workdir)
    with distributed.first_alone("tracks"):
      data_path = _data_path(parts[0].config)
    is_done = all(_run_stage(x, workdir, data_path, devices) for x in parts)
    if is_done:
      _write_examples(workdir)
    # The others would wait at JAX's own end, which has a time limit.
    distributed.wait("end")
  return 0 if is_done else distributed.stopped_code()


def _run_stage(stage, workdir, data_path, devices):
  """Trains one stage; returns whether it is done."""
  place = stage.folder(workdir)
  if _is_done(stage, place):
    _log.info("stage %s: done, step %d", stage.name, stages.done_step(place))
    return True
  if stage.name:
    _log.info(
      "stage %s: %d steps, in %s", stage.name, stage.config.steps, place
    )
  with distributed.first_alone(f"inputs of {place.name}"):
    given = stage_inputs.frozen(stage, workdir, data_path)
  if not _train(stage, workdir, data_path, given, devices):
    return False
  _look(stage, workdir, data_path)
  if stage.name and distributed.is_first():
    stages.mark_done(place, stage.config.steps)
  distributed.wait(f"end of {place.name}")
  return True


def _is_done(stage, place):
  """Tells it of a stage; a run without stages is looked at each time."""
  return bool(stage.name) and stages.done_step(place) >= stage.config.steps


def _check_stage(stage, workdir, devices):
  """Checks a stage before any of them trains."""
  config, place = stage.config, stage.folder(workdir)
  configuration.check_same(config, place)
  is_done = _is_done(stage, place)
  if not is_done:
    sharding.check_batch_size(
      config.batch_size,
      devices,
      setting=setting_names.of(config, "batch_size"),
    )
  begun = [x for x in stage.after if (workdir / x / "checkpoints").is_dir()]
  if begun and not is_done:
    steps = setting_names.of(config, "steps")
    init = setting_names.of(config, "init_from")
    raise errors.InputError(
      f"{place}: {steps}={config.steps} asks for more training, but the stage "
      f"{begun[0]} rests on these weights. Give another --workdir with "
      f"--{init}, or delete {workdir / begun[0]}."
    )
  is_begun = (place / "checkpoints").is_dir()
  if config.init_from and stage.before and not is_begun:
    init_from.check(config)


@contextlib.contextmanager
def _held(workdir):
  """Keeps other runs out of the folder; process 0 does so for all."""
  if not distributed.is_first():
    yield
    return
  with run_lock.held(workdir):
    yield


def _train(stage, workdir, data_path, given, devices):
  """Trains in the stage's folder; returns whether it came to the end."""
  prepared, state = setup.prepare(
    stage.config, stage.folder(workdir), data_path, devices, given
  )
  steps = stage.config.steps
  if prepared.start < steps and distributed.is_first():
    examples.forget(workdir)
  # More, where it was trained for longer before.
  return int(loop.train(prepared, state).step) >= steps


def _look(stage, workdir, data_path):
  """Says what a trained run has learned."""
  if not distributed.is_first():
    return
  place = stage.folder(workdir)
  try:
    values = summary.measure(place, data_path, workdir / examples.FRAMES)
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
