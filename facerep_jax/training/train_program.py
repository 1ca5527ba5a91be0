"""The compiled training step of a config, and the shapes that it takes.

Training, benchmarks and `facerep_jax.aot` all compile what is built here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from facerep_jax import errors, sharding
from facerep_jax.runs import (
  configuration,
  curriculum,
  optim,
  setting_names,
  train_state,
)
from facerep_jax.systems import base

PyTree = Any


class Program(NamedTuple):
  """What a run compiles for its training.

  Attributes:
    create: Pure function of a root key: the state and the frozen parameters, as
      `train_state.create`.
    init: The same, compiled: every device holds the result.
    step: `train_state.make_train_step`, compiled; the state is donated.
  """

  create: Callable[[jax.Array], tuple[train_state.TrainState, PyTree]]
  init: Callable[[jax.Array], tuple[train_state.TrainState, PyTree]]
  step: Callable


def make(
  config: ml_collections.ConfigDict, system: base.System, mesh: Mesh
) -> Program:
  """Builds the functions of a run; nothing is compiled before the first call.

  Args:
    config: Of the run, or of one stage.
    system: What it trains.
    mesh: Rows of the batch are split over it; its devices need not be there.

  Returns:
    The functions.
  """
  optimizer = optim.make(
    configuration.recipe(config), config.steps, config.batch_size
  )
  abstract = jax.eval_shape(system.init, jax.random.key(0))
  names = train_state.metric_names(system, abstract, config.batch_size)

  def create(key):
    return train_state.create(system, optimizer, names, config.ema_decay, key)

  step = train_state.make_train_step(
    system,
    optimizer,
    log_every=config.every.log,
    ema_decay=config.ema_decay,
  )
  return Program(
    create,
    sharding.jit_init(create, mesh),
    sharding.jit_train_step(step, mesh),
  )


def abstract_arguments(
  config: ml_collections.ConfigDict,
  system: base.System,
  mesh: Mesh,
  create: Callable[[jax.Array], tuple[train_state.TrainState, PyTree]],
) -> tuple[PyTree, PyTree, PyTree, PyTree]:
  """Says what a run's step takes, without any data or device.

  Args:
    config: As for `make`.
    system: Likewise.
    mesh: Likewise.
    create: Of `make`.

  Returns:
    State, frozen parameters, batch and control, the arguments of the step, as
    `ShapeDtypeStruct`s with the placement that training gives them.

  Raises:
    InputError: The curriculum needs larger batches, or the codes of a system
      are to be cached that has none.
  """
  state, frozen = jax.eval_shape(create, jax.random.key(config.seed))
  control = curriculum.control_scalars(
    configuration.rule(config), curriculum.State(), config.batch_size
  )
  return (
    sharding.abstract(state, sharding.replicated(mesh)),
    sharding.abstract(frozen, sharding.replicated(mesh)),
    sharding.abstract(
      _abstract_batch(config, system, frozen), sharding.by_row(mesh)
    ),
    sharding.abstract(control, sharding.replicated(mesh)),
  )


def _abstract_batch(config, system, frozen):
  """Returns what the loop sends to the devices, see `Samples.spec`."""
  size, rows = system.size_px, (config.batch_size, system.num_frames)
  if not config.data.cache_codes:
    frames = (*rows, size, size, 3)
    return {"frames": jax.ShapeDtypeStruct(frames, jnp.uint8)}
  check_encodes(config, system)
  frames = jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8)
  codes = jax.eval_shape(system.encode, frozen, frames)
  return {"codes": jax.ShapeDtypeStruct((*rows, codes.shape[-1]), jnp.float32)}


def check_encodes(
  config: ml_collections.ConfigDict, system: base.System
) -> None:
  """Checks that a system can do with codes in the place of frames.

  Args:
    config: A config with `data.cache_codes`.
    system: What it trains.

  Raises:
    InputError: It looks at frames.
  """
  if system.encode is None:
    raise errors.InputError(
      f"{setting_names.of(config, 'data.cache_codes')}=True, but what is "
      "trained looks at frames itself: only later stages can do with codes. "
      "Set it to False."
    )
