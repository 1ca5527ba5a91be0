"""What a step looks up and scatters number by number, which TPUs do slowly."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_FEW = 128  # Numbers that a TPU's vector unit takes at once, along one axis.
_FUNCTION = re.compile(r'func\.func \w+ @("[^"]+"|[\w.$-]+)')
_CALL = re.compile(r'\bcall @("[^"]+"|[\w.$-]+)')
_SLICE = re.compile(r"slice_sizes = array<i64(?:: ([\d, ]+))?>")
_WINDOW = re.compile(r"update_window_dims = \[([\d, ]+)\]")
_TYPES = re.compile(r": \((tensor<.*?)\) -> ")
_TENSOR = re.compile(r"tensor<([^>]*)>")


class Counts(NamedTuple):
  """Of one step; what stands in a loop counts once.

  Attributes:
    lookups: How many places are looked up, of less than 128 numbers each.
    scatters: To how many places as little is written or added.
    rows: How many places of 128 numbers and more, of both kinds.
    loops: Loops.
  """

  lookups: int = 0
  scatters: int = 0
  rows: int = 0
  loops: int = 0


def count(text: str) -> Counts:
  """Counts them.

  Args:
    text: Of a lowered program, StableHLO, for one device.

  Returns:
    The counts.
  """
  functions, name = {}, None
  for line in _whole_lines(text):
    begun = _FUNCTION.search(line)
    if begun:
      name = begun[1]
      functions[name] = []
    elif name:
      functions[name].append(line)
  found = {}

  def of(name):
    if name not in found:
      found[name] = _add(_of_line(line, of) for line in functions[name])
    return found[name]

  return of("main")


def _whole_lines(text: str) -> Iterator[str]:
  """Yields lines, the types behind the body of a scatter joined to its head."""
  head = None
  for line in text.splitlines():
    if '"stablehlo.scatter"' in line:
      head = line
    elif head and line.lstrip().startswith("})"):
      yield head + line
      head = None
    else:
      yield line


def _of_line(line, of):
  called = _CALL.search(line)
  if called:
    return of(called[1])
  if "stablehlo.while" in line:
    return Counts(loops=1)
  is_gather = '"stablehlo.gather"' in line
  if not is_gather and '"stablehlo.scatter"' not in line:
    return Counts()
  _, indices, *more = map(_sizes, _TENSOR.findall(_TYPES.search(line)[1]))
  places = math.prod(indices[:-1])  # The last axis says where.
  if is_gather:
    width = math.prod(_numbers(_SLICE.search(line)))
  else:
    width = math.prod(more[0][k] for k in _numbers(_WINDOW.search(line)))
  if width >= _FEW:
    return Counts(rows=places)
  return Counts(lookups=places) if is_gather else Counts(scatters=places)


def _numbers(found):
  return [int(n) for n in found[1].split(",")] if found and found[1] else []


def _sizes(tensor):
  return [int(n) for n in tensor.split("x")[:-1]]


def _add(counts):
  return Counts(*map(sum, zip(Counts(), *counts, strict=True)))
