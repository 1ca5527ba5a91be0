"""When a run is to stop early: SIGTERM, about which all processes agree."""

import collections
import contextlib
import signal
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh

from facerep_jax import sharding


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
    is_told: Whether this process was told to stop.
    mesh: Devices of all processes.
    delay: Questions after which an answer is looked at. So many steps later
      the devices have it, and nothing waits.

  Returns:
    Whether any process was told to stop `delay` questions ago; all must ask
    equally often. With one process, `is_told` itself.
  """
  if jax.process_count() == 1:
    return is_told
  any_process = sharding.jit_any(mesh)
  answers = collections.deque()

  def ask():
    answers.append(any_process(is_told()))
    return len(answers) > delay and bool(answers.popleft())

  return ask
