"""Finds config files: those of the package by name, others by path."""

import difflib
import pathlib

from facerep_jax import errors

FOLDER = pathlib.Path(__file__).parents[1] / "configs"


def names() -> list[str]:
  """Lists the configs that come with the package, such as "latentface"."""
  return sorted(x.stem for x in FOLDER.glob("*.py") if x.stem != "__init__")


def find(text: str) -> pathlib.Path:
  """Finds the file of a config.

  Args:
    text: One of `names`, or a path. "configs/NAME.py" means the same as NAME
      where there is no such file, so that it works outside a checkout.

  Returns:
    Path of the file.

  Raises:
    InputError: There is neither a file nor a config of that name.
  """
  path, known = pathlib.Path(text), names()
  if text in known:
    return FOLDER / f"{text}.py"
  if path.is_file():
    return path
  if text in [f"configs/{name}.py" for name in known]:
    return FOLDER / path.name
  close = difflib.get_close_matches(path.stem, known, 1, 0.5)
  hint = f" Did you mean {close[0]}?" if close else ""
  raise errors.InputError(
    f"--config={text}: no such file, nor a config of this package "
    f"({', '.join(known)}).{hint}"
  )
