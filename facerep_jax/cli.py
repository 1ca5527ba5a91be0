"""What the commands share: one-line errors, exit codes, progress."""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable

import tqdm

from facerep_jax import distributed, environment, errors
from facerep_jax.files import places
from facerep_jax.runs import process_options

_log = logging.getLogger(__name__)
_LINE_EVERY_S = 15  # Between lines of progress where there is no terminal.
# From a thread to the main one. Not SIGINT: it is ignored by what scripts start
# in the background.
_BROKEN = signal.SIGUSR2


# Options that had another name before.
_SUCCESSORS = {"--readouts": "--probes", "--turns": "--pose-scale"}


class Parser(argparse.ArgumentParser):
  """An argument parser whose complaints are `InputError`s."""

  def error(self, message: str):
    """Raises what argparse would print before exiting with code 2."""
    for old, new in _SUCCESSORS.items():
      is_asked = re.search(
        rf"unrecognized arguments:.* {old}(?![-\w])", message
      )
      if is_asked and new in self.format_usage():
        raise errors.InputError(f"{old}: is called {new} now (see --help)")
    raise errors.InputError(f"{message} (see --help)")


def run(main: Callable[[list[str]], int | None]) -> int:
  """Runs a command and turns its errors into an exit code.

  Programs that it compiles are kept for the next command, and memory that it
  frees for itself.

  Args:
    main: Takes the arguments after the command's name, returns the exit code
      or None for 0.

  Returns:
    Exit code: 1 after an `InputError`, trouble of the machine, such as a full
    disk, or the end of another process of the run, of which one line is
    printed, 130 when interrupted. Any other exception keeps its traceback.
  """
  process_options.keep_compiled()
  process_options.keep_memory()
  with _any_name_on(sys.stdout), _any_name_on(sys.stderr):
    return _run(main)


def _run(main):
  broken = []
  try:
    with _log_to_stderr(), _ended_by_threads(broken):
      code = main(places.expand(sys.argv[1:])) or 0
      sys.stdout.flush()  # Here, where a closed pipe can be told.
      return code
  except errors.InputError as error:
    return _complain(str(error))
  except BrokenPipeError:
    # Python would say it again at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _complain("the reader of the output has closed it.")
  except environment.KINDS as error:
    line = distributed.line_of(error) or environment.line_of(error)
    if line is None:
      raise
    return _complain(line)
  except KeyboardInterrupt:
    if broken:
      return _complain(broken[0])
    print("interrupted", file=sys.stderr)
    return 130


def _complain(text):
  print("error: " + " ".join(text.split()), file=sys.stderr)
  return 1


@contextlib.contextmanager
def _ended_by_threads(lines):
  """Ends the command where the machine fails one of its threads.

  Such as the one that writes TensorBoard's events: what waits for it would
  wait for ever.

  Args:
    lines: What is wrong is added to it.
  """

  def hook(failed):
    line = environment.line_of(failed.exc_value)
    if line is None:
      before(failed)
      return
    lines.append(line)
    signal.pthread_kill(threading.main_thread().ident, _BROKEN)

  def interrupt(number, frame):
    del number, frame
    raise KeyboardInterrupt

  def foreign(failed):
    # TensorStore's threads say this of each write that fails.
    if str(failed.exc_value) != "Event loop is closed":
      shown(failed)

  before, threading.excepthook = threading.excepthook, hook
  shown, sys.unraisablehook = sys.unraisablehook, foreign
  handler = signal.signal(_BROKEN, interrupt) or signal.SIG_DFL
  try:
    yield
  finally:
    signal.signal(_BROKEN, handler)
    threading.excepthook, sys.unraisablehook = before, shown


@contextlib.contextmanager
def _any_name_on(stream):
  """Lets file names be printed that the stream's encoding cannot hold."""
  before = getattr(stream, "errors", None)
  if before != "strict" or not hasattr(stream, "reconfigure"):
    yield
    return
  stream.reconfigure(errors="backslashreplace")
  try:
    yield
  finally:
    stream.reconfigure(errors=before)


@contextlib.contextmanager
def _log_to_stderr():
  """Shows the messages of this package, and not those of others, as lines."""
  # The module that `python -m` runs is called "__main__".
  loggers = [logging.getLogger(name) for name in ("facerep_jax", "__main__")]
  handler = logging.StreamHandler()
  before = [(logger.level, logger.propagate) for logger in loggers]
  for logger in loggers:
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # Some libraries give the root logger a handler, which would repeat lines.
    logger.propagate = False
  # Orbax logs tracebacks of what it raises, too; asyncio still does at the end
  # of the process.
  for name in ("absl", "asyncio"):
    logging.getLogger(name).addFilter(_drop)
  try:
    yield
  finally:
    for logger, (level, propagate) in zip(loggers, before):
      logger.removeHandler(handler)
      logger.level, logger.propagate = level, propagate


def _drop(record):
  del record
  return False


class Progress:
  """Shows how far work is, its rate and the time left.

  A bar on a terminal; elsewhere a line now and then; nothing where this package
  logs errors only. Use as a context manager.
  """

  def __init__(self, total: int, unit: str, item: str, start: int = 0):
    """Starts.

    Args:
      total: Number of units to do.
      unit: What a unit is called, such as "videos".
      item: What is counted beside units, such as "frames".
      start: Units that were done before.
    """
    self._total, self._unit, self._item = total, unit, item
    self._units, self._items, self._from = start, 0, start
    self._note = ""
    self._start = self._last = time.monotonic()
    self._bar = None
    self._is_shown = _log.isEnabledFor(logging.WARNING)
    if self._is_shown and sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=total, unit=f" {unit}", file=sys.stderr, initial=start
      )

  def __enter__(self):
    return self

  def __exit__(self, kind, value, traceback):
    if self._bar is not None:
      self._bar.close()

  def note(self, text: str) -> None:
    """Shows a text, such as the loss, until the next one."""
    self._note = f", {text}"

  def advance(self, units: int, items: int) -> None:
    """Adds finished work."""
    self._units += units
    self._items += items
    now = time.monotonic()
    rate = self._items / max(now - self._start, 1e-9)
    if self._bar is not None:
      self._bar.set_postfix_str(
        f"{self._items} {self._item}, {rate:.0f} {self._item}/s{self._note}",
        refresh=False,
      )
      self._bar.update(units)
    elif self._is_shown and (
      now - self._last > _LINE_EVERY_S or self._units == self._total
    ):
      self._last = now
      print(self._line(now - self._start, rate), file=sys.stderr, flush=True)

  def drop(self, units: int) -> None:
    """Takes units out of the total that were done before."""
    self._total -= units
    if self._bar is not None:
      self._bar.total = self._total

  def _line(self, elapsed_s, rate):
    left_s = (
      elapsed_s * (self._total - self._units) / max(self._units - self._from, 1)
    )
    return (
      f"{self._units} of {self._total} {self._unit}, {self._items} "
      f"{self._item}, {rate:.0f} {self._item}/s, {_duration(left_s)} left"
      f"{self._note}"
    )


def _duration(seconds):
  """Says a time in the unit in which it is read at once."""
  for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
    if seconds >= 2 * size:
      return f"{seconds / size:.1f} {unit}"
  return f"{seconds:.0f} s"
