"""ICT-FaceKit's heads as this package carries them: on the chart, in few bits.

A packed file is an npz of: s and t, the chart's columns and rows; template
[V, 3] float32; and for shape and action each a basis of int8 or int16 and its
scale [K] float32, the displacement of one step. `ict_reduce` makes it.

Source: ICT-FaceKit (MIT; ICT_LICENSE.txt), by way of `ict.model`.
"""

import dataclasses
import functools
import hashlib
import pathlib
import zipfile
import zlib

import numpy as np

from facerep_jax import errors
from facerep_jax.synthetic import actions, head

PATH = pathlib.Path(__file__).with_name("ict_heads.npz")
BITS = (8, 16)
_BASES = ("shape", "action")
_ARRAYS = (
  "s", "t", "template", "shape", "shape_scale", "action", "action_scale",
)  # fmt: skip
_AGAIN = "Make it with python -m facerep_jax.synthetic.ict_reduce."


@functools.cache
def model() -> head.Head:
  """Returns the packaged head; the same object each time, not to be changed.

  Raises:
    InputError: The package's file is missing or damaged.
  """
  return read(str(PATH))


@functools.cache
def fingerprint() -> str:
  """Names the packaged file by its content.

  Raises:
    InputError: It is missing.
  """
  try:
    data = PATH.read_bytes()
  except OSError as error:
    raise _unreadable(PATH, error) from error
  return hashlib.sha256(data).hexdigest()[:16]


def pack(model: head.Head, num_modes: int, bits: int) -> dict[str, np.ndarray]:
  """Reduces a head.

  Args:
    model: A head on the chart's grid.
    num_modes: How many of its identity numbers are kept, from the first.
    bits: Of each displacement, one of `BITS`.

  Returns:
    The arrays of a packed file.

  Raises:
    InputError: The head has fewer modes, or there is no such width.
  """
  most = len(model.shape_basis)
  if not 1 <= num_modes <= most:
    raise errors.InputError(f"modes: expected 1 to {most}, got {num_modes}.")
  if bits not in BITS:
    raise errors.InputError(f"bits: expected 8 or 16, got {bits}.")
  shape, shape_scale = _steps(model.shape_basis[:num_modes], bits)
  action, action_scale = _steps(model.action_basis, bits)
  return {
    "s": model.chart.s,
    "t": model.chart.t,
    "template": model.template.astype(np.float32),
    "shape": shape,
    "shape_scale": shape_scale,
    "action": action,
    "action_scale": action_scale,
  }


def _steps(basis, bits):
  """Rounds displacements [K, V, 3] to steps of each mode's own size."""
  most = 2 ** (bits - 1) - 1
  scale = (np.abs(basis).max(axis=(1, 2)) / most).astype(np.float32)
  scale = np.maximum(scale, np.finfo(np.float32).tiny)
  return np.rint(basis / scale[:, None, None]).astype(f"int{bits}"), scale


def unpack(arrays: dict[str, np.ndarray], where: str = "arrays") -> head.Head:
  """Returns the head of a packed file's arrays.

  Args:
    arrays: What `pack` returned.
    where: Names them in messages.

  Raises:
    InputError: They do not fit each other or the chart.
  """
  base = head.built_in()
  for name, grid in (("s", base.chart.s), ("t", base.chart.t)):
    told = arrays[name]
    if told.shape != grid.shape or not np.allclose(told, grid, atol=1e-9):
      raise errors.InputError(
        f"{where}: was made for another chart ({name} differs). {_AGAIN}"
      )
  vertices = base.template.shape
  _check(where, "template", arrays["template"], vertices, "float32")
  modes = {"shape": arrays["shape_scale"].size, "action": len(actions.UNITS)}
  for name, count in modes.items():
    kind = arrays[name].dtype
    if kind not in (np.int8, np.int16):
      raise errors.InputError(
        f"{where}: {name} is {kind}, expected int8 or int16. {_AGAIN}"
      )
    _check(where, name, arrays[name], (count, *vertices), kind)
    _check(where, name + "_scale", arrays[name + "_scale"], (count,), "float32")
  shape, action = (
    arrays[name] * arrays[name + "_scale"][:, None, None] for name in _BASES
  )
  return dataclasses.replace(
    base,
    template=arrays["template"].astype(np.float64),
    shape_basis=shape,
    action_basis=action,
  )


def _check(where, name, array, shape, dtype):
  if array.shape != shape or array.dtype != dtype:
    raise errors.InputError(
      f"{where}: {name} is {array.dtype} {array.shape}, expected {dtype} "
      f"{shape}. {_AGAIN}"
    )


def read(path: str) -> head.Head:
  """Reads a packed file.

  Raises:
    InputError: It is missing, damaged, or not such a file.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      missing = [name for name in _ARRAYS if name not in file.files]
      if missing:
        raise errors.InputError(f"{path}: lacks {', '.join(missing)}. {_AGAIN}")
      arrays = {name: file[name] for name in _ARRAYS}
  except OSError as error:
    raise _unreadable(path, error) from error
  except (
    ValueError,
    EOFError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise errors.InputError(
      f"{path}: not a packed head ({error}). {_AGAIN}"
    ) from error
  return unpack(arrays, path)


def _unreadable(path, error):
  return errors.InputError(
    f"{path}: cannot be read ({error.strerror}); it is a part of facerep_jax. "
    "Install the package again."
  )
