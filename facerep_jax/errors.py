"""Errors a user can act on, and the shape check that raises one."""

import importlib
import types
from typing import Any


class InputError(ValueError):
  """Says in one line what is wrong, where, what was expected, what to do.

  Commands print the message and exit with code 1; any other exception is a
  defect of this library and keeps its traceback.
  """


def setting(key: str) -> str:
  """Names a setting of a run without stages, as the user gives it.

  Args:
    key: Such as "batch_size" or "model.width".

  Returns:
    "config.KEY". Of runs in stages `runs.setting_names` knows it.
  """
  return f"config.{key}"


def check_shape(name: str, x: Any, spec: str, hint: str = "") -> None:
  """Checks that the shape of an array fits a pattern.

  Args:
    name: What the array is called in the message.
    x: Array, of any type with `shape`, `ndim` and `dtype`.
    spec: Sizes by number or by letter, such as "B T H W 3"; a letter that
      stands twice means the same size twice.
    hint: What the caller can do about it.

  Raises:
    InputError: The shape does not fit.
  """
  want, sizes = spec.split(), {}
  fits = x.ndim == len(want) and all(
    n == (int(s) if s.isdigit() else sizes.setdefault(s, n))
    for s, n in zip(want, x.shape)
  )
  if not fits:
    raise InputError(
      f"{name}: expected [{', '.join(want)}], got "
      f"{x.dtype}{list(x.shape)}. {hint}".rstrip()
    )


def require(module: str, extra: str, purpose: str) -> types.ModuleType:
  """Imports an optional dependency.

  Args:
    module: Module to import, such as "cv2".
    extra: The extra of this package that installs it, such as "video".
    purpose: What needs it, such as "reading video".

  Returns:
    The module.

  Raises:
    InputError: The module is not installed.
  """
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError as error:
    if error.name != module.split(".")[0]:
      raise
    raise InputError(
      f"{purpose} needs the module {module!r}, which is not installed: "
      f'pip install "facerep_jax[{extra}]"'
    ) from error
