"""Compiled programs, with the memory that they take."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from facerep_jax import sharding
from facerep_jax.runs import configuration, curriculum
from facerep_jax.systems import base
from facerep_jax.training import train_program

PyTree = Any


class Program(NamedTuple):
  """A compiled piece of work.

  Attributes:
    call: Does it once, and returns the result when it is there.
    compile_s: What tracing and compiling took, in seconds.
    memory_bytes: See `memory_bytes`.
  """

  call: Callable[[], PyTree]
  compile_s: float
  memory_bytes: int


def one_device() -> Mesh:
  """Returns the mesh on which all is measured that does not compare meshes."""
  return sharding.make_mesh(jax.devices()[:1])


def on_batch(
  function: Callable[[PyTree, PyTree], PyTree],
  variables: PyTree,
  batch: dict[str, Any],
) -> Program:
  """Compiles a function of variables and a batch.

  Args:
    function: The work.
    variables: Its first argument.
    batch: Its second; arrays by name.

  Returns:
    The program.
  """
  mesh = one_device()
  variables = sharding.put_replicated(variables, mesh)
  batch = sharding.put_batch(batch, mesh)
  start = time.perf_counter()
  program = sharding.jit_on_batch(function, mesh).lower(variables, batch)
  program = program.compile()
  return Program(
    lambda: jax.block_until_ready(program(variables, batch)),
    time.perf_counter() - start,
    memory_bytes(program),
  )


def training_step(config: ml_collections.ConfigDict, mesh: Mesh) -> Program:
  """Compiles a run's training step, on noise.

  Args:
    config: Of the run.
    mesh: Over which the rows of the batch are split, as in training.

  Returns:
    The program; each call goes on where the last one ended, and returns the
    metrics of the step.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  config.every.log = 1  # Windows of one step.
  system, size = base.build(config), config.model.size_px
  training = train_program.make(config, system, mesh)
  state, frozen = training.init(jax.random.key(config.seed))
  shape = (config.batch_size, system.num_frames, size, size, 3)
  frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  batch = sharding.put_batch({"frames": frames}, mesh)
  control = curriculum.control_scalars(
    configuration.rule(config), curriculum.State(), config.batch_size
  )
  start = time.perf_counter()
  program = training.step.lower(state, frozen, batch, control).compile()
  compile_s = time.perf_counter() - start

  def call():
    nonlocal state
    state, window = program(state, frozen, batch, control)
    jax.block_until_ready(state)
    return window["means"]

  return Program(call, compile_s, memory_bytes(program))


def memory_bytes(program: jax.stages.Compiled) -> int:
  """Adds up what XLA sets aside for a program.

  Args:
    program: The program.

  Returns:
    Bytes of arguments, results and all between; what a result takes over from
    an argument counts once. Scratch of libraries that it calls is not in it.
  """
  known = program.memory_analysis()
  return (
    known.argument_size_in_bytes
    + known.output_size_in_bytes
    - known.alias_size_in_bytes
    + known.temp_size_in_bytes
  )
