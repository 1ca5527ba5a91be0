import contextlib
import threading
import time

import pytest

from facerep_jax.inference import read_ahead


def test_items_come_in_order_from_another_thread():
  def items():
    for i in range(20):
      yield i, threading.get_ident()

  found = list(read_ahead.iterate(items(), 2))
  assert [i for i, _ in found] == list(range(20))
  assert {thread for _, thread in found}.isdisjoint({threading.get_ident()})


def test_no_more_than_the_queue_holds_is_made_ahead():
  made = []

  def items():
    for i in range(30):
      made.append(i)
      yield i

  for taken, _ in enumerate(read_ahead.iterate(items(), 3)):
    time.sleep(0.01)
    # One in use, three that wait, one that waits for room.
    assert len(made) <= taken + 1 + 3 + 1


def test_what_the_thread_raises_reaches_the_caller():
  def items():
    yield 1
    raise OSError("gone")

  found = read_ahead.iterate(items(), 2)
  assert next(found) == 1
  with pytest.raises(OSError, match="gone"):
    next(found)


def test_the_thread_ends_with_its_caller():
  is_closed = []

  def items():
    try:
      while True:
        yield 0
    finally:
      is_closed.append(True)

  with contextlib.closing(read_ahead.iterate(items(), 1)) as found:
    next(found)
  assert is_closed == [True]


def test_a_generator_between_items_is_told_that_no_one_waits():
  is_left = threading.Event()

  def items():
    yield 0
    assert is_left.wait(5)
    raise read_ahead.LeftError

  found = read_ahead.iterate(items(), 1, on_leave=is_left.set)
  with pytest.raises(KeyboardInterrupt), contextlib.closing(found):
    for _ in found:
      raise KeyboardInterrupt
  assert is_left.is_set()


def test_who_waits_is_told(monkeypatch):
  monkeypatch.setattr(read_ahead, "_WAIT_S", 0.01)
  is_told = threading.Event()

  def items():
    assert is_told.wait(5)
    yield 1

  assert list(read_ahead.iterate(items(), 1, is_told.set)) == [1]
