"""Work on rows of a batch, done by each device on its own rows.

XLA divides a program among devices as one: a loop that runs for as long as any
row needs it then asks all devices at every turn.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

PyTree = Any
AXIS = "data"  # Of a mesh: along it the rows of batches are split.


def by_device(
  function: Callable[[PyTree, PyTree], PyTree], rows: PyTree, whole: PyTree
) -> PyTree:
  """Computes function(rows, whole), on each device for its rows.

  The mesh is that of the context, see `jax.sharding.get_abstract_mesh`.
  Without one, with a single device, inside a function that runs on each device
  already, and for rows that do not divide, it is a plain call.

  Args:
    function: Its result for a row does not depend on other rows.
    rows: Arrays [N, ...].
    whole: Arrays that all rows share.

  Returns:
    Arrays [N, ...].
  """
  if not _is_split(jax.tree.leaves(rows)[0].shape[0]):
    return function(rows, whole)
  return jax.shard_map(
    function,
    in_specs=(P(AXIS), P()),
    out_specs=P(AXIS),
    # Loops begin with constants, which are of no device yet.
    check_vma=False,
  )(rows, whole)


def _is_split(num_rows):
  """Whether rows are split over the devices of the context."""
  mesh = jax.sharding.get_abstract_mesh()
  if AXIS not in mesh.axis_names:
    return False
  kind = mesh.axis_types[mesh.axis_names.index(AXIS)]
  count = mesh.shape[AXIS]
  return kind == AxisType.Auto and count > 1 and num_rows % count == 0
