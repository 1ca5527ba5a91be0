"""Compiled programs, with the memory and the arithmetic that they take."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from facerep_jax import sharding
from facerep_jax.benchmarks import report
from facerep_jax.runs import arithmetic, configuration, curriculum
from facerep_jax.systems import base
from facerep_jax.training import train_program

PyTree = Any
USE_COLUMNS = (
  report.Column("gflop", "GFLOP", ".3g"),
  report.Column("tflops", "TFLOP/s", ".3g"),
  report.Column("peak_share", "of the peak", ".2%"),
  report.Column("first_s", "first call, s", ".2f"),
)


class Program(NamedTuple):
  """A compiled piece of work.

  Attributes:
    call: Does it once, and returns the result when it is there.
    compile_s: What tracing and compiling took, in seconds.
    memory_bytes: See `memory_bytes`.
    flops: Operations of a call as written; see `arithmetic.flops`.
    compiled_flops: The same as compiled.
  """

  call: Callable[[], PyTree]
  compile_s: float
  memory_bytes: int
  flops: float | None = None
  compiled_flops: float | None = None

  @property
  def first_s(self) -> float | None:
    """Seconds that the first call took; None before it."""
    return getattr(self.call, "first_s", None)


class _Call:
  """Work that notes how long its first time took."""

  def __init__(self, work):
    self._work, self.first_s = work, None

  def __call__(self):
    if self.first_s is not None:
      return self._work()
    start = time.perf_counter()
    result = self._work()
    self.first_s = time.perf_counter() - start
    return result


def compile_program(
  lower: Callable[[], jax.stages.Lowered],
  work_of: Callable[[jax.stages.Compiled], Callable[[], PyTree]],
) -> Program:
  """Compiles a program.

  Args:
    lower: Traces it; timed with the compilation.
    work_of: Makes of what is compiled a function that does it once, and
      returns the result when it is there.

  Returns:
    The program.
  """
  start = time.perf_counter()
  lowered = lower()
  program = lowered.compile()
  compile_s = time.perf_counter() - start
  return Program(
    _Call(work_of(program)),
    compile_s,
    memory_bytes(program),
    arithmetic.flops(lowered),
    arithmetic.flops(program),
  )


def use(
  program: Program,
  seconds: float,
  *,
  dtype: str = "float32",
  num_devices: int = 1,
) -> dict[str, float | None]:
  """Says how well a program used the device.

  Args:
    program: The program.
    seconds: That one call took.
    dtype: In which it computes: "float32" or "bfloat16".
    num_devices: How many shared it.

  Returns:
    What `USE_COLUMNS` show: `gflop` of a call, 10^9 operations; `tflops`,
    10^12 a second; `peak_share`, [0, 1]; `first_s`, seconds. Besides,
    `compiled_gflop`, `memory_mb`, 10^6 bytes, and `compile_s`, seconds. None
    for what is not known.
  """
  counts = {"gflop": program.flops, "compiled_gflop": program.compiled_flops}
  rates = arithmetic.rates(
    program.flops,
    seconds,
    jax.devices()[0].device_kind,
    dtype=dtype,
    num_devices=num_devices,
  )
  return {
    **{name: x if x is None else x / 1e9 for name, x in counts.items()},
    **rates,
    "first_s": program.first_s,
    "memory_mb": program.memory_bytes / 1e6,
    "compile_s": program.compile_s,
  }


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
  return compile_program(
    lambda: sharding.jit_on_batch(function, mesh).lower(variables, batch),
    lambda program: lambda: jax.block_until_ready(program(variables, batch)),
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

  def work_of(program):
    def call():
      nonlocal state
      state, window = program(state, frozen, batch, control)
      jax.block_until_ready(state)
      return window["means"]

    return call

  return compile_program(
    lambda: training.step.lower(state, frozen, batch, control), work_of
  )


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
