"""Which head each person of a synthetic set is drawn with.

`heads` is "" for the built-in head, "ict" for the packaged heads of
ICT-FaceKit, "mixed" for one or the other by person, or else the path of
ICT-FaceKit's data. The words go before paths: a folder named ict is ./ict.
"""

import numpy as np

from facerep_jax.synthetic import head, ict, ict_packed, ict_read

BUILT_IN, ICT, MIXED = "", "ict", "mixed"
WORDS = (ICT, MIXED)


def is_built_in(heads: str, seed: int, person: int) -> bool:
  """Tells whether a person has the built-in head.

  Args:
    heads: As above.
    seed: Of the set.
    person: Number of the person.

  Returns:
    The same for all recordings of the person; true for half of the people of
    a mixed set.
  """
  if heads == MIXED:
    # No person's numbers, (seed, person), nor a recording's, which go on with
    # 1 or more.
    return np.random.default_rng([seed, person, 0, 1]).random() < 0.5
  return heads == BUILT_IN


def model(heads: str, seed: int, person: int) -> head.Head:
  """Returns the head of a person; arguments as for `is_built_in`.

  Raises:
    InputError: There are no such heads, or their data cannot be read.
  """
  if is_built_in(heads, seed, person):
    return head.built_in()
  return ict_packed.model() if heads in WORDS else ict.model(heads)


def person_name(heads: str, seed: int, person: int) -> str:
  """Returns the name that tracks carry; arguments as for `is_built_in`."""
  kind = "synthetic" if is_built_in(heads, seed, person) else "ict"
  return f"{kind}{person:05d}"


def fingerprint(heads: str) -> str:
  """Names heads by content; "" for the built-in one.

  Raises:
    InputError: There are no such heads.
  """
  if heads == BUILT_IN:
    return ""
  if heads in WORDS:
    return f"{heads} {ict_packed.fingerprint()}"
  return ict_read.fingerprint(heads)
