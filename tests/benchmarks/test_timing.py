import pytest

from facerep_jax.benchmarks import timing


class Clock:
  """A clock that only moves when it is told to."""

  def __init__(self):
    self.now = 0.0

  def perf_counter(self):
    return self.now

  def sleep(self, seconds):
    pass

  def takes(self, seconds):
    """A call that takes this long."""

    def call():
      self.now += seconds

    return call


@pytest.fixture
def clock(monkeypatch):
  clock = Clock()
  monkeypatch.setattr(timing, "time", clock)
  return clock


def work(clock, order, **seconds):
  def make(name, duration):
    def do_turn():
      order.append(name)
      clock.now += duration
      return duration + len(order)  # No two turns alike.

    return do_turn

  return {name: make(name, duration) for name, duration in seconds.items()}


def test_turns_alternate_until_the_limit(clock):
  order = []
  turns = work(clock, order, a=1.0, b=2.0)
  times = timing.by_turns(turns, limit_s=10.0, min_turns=1)
  assert "".join(order) == "abababab"  # The fifth round would begin at 12 s.
  assert times["a"].turns_s == (2.0, 4.0, 6.0, 8.0)
  assert times["b"].turns_s == (4.0, 6.0, 8.0, 10.0)


@pytest.mark.parametrize("limit_s, count", [(0.0, 3), (1e9, 5)])
def test_turns_have_a_least_and_a_greatest_number(clock, limit_s, count):
  turns = work(clock, [], a=1.0)
  times = timing.by_turns(turns, limit_s=limit_s, max_turns=5)
  assert len(times["a"].turns_s) == count


def test_one_slow_turn_does_not_move_the_median():
  times = timing.Times((1.0, 1.1, 9.0, 0.9, 1.2))
  assert (times.median_s, times.best_s) == (1.1, 0.9)
  assert times.spread == pytest.approx(8.1 / 1.1)


def test_ratios_are_of_the_same_turn():
  slow, fast = timing.Times((2.0, 8.0, 6.0)), timing.Times((1.0, 2.0, 2.0))
  assert timing.ratio(slow, fast) == (3.0, pytest.approx(2 / 3))
  assert timing.ratio(fast, fast) == (1.0, 0.0)


def test_short_calls_are_repeated_within_a_turn(clock):
  calls = []

  def call():
    calls.append(clock.now)
    clock.now += 0.125

  do_turn = timing.repeated(call, min_turn_s=0.5)
  assert len(calls) == 2  # To warm up.
  assert do_turn() == 0.125
  assert len(calls) == 2 + 4


def test_long_calls_are_done_once_in_a_turn(clock):
  do_turn = timing.repeated(clock.takes(3.0))
  assert clock.now == 6.0 and do_turn() == 3.0 and clock.now == 9.0


def test_a_first_call_that_is_slow_does_not_make_turns_short(clock):
  durations = iter([5.0] + [0.25] * 9)

  def call():
    clock.now += next(durations)

  do_turn = timing.repeated(call, min_turn_s=1.0)
  before = clock.now
  assert do_turn() == 0.25 and clock.now - before == 1.0
