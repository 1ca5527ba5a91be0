"""What a compiled program does in its loops."""

import re

_HEAD = re.compile(r"^(?:ENTRY )?%([\w.\-]+) .*\{$")
_CALLS = re.compile(
  r"(?:calls|to_apply|body|condition|branch_computations|true_computation|"
  r"false_computation)=(\{[^}]*\}|%[\w.\-]+)"
)
_NAME = re.compile(r"%([\w.\-]+)")
_COLLECTIVE = re.compile(
  r"\b(?:all-reduce|all-gather|all-to-all|reduce-scatter|"
  r"collective-permute)(?:-start)?\("
)


def collectives(text):
  """Returns the lines of loops by which devices wait for each other.

  Args:
    text: Of the compiled program; it has a loop.
  """
  lines, calls = {}, {}
  for line in text.splitlines():
    head = _HEAD.match(line)
    if head:
      name = head[1]
      lines[name], calls[name] = [], set()
    elif line.startswith(" "):
      lines[name].append(line)
      calls[name].update(_NAME.findall(" ".join(_CALLS.findall(line))))
  loops = [x for found in lines.values() for x in found if " while(" in x]
  assert loops
  found = set()
  names = set(_NAME.findall(" ".join(_CALLS.findall("\n".join(loops)))))
  while names:
    found |= names
    names = set().union(*(calls[name] for name in names)) - found
  return [x for name in found for x in lines[name] if _COLLECTIVE.search(x)]
