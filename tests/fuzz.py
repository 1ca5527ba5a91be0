"""Mutations of bytes, drawn from a seed."""

import contextlib
import signal
from collections.abc import Iterator

import numpy as np

LIMIT_S = 60  # What takes longer hangs: the work is of milliseconds.


def mutate(data: bytes, seed: int) -> bytes:
  """Changes bytes in one of seven ways.

  Args:
    data: What to change; not empty.
    seed: Says how and where; the same seed makes the same change.

  Returns:
    The changed bytes; now and then they are the same.
  """
  rng = np.random.default_rng(seed)
  start, stop = sorted(rng.integers(0, len(data) + 1, 2).tolist())
  # Most changes are small; large ones would all fail alike.
  stop = min(stop, start + int(2 ** rng.uniform(0, 12)))
  part = data[start:stop]
  noise = rng.integers(0, 256, len(part), "u1").tobytes()
  kinds = (
    lambda: data[:start],
    lambda: data[:start] + data[stop:],
    lambda: data[:stop] + data[start:],
    lambda: data[:start] + noise + data[stop:],
    lambda: data[:start] + bytes(len(part)) + data[stop:],
    lambda: data[:start] + noise + data[start:],
    lambda: _flip(data, start % len(data), int(rng.integers(8))),
  )
  return kinds[rng.integers(len(kinds))]()


def _flip(data, place, bit):
  return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


@contextlib.contextmanager
def limit() -> Iterator[None]:
  """Ends what hangs, with an error that no code catches by accident."""

  def stop(number, frame):
    raise KeyboardInterrupt("hangs")

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(LIMIT_S)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def one_line(error: Exception) -> bool:
  """Says whether a message is a line that says something."""
  text = str(error)
  return "\n" not in text.strip() and len(text) > 15
