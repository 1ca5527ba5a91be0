"""Timing by turns, so that a drift of the machine hits all alike."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

# A library's idle threads spin for some milliseconds before they sleep, and
# would take time from the next one.
_PAUSE_S = 0.05
_Name = TypeVar("_Name", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Times:
  """What the turns of one piece of work took.

  Attributes:
    turns_s: Seconds per unit of work, one entry per turn.
  """

  turns_s: tuple[float, ...]

  @property
  def median_s(self) -> float:
    """The middle turn, in seconds per unit."""
    return statistics.median(self.turns_s)

  @property
  def best_s(self) -> float:
    """The fastest turn, in seconds per unit."""
    return min(self.turns_s)

  @property
  def spread(self) -> float:
    """Slowest turn less fastest, as a share of the median."""
    return (max(self.turns_s) - min(self.turns_s)) / self.median_s


def ratio(of: Times, to: Times) -> tuple[float, float]:
  """Compares two pieces of work that took turns.

  Args:
    of: What is divided.
    to: By which.

  Returns:
    Median of the ratios of the times of a turn; and their spread, greatest less
    least, as a share of it.
  """
  each = [a / b for a, b in zip(of.turns_s, to.turns_s, strict=True)]
  middle = statistics.median(each)
  return middle, (max(each) - min(each)) / middle


def by_turns(
  work: dict[_Name, Callable[[], float]],
  *,
  limit_s: float,
  min_turns: int = 3,
  max_turns: int = 15,
) -> dict[_Name, Times]:
  """Times several pieces of work in the order A B C A B C and so on.

  Args:
    work: By name, a function that does one turn and returns seconds per unit.
    limit_s: No new round begins after this long.
    min_turns: Of each, even beyond the limit.
    max_turns: Of each, at most.

  Returns:
    The times by name.
  """
  start = time.perf_counter()
  seconds = {name: [] for name in work}
  for turn in range(max_turns):
    if turn >= min_turns and time.perf_counter() - start > limit_s:
      break
    for name, do_turn in work.items():
      time.sleep(_PAUSE_S)
      seconds[name].append(do_turn())
  return {name: Times(tuple(values)) for name, values in seconds.items()}


def repeated(
  call: Callable[[], object], *, min_turn_s: float = 0.25
) -> Callable[[], float]:
  """Makes turns of a call, after running it twice to warm up.

  Args:
    call: One unit of work; returns when it is done.
    min_turn_s: About how long a turn lasts at least, in as many calls as that
      takes.

  Returns:
    A function that does one turn and returns seconds per call.
  """
  call()
  start = time.perf_counter()
  call()
  elapsed_s = time.perf_counter() - start
  num_calls = max(1, math.ceil(min_turn_s / elapsed_s))

  def do_turn():
    start = time.perf_counter()
    for _ in range(num_calls):
      call()
    return (time.perf_counter() - start) / num_calls

  return do_turn
