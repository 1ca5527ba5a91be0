"""Compiling in a process of its own, with what libtpu needs around it."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import ml_collections

from facerep_jax import errors
from facerep_jax.aot import chips, worker

# libtpu would look for TPUs, ask the cloud's metadata server for them, and let
# one process use it at a time.
_TPU = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_ACCELERATOR_TYPE": "v5litepod-16",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_WORKER_ID": "0",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
# The compiler of v6e and tpu7x overflows its threads' usual stack.
_STACK = "--fibers_default_thread_stack_size=67108864"
_LAST_CHARACTERS = 300


def check_compiler(topology: chips.Topology) -> None:
  """Checks that there is a compiler for some devices.

  Args:
    topology: The devices.

  Raises:
    InputError: libtpu is not installed.
  """
  if topology.chip == "cpu" or importlib.util.find_spec("libtpu"):
    return
  raise errors.InputError(
    f"--topology={topology.name}: compiling for TPUs needs libtpu, which is "
    f'not installed: pip install "{_libtpu()}" (700 MB; in an environment for '
    "development, since JAX looks for TPUs where it is)."
  )


def _libtpu():
  """Returns the libtpu that this JAX asks for, as pip takes it."""
  for line in importlib.metadata.requires("jax") or ():
    if line.startswith("libtpu"):
      return line.partition(";")[0].strip()
  return "libtpu"


def environment(topology: chips.Topology) -> dict[str, str]:
  """Returns the environment in which a worker compiles.

  Args:
    topology: For which devices.

  Returns:
    That of this process, changed; programs are not taken from JAX's cache.
  """
  around = dict(os.environ) | {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
  }
  if topology.chip == "cpu":
    around.pop("JAX_NUM_CPU_DEVICES", None)
    count = f"--xla_force_host_platform_device_count={topology.num_devices}"
    # The last of several counts.
    around["XLA_FLAGS"] = f"{around.get('XLA_FLAGS', '')} {count}".strip()
    return around
  given = around.get("LIBTPU_INIT_ARGS", "")
  return around | _TPU | {"LIBTPU_INIT_ARGS": f"{given} {_STACK}".strip()}


def measure(
  config: ml_collections.ConfigDict, topology: chips.Topology
) -> dict[str, Any]:
  """Compiles a training step in a process of its own.

  Args:
    config: Of the stage.
    topology: For which devices.

  Returns:
    As `worker.measure`.

  Raises:
    InputError: As there, or the process fails.
  """
  job = topology._asdict() | {"config": json.loads(config.to_json())}
  done = subprocess.run(
    [sys.executable, "-m", f"{__package__}.worker"],
    input=json.dumps(job),
    env=environment(topology),
    capture_output=True,
    text=True,
    errors="replace",
    check=False,
  )
  lines = [x for x in done.stdout.splitlines() if x.startswith(worker.MARK)]
  if done.returncode or not lines:
    last = " ".join(done.stderr.split())[-_LAST_CHARACTERS:]
    raise errors.InputError(
      f"--topology={topology.name}: the compiler ended with code "
      f"{done.returncode}: {last}"
    )
  row = json.loads(lines[-1].removeprefix(worker.MARK))
  if "error" in row:
    raise errors.InputError(row["error"])
  return row
