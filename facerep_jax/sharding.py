"""Devices: the mesh, what lies where, and the only calls of `jax.jit`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from facerep_jax import errors

PyTree = Any


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Lays devices out along one axis, "data".

  Args:
    devices: Which; all of all processes by default.

  Returns:
    The mesh.
  """
  devices = jax.devices() if devices is None else devices
  return jax.make_mesh(
    (len(devices),), ("data",), (AxisType.Auto,), devices=devices
  )


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
  """Checks that the rows of a batch divide among the devices.

  Raises:
    InputError: They do not.
  """
  count = mesh.devices.size
  if batch_size <= 0 or batch_size % count:
    nearest = max(1, round(batch_size / count)) * count
    raise errors.InputError(
      f"config.batch_size={batch_size} does not divide among {count} devices. "
      f"Use a multiple of {count}, such as {nearest}."
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the placement of what every device holds whole."""
  return NamedSharding(mesh, P())


def by_row(mesh: Mesh) -> NamedSharding:
  """Returns the placement of what is split along its first axis."""
  return NamedSharding(mesh, P("data"))


def put_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
  """Sends this process's rows of a batch to its devices.

  Args:
    batch: Arrays [rows of this process, ...].
    mesh: Where to.

  Returns:
    Arrays [rows of all processes, ...], split by row.
  """
  placement = by_row(mesh)
  return {
    name: jax.make_array_from_process_local_data(placement, value)
    for name, value in batch.items()
  }


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
    step,
    in_shardings=(whole, whole, by_row(mesh), whole),
    out_shardings=(whole, whole),
    donate_argnums=0,
  )


def jit_on_batch(function: Callable, mesh: Mesh) -> Callable:
  """Compiles function(variables, batch); the result is replicated."""
  whole = replicated(mesh)
  return jax.jit(
    function, in_shardings=(whole, by_row(mesh)), out_shardings=whole
  )
