"""Compiles one training step, in a process of its own: see `processes`."""

import json
import math
import re
import sys
import time
from typing import Any

import jax
import ml_collections

from facerep_jax import errors, sharding
from facerep_jax.aot import chips, collectives, lookups
from facerep_jax.systems import base
from facerep_jax.training import train_program

# Before the line of the result, among what libraries print.
MARK = "facerep_jax.aot: "
_FULL = "RESOURCE_EXHAUSTED"
# As XLA says it: "Used 17.03G of 15.75G hbm."
_USED = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm")


def measure(
  config: ml_collections.ConfigDict, topology: chips.Topology
) -> dict[str, Any]:
  """Compiles the training step of a stage, without running it.

  Args:
    config: Of the stage.
    topology: For which devices.

  Returns:
    `device_kind`, `num_devices`, `num_slices`, `batch_size`; `trace_s` and
    `compile_s`, seconds; `parameter_bytes` of all that learns; `memory`, bytes
    of a device by use, or what is known where they do not suffice;
    `is_out_of_memory`; `flops` of a device; `collectives`, see
    `collectives.summary`; None where XLA does not tell; and `lookups`, see
    `lookups.Counts`, the device's share of those of the batch.

  Raises:
    InputError: The batch does not divide among the devices, or a setting is out
      of range.
  """
  devices = chips.devices(topology)
  mesh = sharding.mesh_of_batch(config.batch_size, devices)
  start = time.perf_counter()
  arguments, step = _traced(config, mesh)
  lowered = step.lower()
  traced = time.perf_counter()
  row = {
    "device_kind": devices[0].device_kind,
    "num_devices": len(devices),
    "num_slices": topology.num_slices,
    "batch_size": config.batch_size,
    "trace_s": traced - start,
    "parameter_bytes": sum(
      x.size * x.dtype.itemsize for x in jax.tree.leaves(arguments[0].params)
    ),
    "memory": None,
    "flops": None,
    "collectives": None,
    "is_out_of_memory": False,
    "lookups": _lookups(config, devices),
  }
  start = time.perf_counter()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if _FULL not in str(error):
      raise
    row |= {"is_out_of_memory": True, "memory": _used(str(error))}
  else:
    row |= _describe(compiled, len(devices), topology, arguments[0].params)
  return row | {"compile_s": time.perf_counter() - start}


def _traced(config, mesh):
  """Returns the arguments of the training step, and the step, traced."""
  system = base.build(config)
  program = train_program.make(config, system, mesh)
  arguments = train_program.abstract_arguments(
    config, system, mesh, program.create
  )
  return arguments, program.step.trace(*arguments)


def _lookups(config, devices):
  """Counts what one device looks up: its share of that of the batch."""
  _, step = _traced(config, sharding.make_mesh(devices[:1]))
  found = lookups.count(step.lower().as_text())
  places = ("lookups", "scatters", "rows")
  return found._asdict() | {
    name: math.ceil(getattr(found, name) / len(devices)) for name in places
  }


def _used(text):
  """Reads from XLA's complaint how much memory was wanted."""
  found = _USED.search(text)
  if not found:
    return None
  return {"total": float(found[1]) * 1024.0 ** " KMGT".index(found[2] or " ")}


def _describe(compiled, num_devices, topology, params):
  """Describes a compiled step."""
  known = compiled.memory_analysis()
  memory = {
    "arguments": known.argument_size_in_bytes,
    # What a result takes over from an argument counts once.
    "outputs": known.output_size_in_bytes - known.alias_size_in_bytes,
    "temporaries": known.temp_size_in_bytes,
    "code": known.generated_code_size_in_bytes,
  }
  found = collectives.find(
    compiled.as_text(),
    num_devices=num_devices,
    num_slices=topology.num_slices,
    parameter_sizes=[x.size for x in jax.tree.leaves(params)],
  )
  return {
    "memory": memory | {"total": sum(memory.values())},
    "flops": compiled.cost_analysis().get("flops"),
    "collectives": collectives.summary(found),
  }


def main() -> None:
  """Reads a job from standard input, and prints the result as JSON.

  An error that the user can act on is the result, too: `error`, its line.
  """
  job = json.load(sys.stdin)
  shape = tuple(job["shape"])
  topology = chips.Topology(job["chip"], shape, job["num_slices"])
  try:
    row = measure(ml_collections.ConfigDict(job["config"]), topology)
  except errors.InputError as error:
    row = {"error": str(error)}
  print(MARK + json.dumps(row), flush=True)


if __name__ == "__main__":
  main()
