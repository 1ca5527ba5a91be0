"""What a machine is: devices, versions, commit, and a product on the device.

python -m facerep_jax.benchmarks.gpu_environment --output=FILE.json
"""

import pathlib
import shutil
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp

from facerep_jax import cli, errors
from facerep_jax.benchmarks import compiled, report, timing
from facerep_jax.files import atomic

_QUERY = "name,driver_version,memory.total,clocks.max.sm,power.limit"


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments cannot be used, or `--need` is not the kind of
      device that JAX found.
  """
  parser = cli.Parser("python -m facerep_jax.benchmarks.gpu_environment")
  parser.add_argument("--output", required=True, help="JSON file")
  parser.add_argument("--need", help="kind of device, such as gpu")
  parser.add_argument("--size", type=int, default=8192, help="of a product")
  options = parser.parse_args(arguments)
  found = describe(options.size)
  atomic.write_json(pathlib.Path(options.output), found)
  for key, value in found.items():
    print(f"{key}: {value}")
  if options.need and found["backend"] != options.need:
    raise errors.InputError(
      f"--need={options.need}: JAX finds {found['backend']} devices."
    )


def describe(size: int) -> dict[str, Any]:
  """Describes the machine.

  Args:
    size: Of the square matrices whose product is timed.

  Returns:
    What `report.machine` says; `devices`, as JAX names them; `nvidia_smi`, one
    line, None without it; `product`, by type of number what
    `compiled.use` says of a product of two matrices, and its `seconds`.
  """
  return {
    **report.machine(),
    "devices": [str(device) for device in jax.devices()],
    "nvidia_smi": _ask_nvidia(),
    "product_size": size,
    "product": {name: _product(size, name) for name in ("bfloat16", "float32")},
  }


def _product(size, dtype):
  """Times a product of two matrices of random numbers."""
  keys = jax.random.split(jax.random.key(0))
  a, b = (
    jax.random.normal(key, (size, size), jnp.dtype(dtype)) for key in keys
  )
  program = compiled.on_batch(lambda b, a: a["x"] @ b, b, {"x": a})
  turn = timing.repeated(program.call)
  seconds = timing.by_turns({dtype: turn}, limit_s=1.0)[dtype].median_s
  return {"seconds": seconds} | compiled.use(program, seconds, dtype=dtype)


def _ask_nvidia():
  """Returns what nvidia-smi says of the GPUs, None where it is absent."""
  if shutil.which("nvidia-smi") is None:
    return None
  done = subprocess.run(
    ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"],
    capture_output=True,
    text=True,
    check=False,
  )
  return "; ".join(done.stdout.split("\n")).strip("; ") or None


if __name__ == "__main__":
  sys.exit(cli.run(main))
