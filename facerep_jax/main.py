"""Trains a system: python -m facerep_jax.main --config=latentface:demo.

--config takes the name of a config that comes with the package (fabnet,
latentface) or the path of a config file, and behind a colon a preset. Any
setting can be changed on the command line: --config.batch_size=64.
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from facerep_jax import cli, distributed, environment, errors
from facerep_jax.files import outputs
from facerep_jax.runs import config_arguments

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Name or file of a config, with :PRESET; --config.key=value overrides.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; runs/CONFIG-PRESET by default."
)
_PROFILE = flags.DEFINE_integer(
  "profile",
  None,
  "Steps to record with JAX's profiler, into profile/ of the run.",
)


def main(arguments: list[str]) -> int:
  """Trains, or goes on with, one run.

  Args:
    arguments: Of the command line, without the command.

  Returns:
    Exit code.

  Raises:
    InputError: A flag, a setting or the data does not fit, or the processes of
      the run do not find each other.
  """
  distributed.start()  # Before anything, such as a config, asks for devices.
  config, workdir = _parse(arguments)
  outputs.check_folder(workdir, "--workdir")
  # After the flags are known to be right: these take seconds to import.
  from facerep_jax.training import experiment

  with environment.at(workdir):
    return experiment.run(config, workdir)


def _parse(arguments):
  if any(a in ("--help", "-h", "-help") for a in arguments):
    print(__doc__.strip())
    print(flags.FLAGS.module_help(sys.modules[__name__]))
    raise SystemExit(0)
  arguments, name = config_arguments.find(arguments)
  config_arguments.parse(flags.FLAGS, [sys.argv[0], *arguments])
  config = _CONFIG.value
  if config is None:
    raise errors.InputError(config_arguments.MISSING)
  if _PROFILE.value is not None:
    config.profile_steps = _PROFILE.value
  default = f"runs/{name}-{config.preset}"
  return config, pathlib.Path(_WORKDIR.value or default)


if __name__ == "__main__":
  distributed.leave(cli.run(main))
