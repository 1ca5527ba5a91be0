"""The text of a compiled XLA program, as far as transfers need it."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

# Bits of a number, by its type in the text.
_BITS = {
  "token": 0,
  "opaque": 0,
  "pred": 8,
  "bf16": 16,
  "c64": 64,
  "c128": 128,
} | {
  f"{kind}{bits}": bits for kind in "su" for bits in (1, 2, 4, 8, 16, 32, 64)
}
_BITS |= {f"f{bits}": bits for bits in (16, 32, 64)}
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([0-9, <=]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY\s+)?%?([\w.\-]+)\s*(?:\(.*)?\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT\s+)?%?([\w.\-]+)\s*=\s*(.*)$")
_CALLED = re.compile(
  r"\b(calls|to_apply|body|condition|branch_computations|true_computation|"
  r"false_computation|called_computations|comparator|select|scatter|"
  r"async_execution_thread_computation)=(\{[^}]*\}|%?[\w.\-]+)"
)


class Array(NamedTuple):
  """An array of a type in the text.

  Attributes:
    dtype: As XLA writes it, such as "f32".
    shape: Sizes; of one that varies, the most.
  """

  dtype: str
  shape: tuple[int, ...]

  @property
  def size(self) -> int:
    """Numbers in it."""
    return math.prod(self.shape)

  @property
  def num_bytes(self) -> int:
    """Bytes that it holds, without padding."""
    return -(-self.size * _bits(self.dtype) // 8)


class Instruction(NamedTuple):
  """A line of a program.

  Attributes:
    name: Without "%".
    arrays: Of its result; several of a tuple.
    opcode: Such as "all-reduce".
    rest: All behind the opcode: operands and attributes.
    computation: Name of the computation in which it stands.
    is_in_loop: Whether that runs again and again.
  """

  name: str
  arrays: tuple[Array, ...]
  opcode: str
  rest: str
  computation: str
  is_in_loop: bool


def _bits(dtype):
  if dtype.startswith("f8") or dtype.startswith("f4"):
    return int(dtype[1])
  if dtype not in _BITS:
    raise ValueError(f"type {dtype!r} of an XLA program: unknown.")
  return _BITS[dtype]


def arrays(text: str) -> tuple[Array, ...]:
  """Reads a type.

  Args:
    text: Such as "f32[8,4]{1,0:T(8,128)}", or several of them in parentheses.

  Returns:
    The arrays, in their order; without tokens.
  """
  return tuple(
    Array(dtype, tuple(int(n.strip(" <=")) for n in sizes.split(",") if n))
    for dtype, sizes in _ARRAY.findall(re.sub(r"\{[^{}]*\}", "", text))
    if dtype != "token"
  )


def instructions(text: str) -> Iterator[Instruction]:
  """Yields all instructions of a program.

  Args:
    text: What `Compiled.as_text` returns.
  """
  computations = _computations(text)
  loops = _in_loops(computations)
  for name, lines in computations.items():
    for instruction, type_text, opcode, rest in lines:
      yield Instruction(
        instruction, arrays(type_text), opcode, rest, name, name in loops
      )


def _computations(text):
  """Returns the instructions of each computation, cut into parts."""
  found, lines = {}, []
  for line in text.splitlines():
    head = _COMPUTATION.match(line)
    if head and not line.startswith((" ", "HloModule")):
      lines = found.setdefault(head[2], [])
      continue
    one = _INSTRUCTION.match(line)
    if one:
      lines.append((one[1], *_cut(one[2])))
  return found


def _cut(text):
  """Cuts "TYPE OPCODE(REST" apart."""
  stop = text.find(" ")
  if text.startswith("("):
    stop = depth = 0
    while stop < len(text) and (depth or not stop):
      depth += (text[stop] == "(") - (text[stop] == ")")
      stop += 1
  opcode, _, rest = text[stop:].strip().partition("(")
  return text[:stop], opcode, rest


def _in_loops(computations):
  """Returns the names of the computations that loops run."""
  calls, found, open_ = {}, set(), []
  for name, lines in computations.items():
    calls[name] = set()
    for _, _, opcode, rest in lines:
      called = {
        part.strip(" %")
        for _, names in _CALLED.findall(rest)
        for part in names.strip("{}").split(",")
      }
      calls[name] |= called
      if opcode == "while":
        open_ += called
  while open_:
    name = open_.pop()
    if name in calls and name not in found:
      found.add(name)
      open_ += calls[name]
  return found
