"""Trainings by several processes of this machine, as scripts start them.

As a program, `python -m tests.process_runs SYSTEM DATA FOLDER STEPS` is one of
these processes: it trains a small run and, as process 0, writes its weights.
"""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A slice for each process, in the order of processes: "1,0" gives the first
# process the devices of the second slice.
SLICES = "TESTS_SLICES"
_LIMIT_S = 3600  # LatentFace takes minutes to compile for eight devices.


def environments(
  num_processes: int, num_devices: int, **more: str
) -> list[dict[str, str]]:
  """Returns the environment of each process; a single one has no others.

  Args:
    num_processes: How many there are.
    num_devices: CPU devices of each.
    **more: Variables of all.
  """
  # Those of the suite, as `launch/local.sh` takes them: the last count counts.
  flags = f"--xla_force_host_platform_device_count={num_devices}"
  common = os.environ | {
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {flags}",
    "JAX_PLATFORMS": "cpu",
  }
  common |= more
  if num_processes == 1:
    return [common]
  with socket.create_server(("127.0.0.1", 0)) as free:
    address = f"127.0.0.1:{free.getsockname()[1]}"
  return [
    common
    | {
      "FACEREP_COORDINATOR": address,
      "FACEREP_NUM_PROCESSES": str(num_processes),
      "FACEREP_PROCESS": str(number),
      # Of processes that share few cores, one may be late.
      "FACEREP_START_TIMEOUT_S": "600",
    }
    for number in range(num_processes)
  ]


def start(
  arguments: list[str], environments: list[dict[str, str]]
) -> list[subprocess.Popen]:
  """Starts `python ARGUMENTS` in each environment."""
  return [
    subprocess.Popen(
      [sys.executable, *arguments],
      cwd=ROOT,
      env=values,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )
    for values in environments
  ]


def train(
  system: str,
  data: str,
  folder: pathlib.Path,
  *where: int,
  steps: int = 3,
  **more: str,
) -> str:
  """Trains a small run to its end.

  Args:
    system: See `configs`.
    data: Folder of tracks.
    folder: Of the run.
    *where: As for `environments`.
    steps: Of each stage.
    **more: Likewise.

  Returns:
    What process 0 wrote to stderr.
  """
  arguments = ["-m", "tests.process_runs", system, data]
  arguments += [str(folder), str(steps)]
  started = start(arguments, environments(*where, **more))
  try:
    logs = [x.communicate(timeout=_LIMIT_S)[1] for x in started]
  finally:
    for process in started:
      process.kill()
  assert all(x.returncode == 0 for x in started), "\n".join(logs)
  return logs[0]


def weights(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns all arrays that a run learned, by stage and name."""
  with np.load(folder / "learned.npz") as arrays:
    return dict(arrays)


def config(system: str, data: str, steps: int):
  """Returns a small config: `fabnet`, or `latentface` with its two stages.

  Batches are of 24 rows: they divide among 1, 2, 3 and 8 devices.
  """
  from tests import tiny, tiny_face

  if system == "fabnet":
    out = tiny.config(data)
    parts = [out]
  else:
    out = tiny_face.lean(data)
    parts = [out.autoencoder, out.diffusion]
    # Two numbers in a group, normalised, are about 1 and -1: what their
    # difference loses to rounding decides the gradient.
    out.diffusion.model.num_groups = 2
  for one in parts:
    one.batch_size, one.steps = 24, steps
    one.every.update(log=1, eval=3, pictures=0)
    # Adam's first steps are as long whatever the gradient is: where that is
    # nothing but rounding, devices would part.
    one.optimizer.name = "sgd"
    # A part of a run with fewer steps is then a part of the whole.
    one.optimizer.schedule = "constant"
  return out


def _keep_weights(learned):
  """Lets the loop hand over what it learned."""
  import jax

  from facerep_jax.training import loop

  train_as_usual = loop.train

  def train_and_keep(run, state):
    state = train_as_usual(run, state)
    for part in ("params", "model_state"):
      leaves = jax.tree_util.tree_leaves_with_path(getattr(state, part))
      for path, x in leaves:
        name = f"{run.config.system}/{part}{jax.tree_util.keystr(path)}"
        learned[name] = np.asarray(x)
    return state

  loop.train = train_and_keep


def _deal_slices(numbers):
  """Gives the devices of each process the number of a slice."""
  from facerep_jax import sharding

  sharding.slice_of = lambda device: numbers[device.process_index]


def _main(system, data, folder, steps):
  from facerep_jax import distributed

  distributed.start()
  from facerep_jax.training import examples, experiment

  # These have tests of their own, and would be most of the work.
  experiment._look = lambda *arguments: None
  examples.write = lambda workdir: None
  if os.environ.get(SLICES):
    _deal_slices([int(x) for x in os.environ[SLICES].split(",")])
  learned = {}
  _keep_weights(learned)
  experiment.run(config(system, data, int(steps)), folder)
  if distributed.is_first():
    np.savez(pathlib.Path(folder) / "learned.npz", **learned)
  return 0


if __name__ == "__main__":
  from facerep_jax import cli, distributed

  distributed.leave(cli.run(lambda arguments: _main(*sys.argv[1:])))
