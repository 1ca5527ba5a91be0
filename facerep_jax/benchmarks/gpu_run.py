"""Runs parts of a check one after the other, each with a limit and a log."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

PASSED, FAILED, CUT, LEFT_OUT = "passed", "failed", "cut", "left out"
_TAIL_LINES = 5


@dataclasses.dataclass(frozen=True)
class Part:
  """One command of a check.

  Attributes:
    name: Of the part and its log.
    command: What runs.
    limit_s: Seconds that it may take at most.
    least_s: Seconds that are kept free for it; it begins with half of them.
    environment: Variables beside those of this process.
    grace_s: Seconds that it has to end by itself after that.
    stop: Signal by which it is told to end at its limit.
    may_be_told: Whether it has passed where it ends well when told to.
  """

  name: str
  command: Sequence[str]
  limit_s: float
  least_s: float = 1.0
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
  grace_s: float = 2.0
  stop: signal.Signals = signal.SIGTERM
  may_be_told: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
  """How a part ended.

  Attributes:
    name: Of the part.
    status: `PASSED`; `FAILED`; `CUT`, at its limit; `LEFT_OUT`, for lack of
      time.
    seconds: That it took.
    exit_code: Of its command; None where none ran.
    tail: The last lines of its log.
  """

  name: str
  status: str
  seconds: float = 0.0
  exit_code: int | None = None
  tail: Sequence[str] = ()

  @property
  def is_good(self) -> bool:
    """Whether the part did all that it should."""
    return self.status == PASSED


def run_all(
  parts: Sequence[Part],
  logs: pathlib.Path,
  deadline: float,
  after_each: Callable[[list[Result]], None],
) -> list[Result]:
  """Runs parts in order; one that fails does not stop the next.

  Args:
    parts: Which. Each leaves to those behind it their `least_s`.
    logs: Folder of their logs, NAME.log; it exists.
    deadline: When all has to be over, as of `time.monotonic`.
    after_each: Called with all results so far, after each part.

  Returns:
    The results, in the same order.
  """
  results = []
  for number, part in enumerate(parts):
    reserved = sum(other.least_s for other in parts[number + 1 :])
    left_s = deadline - time.monotonic() - reserved
    results.append(run(part, logs / f"{part.name}.log", left_s))
    after_each(results)
  return results


def run(part: Part, log: pathlib.Path, left_s: float) -> Result:
  """Runs one part.

  Args:
    part: Which.
    log: File of what it prints.
    left_s: Seconds that there are for it, with the time to end.

  Returns:
    How it ended.
  """
  limit_s = min(part.limit_s, left_s - part.grace_s)
  # Half: the part before may take a little longer to end than it should.
  if left_s < part.least_s / 2 or limit_s <= 0:
    return Result(part.name, LEFT_OUT)
  start = time.monotonic()
  with open(log, "wb") as file:
    try:
      process = subprocess.Popen(
        list(part.command),
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        env={**os.environ, **part.environment},
        start_new_session=True,
      )
    except OSError as error:
      return Result(part.name, FAILED, tail=(str(error),))
    is_cut = not _wait(process, limit_s, part)
  status = PASSED if process.returncode == 0 else FAILED
  if is_cut and not (part.may_be_told and process.returncode == 0):
    status = CUT
  return Result(
    part.name,
    status,
    round(time.monotonic() - start, 1),
    process.returncode,
    tail_of(log),
  )


def _wait(process, limit_s, part):
  """Waits for a process and ends it; says whether it ended by itself."""
  try:
    process.wait(limit_s)
    return True
  except subprocess.TimeoutExpired:
    process.send_signal(part.stop)
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(part.grace_s)
    return False
  finally:
    # Also what it started, such as workers.
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail_of(log: pathlib.Path, count: int = _TAIL_LINES) -> tuple[str, ...]:
  """Returns the last lines of a log that say anything.

  Args:
    log: The file.
    count: How many, at most.

  Returns:
    Lines of at most 200 characters.
  """
  text = log.read_text(errors="replace")
  lines = [line.strip()[-200:] for line in text.splitlines() if line.strip()]
  return tuple(lines[-count:])
