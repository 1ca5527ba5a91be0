"""What the converters share: names, layouts, and the list of what is wrong."""

import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np

from facerep_jax import errors

# From torch's axes to ours. Convolutions are [out, in, k, k] there, transposed
# ones [in, out, k, k]; ours are both [k, k, in, out].
_AXES = {
  "conv": (2, 3, 1, 0),
  "transposed": (2, 3, 0, 1),
  "dense": (1, 0),
  "vector": (0,),
}
# Convolutions there, [out, in, k, k], of which ours keep the centre as a dense
# layer: k by kind.
_CENTRES = {"centre1": 1, "centre3": 3}


class Leaf(NamedTuple):
  """Where one array is on both sides.

  Attributes:
    name: torch's name.
    kind: "conv", "transposed", "dense" or "vector"; "centre1" or "centre3" for
      a convolution of that size there of whose kernel only the centre tap is
      kept, as a dense layer.
  """

  name: str
  kind: str


def split(
  checkpoint: Mapping[str, Any], nets: Iterable[str]
) -> dict[str, dict[str, np.ndarray]]:
  """Sorts the arrays of a checkpoint by network.

  Args:
    checkpoint: Arrays in nested dicts, {"netD": {"a.weight": ..}, ..}, or flat,
      {"netD.a.weight": ..}. What stands before the network's name is dropped,
      and so are "module." after it and all that belongs to no network.
    nets: torch's names of the networks.

  Returns:
    Of each network that is there, torch's names to arrays.

  Raises:
    InputError: A network is there twice.
  """
  nets = frozenset(nets)
  states, prefixes = {}, {}
  flat = flax.traverse_util.flatten_dict(dict(checkpoint))
  for path, value in flat.items():
    parts = ".".join(map(str, path)).replace("/", ".").split(".")
    net = next((part for part in parts if part in nets), None)
    if net is None or not hasattr(value, "shape"):
      continue
    at = parts.index(net)
    prefix = ".".join(parts[:at])
    if prefixes.setdefault(net, prefix) != prefix:
      raise errors.InputError(
        f"{net}: the checkpoint has this network twice, under "
        f"{prefixes[net]!r} and {prefix!r}. Pass one of these parts."
      )
    name = ".".join(parts[at + 1 :]).removeprefix("module.")
    states.setdefault(net, {})[name] = value
  return states


def of_each(
  names: Iterable[str], convert: Callable[[str], Any]
) -> dict[str, Any]:
  """Converts several networks, and lists what is wrong in any of them.

  Args:
    names: Of the networks.
    convert: Name to what the network becomes.

  Returns:
    That, by name.

  Raises:
    InputError: `convert` raised it: all its messages, joined.
  """
  problems, found = [], {}
  for name in names:
    try:
      found[name] = convert(name)
    except errors.InputError as error:
      problems.append(str(error))
  if problems:
    raise errors.InputError("; ".join(problems))
  return found


def from_torch(
  state: Mapping[str, np.ndarray],
  leaves: Mapping[tuple[str, ...], Leaf],
  shapes: Mapping[tuple[str, ...], tuple[int, ...]],
  what: str,
  unused: Mapping[str, tuple[int, ...]] = types.MappingProxyType({}),
) -> dict[str, Any]:
  """Converts the weights of one network.

  Args:
    state: torch's names to float arrays in torch's layouts.
    leaves: Path in the parameters to the array's place in torch.
    shapes: Path in the parameters to the shape there.
    what: Name of the network in messages.
    unused: torch's names of arrays that have no effect, to their shapes.

  Returns:
    The parameters, NumPy float32.

  Raises:
    InputError: Names are missing, unexpected, or of another shape; all are
      listed.
  """
  expected = dict(unused)
  for path, leaf in leaves.items():
    expected[leaf.name] = _shape_in_torch(leaf.kind, shapes[path])
  problems = []
  for name, shape in expected.items():
    if name not in state:
      problems.append(f"{name} is missing")
    elif (got := list(np.shape(state[name]))) != list(shape):
      problems.append(f"{name} has shape {got}, expected {list(shape)}")
  problems += [
    f"{name} is unexpected" for name in sorted(set(state) - set(expected))
  ]
  if problems:
    raise errors.InputError(
      f"torch weights do not fit {what}: {'; '.join(problems)}"
    )
  flat = {
    path: _to_ours(leaf.kind, np.asarray(state[leaf.name], np.float32))
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
    leaf.name: _to_torch(leaf.kind, np.asarray(flat[path], np.float32))
    for path, leaf in leaves.items()
  }


def _shape_in_torch(kind, shape):
  """Turns the shape of one of our arrays into that of torch's."""
  if kind in _CENTRES:
    return (*reversed(shape), _CENTRES[kind], _CENTRES[kind])
  return tuple(shape[axis] for axis in np.argsort(_AXES[kind]))


def _to_ours(kind, value):
  """Turns one of torch's arrays into ours."""
  if kind in _CENTRES:
    middle = _CENTRES[kind] // 2
    # A copy, which does not keep the other taps in memory.
    return value[..., middle, middle].T.copy()
  return value.transpose(_AXES[kind])


def _to_torch(kind, value):
  """Turns one of our arrays into torch's; zeros around a centre."""
  if kind in _CENTRES:
    margin = _CENTRES[kind] // 2
    pads = ((0, 0), (0, 0), (margin, margin), (margin, margin))
    return np.pad(value.T[..., None, None], pads)
  return value.transpose(np.argsort(_AXES[kind]))
