"""Devices: the mesh, what lies where, and how functions are compiled for it."""

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from facerep_jax import errors
from facerep_jax.ops import batch_split

_log = logging.getLogger(__name__)
PyTree = Any
BATCH_SIZE = 32  # Rows at a time, where nothing else is asked for.


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Lays devices out along one axis, `batch_split.AXIS`.

  They are put in order of slice, process and number, so that the rows of a
  process lie behind each other. `jax.make_mesh` refuses devices of several
  slices, which is also what GPUs of several machines are.

  Args:
    devices: Which; all of all processes by default.

  Returns:
    The mesh.
  """
  devices = sorted(jax.devices() if devices is None else devices, key=_place)
  return Mesh(
    np.array(devices), (batch_split.AXIS,), axis_types=(AxisType.Auto,)
  )


def slice_of(device: jax.Device) -> int:
  """Returns the number of a device's slice, 0 where its kind has none."""
  return getattr(device, "slice_index", None) or 0


def _place(device):
  """Says where a device stands among others."""
  return slice_of(device), device.process_index, device.id


def block_of_rows(mesh: Mesh, process: int | None = None) -> tuple[int, int]:
  """Says which rows of a batch lie on the devices of a process.

  Slices need not come in the order of their processes, so that the number of a
  process does not tell.

  Args:
    mesh: Devices of all processes, as many of each.
    process: Its number; this one by default.

  Returns:
    Number of the block of rows, from 0, and how many blocks there are: one for
    each process.
  """
  process = jax.process_index() if process is None else process
  # A dict keeps the order, and each process once.
  order = list(dict.fromkeys(x.process_index for x in mesh.devices.flat))
  return order.index(process), len(order)


def mesh_of_batch(
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
  *,
  setting: str = "config.batch_size",
) -> Mesh:
  """Lays out the devices among which the rows of a batch divide.

  A single process takes as many of the devices as divide the batch, and says
  so where that is not all of them. Several processes, and devices that the
  caller chose, have to fit as they are.

  Args:
    batch_size: Rows of a global batch.
    devices: Which; all of all processes by default.
    setting: Where the batch size was set, for the message.

  Returns:
    The mesh.

  Raises:
    InputError: The rows do not divide among the devices.
  """
  check_batch_size(batch_size, devices, setting=setting)
  if devices is None and jax.process_count() == 1:
    devices = jax.devices()
    count = len(devices)
    fitting = max(n for n in range(1, count + 1) if batch_size % n == 0)
    if fitting < count:
      _log.info(
        "a batch of %d does not divide among %d devices: %d of them are used.",
        batch_size,
        count,
        fitting,
      )
    devices = devices[:fitting]
  return make_mesh(devices)


def check_batch_size(
  batch_size: int,
  devices: Sequence[jax.Device] | None = None,
  *,
  setting: str = "config.batch_size",
) -> None:
  """Checks that `mesh_of_batch` finds devices for a batch.

  Args:
    batch_size: As for `mesh_of_batch`, and so the others.
    devices: See there.
    setting: See there.

  Raises:
    InputError: See there.
  """
  can_choose = devices is None and jax.process_count() == 1
  count = len(jax.devices() if devices is None else devices)
  if batch_size <= 0 or (batch_size % count and not can_choose):
    nearest = max(1, round(batch_size / count)) * count
    raise errors.InputError(
      f"{setting}={batch_size} does not divide among {count} devices. Use a "
      f"multiple of {count}, such as {nearest}; a single process by itself "
      "takes as many devices as divide the batch."
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the placement of what every device holds whole."""
  return NamedSharding(mesh, P())


def by_row(mesh: Mesh) -> NamedSharding:
  """Returns the placement of what is split along its first axis."""
  return NamedSharding(mesh, P(batch_split.AXIS))


def abstract(tree: PyTree, placement: NamedSharding) -> PyTree:
  """Describes arrays that lie somewhere, for compiling without them.

  Args:
    tree: Arrays or their shapes.
    placement: Where they are to lie; the devices need not be there.

  Returns:
    The same as `ShapeDtypeStruct`s.
  """
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      np.shape(x),
      x.dtype,
      sharding=placement,
      weak_type=getattr(x, "weak_type", False),
    ),
    tree,
  )


def put_batch(batch: PyTree, mesh: Mesh) -> PyTree:
  """Sends this process's rows of a batch to its devices.

  Args:
    batch: An array [rows of this process, ...], or several by name.
    mesh: Where to.

  Returns:
    The same with arrays [rows of all processes, ...], split by row.
  """
  placement = by_row(mesh)
  return jax.tree.map(
    lambda rows: jax.make_array_from_process_local_data(placement, rows), batch
  )


def put_replicated(tree: PyTree, mesh: Mesh) -> PyTree:
  """Sends arrays, the same in every process, whole to every device."""
  return jax.device_put(tree, replicated(mesh))


def jit_any(mesh: Mesh) -> Callable[[bool], jax.Array]:
  """Compiles a question to all processes.

  Args:
    mesh: Devices of all processes.

  Returns:
    Function of this process's answer, to be called by all, that returns in
    every process whether any answered yes: a bool scalar, in the making.
  """
  compiled = jax.jit(
    jnp.any, in_shardings=by_row(mesh), out_shardings=replicated(mesh)
  )
  count = len(mesh.local_devices)

  def ask(answer):
    batch = put_batch({"answer": np.full(count, answer)}, mesh)
    return compiled(batch["answer"])

  return ask


def jit_init(init: Callable[..., PyTree], mesh: Mesh) -> Callable[..., PyTree]:
  """Compiles a function of a key whose result every device holds."""
  return jax.jit(init, out_shardings=replicated(mesh))


def jit_train_step(step: Callable, mesh: Mesh) -> Callable:
  """Compiles step(state, frozen, batch, control); the state is donated.

  Args:
    step: Pure function that returns the new state and metrics.
    mesh: Rows of the batch are split over it, all else is replicated.

  Returns:
    The compiled function.
  """
  whole = replicated(mesh)
  return jax.jit(
    _traced_for(mesh, step),
    in_shardings=(whole, whole, by_row(mesh), whole),
    out_shardings=(whole, whole),
    donate_argnums=0,
  )


def jit_on_batch(function: Callable, mesh: Mesh) -> Callable:
  """Compiles function(variables, batch); the result is replicated."""
  whole = replicated(mesh)
  return jax.jit(
    _traced_for(mesh, function),
    in_shardings=(whole, by_row(mesh)),
    out_shardings=whole,
  )


def jit_by_row(function: Callable, mesh: Mesh) -> Callable:
  """Compiles function(batch); the result is split by row, as the batch is."""
  rows = by_row(mesh)
  return jax.jit(function, in_shardings=(rows,), out_shardings=rows)


def _traced_for(mesh, function):
  """Lets what a function calls know the mesh, see `ops.batch_split`."""
  if mesh.devices.size == 1:
    return function

  @functools.wraps(function)
  def traced(*arguments):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return function(*arguments)

  return traced


def round_up(count: int, mesh: Mesh) -> int:
  """Rounds a number of rows up to one that divides among the devices."""
  num_devices = mesh.devices.size
  return -(-count // num_devices) * num_devices


def map_batches(
  step: Callable,
  variables: PyTree,
  batches: Iterable[PyTree],
  num_rows: int,
  mesh: Mesh,
) -> PyTree:
  """Applies a compiled function to batches, always at one shape.

  A batch is asked for only when the result of the one before has been fetched.

  Args:
    step: As of `jit_on_batch`; returns an array, or several by name, with a
      row per row.
    variables: Its first argument.
    batches: At least one; each an array of at most `num_rows` rows, or several
      by name.
    num_rows: To which batches are filled up, with zeros; divides among the
      devices.
    mesh: That of the function.

  Returns:
    NumPy arrays: what the function returns for the rows given.
  """
  parts = []
  for batch in batches:
    count = len(jax.tree.leaves(batch)[0])
    filled = jax.tree.map(lambda rows: _fill(rows, num_rows), batch)
    out = jax.device_get(step(variables, put_batch(filled, mesh)))
    parts.append(_cut(out, 0, count))
  return jax.tree.map(lambda *rows: np.concatenate(rows), *parts)


def map_rows(
  step: Callable,
  variables: PyTree,
  rows: PyTree,
  batch_size: int,
  mesh: Mesh,
) -> PyTree:
  """Applies a compiled function to rows, a batch at a time.

  Args:
    step: As for `map_batches`.
    variables: Its first argument.
    rows: An array [N, ...], or several by name.
    batch_size: Rows at a time; rounded up to the number of devices.
    mesh: That of the function.

  Returns:
    NumPy arrays [N, ...]: what the function returns.
  """
  num_rows = round_up(batch_size, mesh)
  count = len(jax.tree.leaves(rows)[0])
  batches = (
    _cut(rows, start, start + num_rows)
    for start in range(0, max(count, 1), num_rows)
  )
  return map_batches(step, variables, batches, num_rows, mesh)


def _cut(tree, start, stop):
  return jax.tree.map(lambda rows: rows[start:stop], tree)


def _fill(rows, num_rows):
  """Appends rows of zeros."""
  missing = np.zeros((num_rows - len(rows), *rows.shape[1:]), rows.dtype)
  return np.concatenate([rows, missing])
