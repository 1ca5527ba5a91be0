"""Regular expressions of users: tried within a time limit before use.

Python's matcher can take ages for a short pattern such as ^(a+)+$, and cannot
be stopped from within: the trial runs in a process of its own.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from facerep_jax import errors

LIMIT_S = 10.0  # For the names of one source, and 1 ms more for each.
_PROGRAM = """
import json, re, sys
pattern, names = json.load(sys.stdin)
for name in names:
  re.search(pattern, name)
"""


def check(pattern: str, names: Sequence[str]) -> None:
  """Searches a pattern in names, to see that this comes to an end.

  Args:
    pattern: Regular expression, as module `re` knows them.
    names: Where it is to be searched.

  Raises:
    InputError: It is no regular expression, or matching takes too long.
  """
  try:
    re.compile(pattern)
  except (re.error, OverflowError, RecursionError) as error:
    raise errors.InputError(
      f"--person={pattern}: not a regular expression ({error})."
    ) from error
  limit_s = LIMIT_S + len(names) / 1000
  try:
    subprocess.run(
      [sys.executable, "-I", "-S", "-c", _PROGRAM],
      input=json.dumps([pattern, list(names)]).encode(),
      timeout=limit_s,
      check=True,
    )
  except subprocess.TimeoutExpired as error:
    raise errors.InputError(
      f"--person={pattern}: takes longer than {limit_s:.0f} s to search in "
      f"{len(names)} names. Use a pattern without repetitions inside "
      "repetitions."
    ) from error
