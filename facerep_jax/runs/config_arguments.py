"""--config and the changes of settings on a command line."""

import difflib
import re
import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

from facerep_jax import errors
from facerep_jax.runs import config_files, configuration, renamed_settings

MISSING = "--config is missing. Example: --config=latentface:demo"


def read(arguments: list[str]) -> ml_collections.ConfigDict:
  """Reads a config with its changes.

  Args:
    arguments: --config=NAME:PRESET and any --config.KEY=VALUE.

  Returns:
    The config.

  Raises:
    InputError: There is no such config or setting, or a value does not fit.
  """
  arguments, _ = find(arguments)
  # Not the global flags, which another command may have defined.
  values = flags.FlagValues()
  whole = [sys.argv[0], *arguments]
  holder = config_flags.DEFINE_config_file(
    "config", None, "Config.", flag_values=values, sys_argv=whole
  )
  parse(values, whole)
  if holder.value is None:
    raise errors.InputError(MISSING)
  return holder.value


def parse(values: flags.FlagValues, whole: list[str]) -> None:
  """Parses a command line.

  Args:
    values: The flags that there are.
    whole: The command and its arguments, as `find` returns them.

  Raises:
    InputError: There is no such flag, or a value does not fit.
  """
  try:
    rest = values(whole)[1:]
  except (flags.Error, TypeError, ValueError) as error:
    raise errors.InputError(str(error)) from error
  if rest:
    raise errors.InputError(f"unexpected arguments: {' '.join(rest)}.")


def find(arguments: list[str]) -> tuple[list[str], str]:
  """Checks what the flag parser answers with tracebacks.

  Args:
    arguments: Of a command.

  Returns:
    The arguments with the path of the config in the place of its name, and the
    name of its file; "" where there is no --config.

  Raises:
    InputError: There is no such config or setting.
  """
  arguments, stem = list(arguments), ""
  for i, argument in enumerate(arguments):
    flag, equals, text = argument.partition("=")
    if flag not in ("--config", "-config"):
      continue
    if not equals:
      i, text = i + 1, arguments[i + 1] if i + 1 < len(arguments) else ""
    if not text:
      raise errors.InputError(MISSING)
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
