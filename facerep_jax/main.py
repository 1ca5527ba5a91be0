"""Trains a system: python -m facerep_jax.main --config=latentface:demo.

--config takes the name of a config that comes with the package (fabnet,
latentface) or the path of a config file, and behind a colon a preset. Any
setting can be changed on the command line: --config.batch_size=64.
"""

import difflib
import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags

from facerep_jax import cli, distributed, environment, errors
from facerep_jax.files import outputs
from facerep_jax.runs import config_files, configuration, renamed_settings

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
_MISSING = "--config is missing. Example: --config=latentface:demo"


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
  arguments, name = _find_config(arguments)
  try:
    rest = flags.FLAGS([sys.argv[0], *arguments])[1:]
  except (flags.Error, TypeError, ValueError) as error:
    raise errors.InputError(str(error)) from error
  if rest:
    raise errors.InputError(f"unexpected arguments: {' '.join(rest)}.")
  config = _CONFIG.value
  if config is None:
    raise errors.InputError(_MISSING)
  if _PROFILE.value is not None:
    config.profile_steps = _PROFILE.value
  default = f"runs/{name}-{config.preset}"
  return config, pathlib.Path(_WORKDIR.value or default)


def _find_config(arguments):
  """Checks what the flag parser answers with tracebacks.

  Returns:
    The arguments with the path of the config in the place of its name, and the
    name of its file.
  """
  arguments, stem = list(arguments), ""
  for i, argument in enumerate(arguments):
    flag, equals, text = argument.partition("=")
    if flag not in ("--config", "-config"):
      continue
    if not equals:
      i, text = i + 1, arguments[i + 1] if i + 1 < len(arguments) else ""
    if not text:
      raise errors.InputError(_MISSING)
    tree = configuration.from_file(text).to_dict()
    for name in re.findall(r"(?:^| )--?(config\.[^\s=]+)", " ".join(arguments)):
      _check_known(name, ["config." + x for x in configuration.flatten(tree)])
    name, colon, preset = text.partition(":")
    path = config_files.find(name)
    arguments[i] = f"{flag}=" * bool(equals) + f"{path}{colon}{preset}"
    stem = path.stem
  return arguments, stem


def _check_known(name, known):
  if name in known:
    return
  successor = renamed_settings.successor(name)
  if successor in known:
    raise errors.InputError(f"--{name}: is called --{successor} now.")
  close = difflib.get_close_matches(name, known, 1, 0.5)
  hint = f"; did you mean --{close[0]}?" if close else ""
  raise errors.InputError(f"--{name}: there is no such setting{hint}")


if __name__ == "__main__":
  distributed.leave(cli.run(main))
