"""Which trained model a command works with: --workdir or --model."""

import argparse
import pathlib

from facerep_jax import errors
from facerep_jax.inference import packaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the two arguments of which exactly one is given."""
  add = parser.add_argument
  add("--workdir", default="", help="folder of a trained run")
  add(
    "--model",
    default="",
    help="in place of --workdir: name of a model that comes with the library, "
    "or a .safetensors file",
  )


def place_of(options: argparse.Namespace) -> str | pathlib.Path:
  """Returns what `api.load` loads.

  Args:
    options: With `workdir` and `model`, one of them empty.

  Returns:
    The run's folder as it was given, or the path of the model's file.

  Raises:
    InputError: Both or neither are given, or there is no such model.
  """
  if bool(options.workdir) == bool(options.model):
    raise errors.InputError(
      "expected one of --workdir=RUN and --model=NAME, got "
      f"{'both' if options.model else 'neither'} (see --help)."
    )
  if options.model:
    return packaged.file_of(options.model)
  return options.workdir
