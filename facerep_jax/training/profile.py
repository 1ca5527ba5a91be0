"""A record of some training steps by JAX's profiler."""

import contextlib
import logging
import os
import pathlib
from collections.abc import Callable, Iterator

import jax

from facerep_jax import distributed

_log = logging.getLogger(__name__)
# Steps before the first that is recorded: they compile, and fill the devices.
NUM_SKIPPED = 10


@contextlib.contextmanager
def steps(
  folder: str | os.PathLike, num_steps: int
) -> Iterator[Callable[[jax.Array | None], None]]:
  """Records steps that the loop reports, on process 0.

  Args:
    folder: Where the record goes; `tensorboard --logdir` and xprof open it.
    num_steps: How many; 0 records nothing.

  Yields:
    What to call after each step, with an array that the step returns. The
    record begins and ends once that array is there, so that it holds whole
    steps.
  """
  if not num_steps or not distributed.is_first():
    yield lambda _: None
    return
  record = _Record(pathlib.Path(folder), num_steps)
  try:
    yield record.after_step
  finally:
    record.end()


class _Record:
  """One record, of the steps after the first `NUM_SKIPPED`."""

  def __init__(self, folder, num_steps):
    self._folder, self._num_steps = folder, num_steps
    self._count, self._is_on = 0, False

  def after_step(self, result):
    self._count += 1
    if self._count == NUM_SKIPPED:
      jax.block_until_ready(result)
      jax.profiler.start_trace(self._folder)
      self._is_on = True
    elif self._count == NUM_SKIPPED + self._num_steps:
      jax.block_until_ready(result)
      self.end()

  def end(self):
    if not self._is_on:
      return
    self._is_on = False
    jax.profiler.stop_trace()
    _log.info(
      "profile: %d steps, in %s: tensorboard --logdir=%s shows them (with the "
      "package xprof).",
      self._count - NUM_SKIPPED,
      self._folder,
      self._folder,
    )
