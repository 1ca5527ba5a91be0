"""Trained models that come with the library, by name."""

import difflib
import logging
import os
import pathlib

from facerep_jax import errors
from facerep_jax.inference import weight_file

_log = logging.getLogger(__name__)
FOLDER = pathlib.Path(__file__).parents[1] / "weights"


def paths() -> dict[str, pathlib.Path]:
  """Finds the files of all models of this installation, by name."""
  found = sorted(FOLDER.glob(f"*{weight_file.SUFFIX}"))
  return {path.stem: path for path in found}


def summaries() -> dict[str, str]:
  """Says of each model, by name, what it is: one line of its file."""
  return {
    name: weight_file.metadata(path).get("summary", "")
    for name, path in paths().items()
  }


def file_of(text: str | os.PathLike) -> pathlib.Path:
  """Finds the file of a model.

  Args:
    text: Name of a model that comes with the library, or path of a file. A
      name wins over a file without suffix that is called the same.

  Returns:
    Path of the file.

  Raises:
    InputError: There is neither.
  """
  known = paths()
  if os.fspath(text) in known:
    return known[os.fspath(text)]
  path = pathlib.Path(text)
  if path.is_dir():
    raise errors.InputError(
      f"{text}: expected the name of a model or a file, got a folder. A run is "
      "given as --workdir."
    )
  if not path.is_file():
    raise _unknown(text, "neither a model of this installation nor a file")
  return path


def place_of(text: str | os.PathLike) -> pathlib.Path:
  """Finds what a text stands for: a run, a file or a model's name.

  Args:
    text: Path of a folder or of a file, or a name. A folder of the same name
      as a model is taken for a run, as it was before there was the model; the
      log says so.

  Returns:
    The folder, or the path of the file.

  Raises:
    InputError: A bare name is none of these.
  """
  path, name = pathlib.Path(text), os.fspath(text)
  if path.is_dir() and name in paths():
    _log.warning(
      "%s: this is the run in the folder of that name, not the model that "
      "comes with the library. Rename the folder, or use --model.",
      name,
    )
  if path.exists():
    return path
  if path.name == name:
    if name in paths():
      return paths()[name]
    raise _unknown(text, "neither a run's folder, a file nor a model's name")
  if path.suffix == weight_file.SUFFIX:
    raise _unknown(text, "no such file")
  return path  # Of a folder that is yet to be missed.


def title_of(text: str | os.PathLike) -> str:
  """Returns what a run, a file or a model is called in reports."""
  path = pathlib.Path(text).resolve()
  return path.stem if path.suffix == weight_file.SUFFIX else path.name


def _unknown(text, what):
  """Names what there is, the nearest name first."""
  known = list(paths())
  stem = pathlib.Path(text).stem
  near = difflib.get_close_matches(stem, known, 1, cutoff=0.4)
  meant = f" Did you mean {near[0]}?" if near else ""
  there = ", ".join(known) or "none"
  return errors.InputError(
    f"{text}: {what}.{meant} Models of this installation: {there}."
  )
