"""Programs compiled for one device, with the memory that they take."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from facerep_jax import sharding

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


def one_device() -> jax.sharding.Mesh:
  """Returns the mesh on which all is measured."""
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
