"""What the converters share: names, layouts, and the list of what is wrong."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np

from facerep_jax import errors

# From torch's axes to ours. Convolutions are [out, in, k, k] there, transposed
# ones [in, out, k, k]; ours are both [k, k, in, out].
_AXES = {"conv": (2, 3, 1, 0), "transposed": (2, 3, 0, 1), "vector": (0,)}


class Leaf(NamedTuple):
  """Where one array is on both sides.

  Attributes:
    name: torch's name.
    kind: "conv", "transposed" or "vector".
  """

  name: str
  kind: str


def from_torch(
  state: Mapping[str, np.ndarray],
  leaves: Mapping[tuple[str, ...], Leaf],
  shapes: Mapping[tuple[str, ...], tuple[int, ...]],
  what: str,
) -> dict[str, Any]:
  """Converts the weights of one network.

  Args:
    state: torch's names to float arrays in torch's layouts.
    leaves: Path in the parameters to the array's place in torch.
    shapes: Path in the parameters to the shape there.
    what: Name of the network in messages.

  Returns:
    The parameters, NumPy float32.

  Raises:
    InputError: Names are missing, unexpected, or of another shape; all are
      listed.
  """
  problems = []
  for path, leaf in leaves.items():
    axes = _AXES[leaf.kind]
    shape = [shapes[path][axis] for axis in np.argsort(axes)]
    if leaf.name not in state:
      problems.append(f"{leaf.name} is missing")
    elif (got := list(np.shape(state[leaf.name]))) != shape:
      problems.append(f"{leaf.name} has shape {got}, expected {shape}")
  known = {leaf.name for leaf in leaves.values()}
  problems += [f"{name} is unexpected" for name in sorted(set(state) - known)]
  if problems:
    raise errors.InputError(
      f"torch weights do not fit {what}: {'; '.join(problems)}"
    )
  flat = {
    path: np.asarray(state[leaf.name], np.float32).transpose(_AXES[leaf.kind])
    for path, leaf in leaves.items()
  }
  return flax.traverse_util.unflatten_dict(flat)


def to_torch(
  params: Mapping[str, Any], leaves: Mapping[tuple[str, ...], Leaf]
) -> dict[str, np.ndarray]:
  """Converts the other way.

  Args:
    params: Parameters of one network.
    leaves: As for `from_torch`.

  Returns:
    torch's names to float32 arrays in torch's layouts.
  """
  flat = flax.traverse_util.flatten_dict(params)
  return {
    leaf.name: np.asarray(flat[path], np.float32).transpose(
      np.argsort(_AXES[leaf.kind])
    )
    for path, leaf in leaves.items()
  }
