"""What devices send each other in a compiled training step."""

import collections
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from facerep_jax.aot import hlo

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "ragged-all-to-all",
  "collective-permute",
  "collective-broadcast",
)
# What carries sums of one slice to the others, through their hosts.
BETWEEN_SLICES = "send"
_IOTA = re.compile(
  r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?"
)
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")
_LISTED = re.compile(r"(?:replica_groups|source_target_pairs)=\{(\{.*?\})\}")
_CHANNEL = re.compile(r"\bchannel_id=(\d+)")
_ORIGIN = re.compile(r'op_name="([^"]*)"')


class Collective(NamedTuple):
  """A transfer between devices.

  Attributes:
    kind: One of `KINDS`, or `BETWEEN_SLICES`.
    name: In the program.
    origin: Of which operation of the source it comes, "" where not told.
    arrays: Those that it hands on, whole; numbers and bytes of each.
    is_in_loop: Whether it may run several times a step.
    is_across_slices: Whether devices of several slices take part; None where
      the program does not tell.
    other_bytes: Bytes that are not of a gradient; see `find`.
  """

  kind: str
  name: str
  origin: str
  arrays: tuple[tuple[int, int], ...]
  is_in_loop: bool
  is_across_slices: bool | None
  other_bytes: int

  @property
  def num_bytes(self) -> int:
    """Bytes of all arrays, for each device."""
    return sum(num_bytes for _, num_bytes in self.arrays)

  @property
  def is_gradient(self) -> bool:
    """Whether most of it is part of adding up the gradient."""
    return 2 * self.other_bytes < self.num_bytes


def find(
  text: str,
  *,
  num_devices: int,
  num_slices: int = 1,
  parameter_sizes: Iterable[int] = (),
) -> list[Collective]:
  """Finds what devices send each other.

  An array belongs to the gradient if it has as many numbers as an array of
  parameters. The sum of a gradient is an all-reduce; between slices it is cut
  into reduce-scatter, send and all-gather. A network that a step calls twice
  may have its gradient added up twice. In loops, and of other kinds, there is
  no gradient.

  Args:
    text: Of the compiled program.
    num_devices: Of all slices.
    num_slices: Of equal size; devices of one have numbers behind each other.
    parameter_sizes: Numbers in each array of parameters that learns.

  Returns:
    The transfers, as they stand in the program; of one that starts and ends in
    different places, one.
  """
  found, seen = [], set()
  for line in hlo.instructions(text):
    one = _collective(line, num_devices, num_slices)
    if one is None:
      continue
    channel = _CHANNEL.search(line.rest)
    key = (one.kind, channel[1]) if channel else (one.kind, one.name)
    if key not in seen:
      seen.add(key)
      found.append(one)
  return _mark_gradients(found, set(parameter_sizes), num_devices, num_slices)


def _collective(line, num_devices, num_slices):
  """Makes a `Collective` of an instruction, or None."""
  kind = line.opcode.removesuffix("-start")
  if kind not in (*KINDS, BETWEEN_SLICES):
    return None
  if kind == BETWEEN_SLICES and "megascale" not in line.rest:
    return None
  groups = _groups(line.rest, num_devices)
  arrays = line.arrays
  if kind == BETWEEN_SLICES:
    arrays, across = arrays[:1], True
  else:
    across = num_slices > 1 and _is_across(groups, num_devices // num_slices)
  if line.opcode.endswith("-start") and kind in (
    *("all-gather", "collective-permute"),
  ):
    # A tuple of what goes in, what comes out, and flags.
    half = sum(x.dtype != "u32" for x in arrays) // 2
    arrays = arrays[half : 2 * half]
  share = len(groups[0]) if kind == "reduce-scatter" and groups else 1
  origin = _ORIGIN.search(line.rest)
  return Collective(
    kind,
    line.name,
    origin[1] if origin else "",
    tuple((x.size * share, x.num_bytes * share) for x in arrays),
    line.is_in_loop,
    across,
    sum(x.num_bytes for x in arrays) * share,
  )


def _groups(text, num_devices):
  """Returns the devices that take part together, None where not told."""
  iota = _IOTA.search(text)
  if iota:
    shape, sizes, order = (
      [int(n) for n in x.split(",")] if x else None for x in iota.groups()
    )
    numbers = np.arange(num_devices).reshape(sizes)
    if order:
      numbers = numbers.transpose(order)
    return numbers.reshape(shape).tolist()
  mesh = _MESH.search(text)
  if mesh:
    return _groups_of_mesh(*mesh.groups())
  listed = _LISTED.search(text)
  if listed:
    return [
      [int(n) for n in part.split(",") if n]
      for part in re.findall(r"\{([\d,]*)\}", listed[1])
    ]
  if "replica_groups={}" in text:
    return [list(range(num_devices))]
  return None


def _groups_of_mesh(mesh, axes):
  """Reads "'x'=4,'y'=2" and "'x'": devices that differ in x are a group."""
  sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh))
  names = [name.strip(" '") for name in axes.split(",")]
  if not set(names) <= sizes.keys():
    return None  # A part of an axis.
  shape = [int(n) for n in sizes.values()]
  numbers = np.arange(np.prod(shape)).reshape(shape)
  places = [list(sizes).index(name) for name in names]
  last = list(range(-len(places), 0))
  count = np.prod([shape[i] for i in places])
  return np.moveaxis(numbers, places, last).reshape(-1, count).tolist()


def _is_across(groups, per_slice):
  if groups is None:
    return None
  return any(len({i // per_slice for i in group}) > 1 for group in groups)


def _mark_gradients(found, sizes, num_devices, num_slices):
  """Tells what carries the gradient, by the sizes of what it carries."""
  per_slice = num_devices // num_slices
  known = {kind: sizes for kind in ("all-reduce", "reduce-scatter")}
  if num_slices > 1:
    known["all-gather"] = sizes
    # A device sends what its slice has added up, or its share of that.
    known[BETWEEN_SLICES] = sizes | {
      n // per_slice for n in sizes if n % per_slice == 0
    }
  return [
    one._replace(
      other_bytes=sum(
        num_bytes
        for size, num_bytes in one.arrays
        if one.is_in_loop or size not in known.get(one.kind, ())
      )
    )
    for one in found
  ]


def summary(found: Sequence[Collective]) -> list[dict[str, object]]:
  """Adds up transfers of the same sort, the most bytes first.

  Args:
    found: As `find` returns them.

  Returns:
    For each sort `kind`, `is_gradient`, `is_in_loop`, `is_across_slices`, the
    `count`, the bytes of all (`num_bytes`), the most bytes that one of them
    carries beside gradients (`largest_other_bytes`), and the `origin` of that
    one.
  """
  sorts = collections.defaultdict(list)
  for one in found:
    key = one.kind, one.is_gradient, one.is_in_loop, one.is_across_slices
    sorts[key].append(one)
  rows = []
  for (kind, is_gradient, is_in_loop, is_across), part in sorts.items():
    largest = max(part, key=lambda x: x.other_bytes)
    rows.append(
      {
        "kind": kind,
        "is_gradient": is_gradient,
        "is_in_loop": is_in_loop,
        "is_across_slices": is_across,
        "count": len(part),
        "num_bytes": sum(x.num_bytes for x in part),
        "largest_other_bytes": largest.other_bytes,
        "origin": largest.origin or largest.name,
      }
    )
  return sorted(rows, key=lambda row: -row["num_bytes"])
