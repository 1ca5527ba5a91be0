"""Reads what comes next while what came before is worked on."""

import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from typing import TypeVar


class LeftError(Exception):
  """What a generator may raise that was told that no one waits for it."""


_Item = TypeVar("_Item")
_POLL_S = 0.1  # How often a thread that waits for room asks whether to end.
_WAIT_S = 1.0


def iterate(
  items: Generator[_Item, None, None],
  size: int,
  on_wait: Callable[[], None] = lambda: None,
  on_leave: Callable[[], None] = lambda: None,
) -> Generator[_Item, None, None]:
  """Yields what a generator yields, which runs in a thread of its own.

  Close it (`contextlib.closing`) where it may be left before its end: the
  thread ends with it.

  Args:
    items: What to run.
    size: Items that may wait, 1 or more; two more are made and in use.
    on_wait: Called, in the caller's thread, about once a second while no item
      comes.
    on_leave: Called there, too, when no more items are asked for: a generator
      that takes long between items may then raise `LeftError`.

  Yields:
    The items, in order.

  Raises:
    What the generator raises.
  """
  waiting, is_left = queue.Queue(size), threading.Event()

  def put(item):
    while not is_left.is_set():
      with contextlib.suppress(queue.Full):
        waiting.put(item, timeout=_POLL_S)
        return

  def work():
    try:
      with contextlib.closing(items), contextlib.suppress(LeftError):
        for item in items:
          put((item,))
          if is_left.is_set():
            return
    finally:
      put(())

  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    end = pool.submit(work)
    try:
      while True:
        try:
          item = waiting.get(timeout=_WAIT_S)
        except queue.Empty:
          on_wait()
          continue
        if not item:
          break
        yield item[0]
        del item  # So that it is gone before the next one is waited for.
      end.result()
    finally:
      is_left.set()
      on_leave()
