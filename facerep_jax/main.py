"""Trains a system: python -m facerep_jax.main --config=configs/fabnet.py:demo.

Any setting can be changed on the command line: --config.batch_size=64.
"""

import difflib
import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags

from facerep_jax import cli, configuration, distributed, errors

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Config file, with :PRESET; --config.key=value overrides."
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; runs/CONFIG-PRESET by default."
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
  # After the flags are known to be right: these take seconds to import.
  from facerep_jax import experiment

  return experiment.run(config, workdir)


def _parse(arguments):
  if any(a in ("--help", "-h", "-help") for a in arguments):
    print(__doc__.strip())
    print(flags.FLAGS.module_help(sys.modules[__name__]))
    raise SystemExit(0)
  # Checked first, because the flag parser answers with tracebacks.
  text = " ".join(arguments)
  match = re.search(r"(?:^| )--?config[= ](([^\s:]+)\S*)", text)
  if match:
    tree = configuration.from_file(match[1]).to_dict()
    known = ["config." + name for name in configuration.flatten(tree)]
    for name in re.findall(r"(?:^| )--?(config\.[^\s=]+)", text):
      _check_known(name, known)
  try:
    rest = flags.FLAGS([sys.argv[0], *arguments])[1:]
  except (flags.Error, TypeError, ValueError) as error:
    raise errors.InputError(str(error)) from error
  if rest:
    raise errors.InputError(f"unexpected arguments: {' '.join(rest)}.")
  config = _CONFIG.value
  if config is None:
    raise errors.InputError(
      "--config is missing. Example: --config=configs/fabnet.py:demo"
    )
  default = f"runs/{pathlib.Path(match[2]).stem}-{config.preset}"
  return config, pathlib.Path(_WORKDIR.value or default)


def _check_known(name, known):
  if name in known:
    return
  close = difflib.get_close_matches(name, known, 1, 0.5)
  hint = f"; did you mean --{close[0]}?" if close else ""
  raise errors.InputError(f"--{name}: there is no such setting{hint}")


if __name__ == "__main__":
  distributed.leave(cli.run(main))
