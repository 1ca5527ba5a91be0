"""Compiles training for TPUs that are not there; nothing is run.

python -m facerep_jax.aot --config=fabnet:paper --topology=v5e:4x4

The training step of each stage of a config is compiled for a slice, or several,
of a kind of TPU: does it compile, does it fit, what do the devices send each
other? It says nothing of speed. --topology=cpu:8 compiles for eight virtual CPU
devices, without libtpu.
"""

import argparse
import logging
import pathlib
import sys

import ml_collections

from facerep_jax import cli, errors, sharding
from facerep_jax.aot import chips, largest, processes, results
from facerep_jax.files import atomic, outputs
from facerep_jax.runs import (
  config_arguments,
  configuration,
  setting_names,
  stages,
)

_log = logging.getLogger(__name__)
# Statistics of a batch and its ranks take kilobytes. A batch that is gathered
# by mistake has more: 32 pairs of 256 px are 13 MB.
_MAX_COLLECTIVE_MB = 4.0


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments cannot be used; or a step does not fit, or sends
      more than it may.
  """
  options = _parser().parse_args([x for x in arguments if not _is_of_config(x)])
  config = config_arguments.read([x for x in arguments if _is_of_config(x)])
  topology = chips.parse(options.topology, options.slices)
  limit_bytes = _limit(options, topology)
  parts = [_with_batch(x, options) for x in stages.chosen(config)]
  for stage in parts:
    _check(stage, options, topology)
  if options.output:
    outputs.check_file(options.output, "--output")
  processes.check_compiler(topology)
  rows = []
  for stage in parts:
    _log.info("%s: compiling for %s", _title(stage), options.topology)
    row = _compile(stage.config, topology, options, limit_bytes)
    rows.append({"stage": _title(stage)} | row)
  print(results.markdown(rows, limit_bytes))
  if options.output:
    found = results.as_json(rows, topology.name, limit_bytes)
    atomic.write_json(options.output, found)
    print(f"{options.output}: written")
  problems = results.problems(
    rows, limit_bytes, 1e6 * options.max_collective_mb
  )
  if problems:
    raise errors.InputError(" ".join(problems))


def _is_of_config(argument):
  return argument.lstrip("-").startswith(("config=", "config."))


def _parser():
  parser = cli.Parser(
    "python -m facerep_jax.aot",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    epilog="--config=NAME:PRESET and --config.KEY=VALUE as for training.",
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--topology", required=True, help="chip and shape, such as v5e:16x16")
  add("--slices", type=int, default=1, help="of that shape (default: 1)")
  add("--batch-size", type=int, help="in place of the config's, of all stages")
  add(
    "--largest-batch",
    action="store_true",
    help="search the largest batch that fits",
  )
  add("--memory-gb", type=float, help="of a device, in place of the chip's")
  add(
    "--max-collective-mb",
    type=float,
    default=_MAX_COLLECTIVE_MB,
    help="most that a transfer may carry beside gradients (default: "
    "%(default)s)",
  )
  add("--output", type=pathlib.Path, help="JSON file of the results")
  return parser


def _limit(options, topology):
  """Returns the memory of a device in bytes, or None."""
  for name in ("memory_gb", "max_collective_mb"):
    value = getattr(options, name)
    if value is not None and not value > 0:
      raise errors.InputError(
        f"--{name.replace('_', '-')}={value}: expected more than 0."
      )
  limit = topology.memory_bytes
  if options.memory_gb is not None:
    limit = 1e9 * options.memory_gb
  if options.largest_batch and limit is None:
    raise errors.InputError(
      f"--largest-batch: the memory of {topology.chip} is not known. Give "
      "--memory-gb."
    )
  return limit


def _with_batch(stage, options):
  """Puts the batch size of the command line into a stage's config."""
  config = ml_collections.ConfigDict(stage.config.to_dict())
  if options.batch_size is not None:
    config.batch_size = options.batch_size
  return stages.Stage(config, stage.name)


def _check(stage, options, topology):
  """Checks a stage before any is compiled."""
  setting = setting_names.of(stage.config, "batch_size")
  if options.batch_size is not None:
    setting = "--batch-size"
  if not options.largest_batch:
    sharding.check_batch_size(
      stage.config.batch_size, range(topology.num_devices), setting=setting
    )
  configuration.check(stage.config)


def _compile(config, topology, options, limit_bytes):
  """Compiles a stage at its batch size, or at the largest that fits."""

  def measure(batch_size):
    config.batch_size = batch_size
    row = processes.measure(config, topology)
    _log.info(
      "  batch %d: %.0f s%s",
      batch_size,
      row["compile_s"],
      "" if results.fits(row, limit_bytes) in (True, None) else ", too large",
    )
    return row

  if not options.largest_batch:
    return measure(config.batch_size)
  return largest.search(
    measure,
    lambda row: results.fits(row, limit_bytes),
    config.batch_size,
    topology.num_devices,
  )


def _title(stage):
  name = f"{stage.config.system}:{stage.config.preset}"
  return f"{name}, {stage.name}" if stage.name else name


if __name__ == "__main__":
  sys.exit(cli.run(main))
