"""Setting up a run: data, devices, system, state."""

import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from facerep_jax import distributed, errors, sharding
from facerep_jax.data import samples
from facerep_jax.files import atomic
from facerep_jax.runs import (
  checkpoint,
  configuration,
  curriculum,
  metrics,
  setting_names,
  train_state,
)
from facerep_jax.systems import base
from facerep_jax.tracks import track_source
from facerep_jax.training import (
  code_cache,
  init_from,
  preview,
  train_program,
)

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Run:
  """What the loop works with; see `prepare`."""

  config: ml_collections.ConfigDict
  workdir: pathlib.Path
  mesh: Mesh
  system: base.System
  frozen: Any
  source: track_source.TrackSource
  samples: samples.Samples
  eval_samples: samples.Samples
  rule: curriculum.Rule
  progress: curriculum.State
  checkpoints: checkpoint.Checkpoints
  writer: metrics.Writer | metrics.Silent
  train_step: Callable
  eval_step: Callable
  picture_step: Callable
  start: int

  @property
  def num_eval_samples(self) -> int:
    """Samples of an evaluation; by default one of each validation draw."""
    return self.config.eval_samples or self.eval_samples.epoch_size

  @property
  def eval_every(self) -> int:
    """Steps between evaluations; by default those of some epochs."""
    epoch = -(-self.samples.epoch_size // self.config.batch_size)
    every = self.config.every
    return every.eval or epoch * every.eval_epochs

  def setting(self, key: str) -> str:
    """Names a setting of the run as the user gives it."""
    return setting_names.of(self.config, key)

  def control(self) -> dict[str, np.generic]:
    """Returns the scalars that the next steps take from the host."""
    return curriculum.control_scalars(
      self.rule, self.progress, self.config.batch_size, self.setting
    )


def prepare(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike,
  data_path: str | os.PathLike,
  devices: list[jax.Device] | None = None,
  given: dict[str, Any] | None = None,
) -> tuple[Run, train_state.TrainState]:
  """Opens data, builds the system, and restores or initialises its state.

  Args:
    config: The run's config.
    workdir: Its folder; made if it does not exist.
    data_path: Folder of face tracks.
    devices: Which to use; by default all, or as many as divide the batch.
    given: Frozen parameters, by name, with which a new run begins in place of
      random ones.

  Returns:
    All that the loop needs.

  Raises:
    InputError: Config, data or the folder do not fit.
  """
  configuration.check(config)
  setting = setting_names.of(config, "batch_size")
  mesh = sharding.mesh_of_batch(config.batch_size, devices, setting=setting)
  system = base.build(config)
  data = _open_data(config, system, data_path)
  workdir = _own_folder(config, workdir)
  checkpoints = checkpoint.Checkpoints(workdir, config.keep)
  program = train_program.make(config, system, mesh)
  state, frozen, progress = _restore(
    config, checkpoints, program, mesh, data[0], given
  )
  checkpoints.save_frozen(frozen)
  _log.info(preview.sizes(system, state.params, frozen, config, mesh))
  if config.data.cache_codes:
    data = _with_codes(config, workdir, system, frozen, *data)
  source, drawn, eval_drawn = data
  start = int(state.step)
  run = Run(
    config=config,
    workdir=workdir,
    mesh=mesh,
    system=system,
    frozen=frozen,
    source=source,
    samples=drawn,
    eval_samples=eval_drawn,
    rule=configuration.rule(config),
    progress=progress,
    checkpoints=checkpoints,
    writer=_writer(workdir, start),
    train_step=program.step,
    eval_step=sharding.jit_on_batch(system.eval_fn, mesh),
    picture_step=sharding.jit_on_batch(system.pictures, mesh),
    start=start,
  )
  return run, state


def _writer(workdir, start):
  """Lets process 0 alone write the metrics."""
  is_first = distributed.is_first()
  return metrics.Writer(workdir, start) if is_first else metrics.Silent()


def _own_folder(config, workdir):
  """Makes the run's folder, or checks that it is of the same run."""
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  _store(config, workdir)
  return workdir


def _frozen_of(config, given):
  """Returns () -> the frozen parameters with which a new run begins."""
  resources = base.resources(config)
  if resources.note:
    _log.info(resources.note)
  return lambda: (given or {}) | resources.read()


def _with_codes(config, workdir, system, frozen, source, drawn, eval_drawn):
  """Replaces training samples by those of codes that were computed before."""
  train_program.check_encodes(config, system)
  rule, _ = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  codes = code_cache.make(workdir, system, frozen, source, rule)
  return source, code_cache.CodeSamples(source, rule, codes), eval_drawn


def _store(config, workdir):
  """Lets process 0 write config.json; the others see that it is theirs too."""
  if distributed.is_first():
    configuration.store(config, workdir)
  distributed.wait("config")
  path, own = workdir / "config.json", json.loads(config.to_json())
  distributed.until_shown(
    lambda: path.exists() and atomic.read_json(path) == own,
    f"{path}: is not what process 0 of this run wrote there. Give all "
    "processes the same command, and a --workdir on a file system that they "
    "share.",
  )


def _open_data(config, system, data_path):
  train_rule, eval_rule = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  on_bad = config.data.on_bad_record
  source = track_source.TrackSource(data_path, "train", on_bad_record=on_bad)
  held_out = track_source.TrackSource(
    data_path, "validation", on_bad_record=on_bad
  )
  drawn = samples.Samples(source, train_rule)
  _log.info(
    "data: %s: %d train and %d validation chunks; an epoch is %d samples.",
    data_path,
    len(source),
    len(held_out),
    drawn.epoch_size,
  )
  return source, drawn, samples.Samples(held_out, eval_rule)


def _restore(config, checkpoints, program, mesh, source, given):
  """Goes on from the last checkpoint, or starts from other weights."""
  state, frozen = program.init(jax.random.key(config.seed))
  read = _frozen_of(config, given)
  latest = checkpoints.latest()
  if latest is None:
    frozen = frozen | sharding.put_replicated(read(), mesh)
    if config.init_from:
      return _init_from(config, state, frozen, mesh)
    return state, frozen, curriculum.State()
  state, meta = checkpoints.restore(latest, state, mesh)
  frozen = checkpoints.restore_frozen(frozen, mesh)
  progress = checkpoint.curriculum_of(meta, latest)
  if not source.is_of(str(meta.get("source"))):
    raise errors.InputError(
      "the training tracks are not those with which this run began (other "
      "files or records). Give the same --config.data.path, or another "
      "--workdir."
    )
  if meta.get("num_devices") != mesh.devices.size:
    _log.info(
      "resumed on %d devices instead of %d: sums are taken in another order, "
      "so that numbers agree but not to the last bit.",
      mesh.devices.size,
      meta.get("num_devices"),
    )
  _log.info("resumed from step %d.", latest)
  return state, frozen, progress


def _init_from(config, state, frozen, mesh):
  """Takes weights and curriculum from elsewhere."""
  wanted = base.Variables(state.params, state.model_state, frozen)
  variables, num_moves = init_from.read(config, wanted, mesh)
  params = variables.params
  state = state.replace(
    params=params,
    model_state=variables.model_state,
    # Buffers of its own: the step gives its argument's memory away.
    ema=jax.tree.map(lambda x: x.copy(), params) if state.ema else {},
  )
  # The window goes on where it was; what was best so far does not compare.
  progress = curriculum.State(num_moves=num_moves)
  return state, frozen | variables.frozen, progress
