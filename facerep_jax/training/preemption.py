"""When a run is to stop or to save: all processes agree about it."""

import collections
import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh

from facerep_jax import distributed, sharding


@contextlib.contextmanager
def on_sigterm() -> Iterator[Callable[[], bool]]:
  """Turns SIGTERM into a question that the loop asks between steps."""
  told = []
  before = signal.signal(signal.SIGTERM, lambda *_: told.append(True))
  try:
    yield lambda: bool(told)
  finally:
    signal.signal(signal.SIGTERM, before)


def agreed(
  is_told: Callable[[], bool], mesh: Mesh, delay: int
) -> Callable[[], bool]:
  """Makes a question to which all processes get the same answer.

  Args:
    is_told: Whether this process says yes, such as when told to stop.
    mesh: Devices of all processes.
    delay: Questions after which an answer is looked at. So many steps later
      the devices have it, and nothing waits.

  Returns:
    Whether any process said yes `delay` questions ago; all must ask equally
    often. With one process, `is_told` itself.
  """
  if jax.process_count() == 1:
    return is_told
  any_process = sharding.jit_any(mesh)
  answers = collections.deque()

  def ask():
    answers.append(any_process(is_told()))
    return len(answers) > delay and bool(answers.popleft())

  return ask


def agreed_every(minutes: float, mesh: Mesh, delay: int) -> Callable[[], bool]:
  """Makes a question that is answered with yes once in a while.

  Args:
    minutes: From one yes to the next, by the clock of process 0; 0: never.
    mesh: As for `agreed`.
    delay: As for `agreed`.

  Returns:
    Whether it was time `delay` questions ago, the same for all processes.
  """
  if not minutes:
    return lambda: False
  last = time.monotonic()

  def is_due():
    nonlocal last
    now = time.monotonic()
    if not distributed.is_first() or now - last < 60 * minutes:
      return False
    last = now
    return True

  return agreed(is_due, mesh, delay)
