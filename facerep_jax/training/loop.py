"""The training loop, the same for every system."""

import collections
import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Iterator

import jax
import numpy as np

from facerep_jax import cli, distributed, errors, sharding
from facerep_jax.data import batches
from facerep_jax.files import image_grid
from facerep_jax.runs import curriculum, metrics, train_state
from facerep_jax.training import (
  device_frames,
  device_use,
  preemption,
  preview,
  profile,
  setup,
)

_log = logging.getLogger(__name__)
_NUM_PICTURE_ROWS = 8
# Steps that the host may be ahead of the devices.
_MAX_AHEAD = 2
_LONG_HOURS = 1
# The first warning, and the least distance of two of one kind.
_FIRST_WARNING = 500
_STEPS_BETWEEN_WARNINGS = 1_000


class NotFiniteError(errors.InputError):
  """Training met a loss or gradient that is not finite."""


class FailureError(errors.InputError):
  """Training met values that the system does not go on with."""


def train(
  run: setup.Run, state: train_state.TrainState
) -> train_state.TrainState:
  """Trains to `config.steps`, or until SIGTERM to any process, and saves.

  Args:
    run: What `prepare` returned.
    state: Likewise; its memory is given away.

  Returns:
    The last state.

  Raises:
    NotFiniteError: The loss is not finite; the last good checkpoint remains.
    FailureError: The system says that its results are wrong; likewise.
  """
  with preemption.on_sigterm() as is_told:
    try:
      # One step more than what the devices may still be working on.
      delay = _MAX_AHEAD + 1
      is_told_to_stop = preemption.agreed(is_told, run.mesh, delay)
      is_save_due = preemption.agreed_every(
        run.config.every.save_minutes, run.mesh, delay
      )
      with profile.steps(
        run.workdir / "profile", run.config.profile_steps
      ) as after_step:
        return _loop(run, state, is_told_to_stop, is_save_due, after_step)
    finally:
      # A save in which another process no longer takes part does not end.
      if not distributed.line_of(sys.exc_info()[1]):
        run.checkpoints.wait()
      run.writer.close()


def _loop(run, state, is_told_to_stop, is_save_due, after_step):
  config, step = run.config, run.start
  stream = device_batches(run, step)
  control = run.control()
  ahead, clock = collections.deque(), _Clock()
  num_evals = step // run.eval_every
  meter = device_use.Meter(run.mesh, config.dtype)
  with cli.Progress(config.steps, "steps", "tracks", start=step) as bar:
    log = _Log(run, bar)
    while step < config.steps and not is_told_to_stop():
      with clock.step():
        with clock.wait():
          batch = next(stream)
        if step == run.start:
          _show_first(run, batch)
        state, window = run.train_step(state, run.frozen, batch, control)
        step += 1
        ahead.append(window)
        if len(ahead) > _MAX_AHEAD:
          jax.block_until_ready(ahead.popleft())
      after_step(window)
      if step == run.start + 1:
        meter.look(run.train_step, state, run.frozen, batch, control)
        clock.restart()  # The first step compiles.
      # What was added one step ago: the devices have work meanwhile.
      log.flush()
      if step % config.every.log == 0:
        timings = clock.take(config.batch_size)
        timings |= meter.read(timings.get("steps_per_second"))
        log.add(step, window, timings)
      bar.advance(1, config.batch_size)
      if step % run.eval_every == 0 or step == config.steps:
        log.flush()
        _check_window(run, step, window)
        num_evals += 1
        loss = _evaluate(run, state, step, num_evals)
        run.progress = curriculum.update(run.rule, run.progress, loss)
        control = run.control()
        if num_evals % config.every.save == 0 or step == config.steps:
          _save(run, step, state, loss)
      elif is_save_due():
        _check_window(run, step, window)
        _save(run, step, state, None)
    log.flush()
  if step < config.steps:
    if step > run.start:
      _check_window(run, step, window)
      _save(run, step, state, None)
    _log.info("stopped at step %d; the same command goes on from it.", step)
  return state


def _show_first(run, batch):
  """Draws the first batch: a wrong crop is seen at once."""
  if distributed.is_first() and "frames" in batch:
    path = preview.save(run.workdir, batch)
    _log.info("first batch, as the system sees it: %s", path)


def device_batches(run: setup.Run, step: int) -> Iterator[dict[str, jax.Array]]:
  """Reads training batches ahead and sends them to the devices.

  Args:
    run: What `prepare` returned.
    step: Updates applied so far; the batches are those that come after.

  Returns:
    Iterator over `frames` [B, T, H, W, 3] uint8, or what else the samples
    hold, split over the devices.
  """
  block, num_blocks = sharding.block_of_rows(run.mesh)
  stream = batches.train_batches(
    run.samples,
    batch_size=run.config.batch_size,
    start=step * run.config.batch_size,
    host=block,
    num_hosts=num_blocks,
    num_threads=run.config.data.num_threads,
    finish=lambda batch: sharding.put_batch(
      {name: x for name, x in batch.items() if name != "record"}, run.mesh
    ),
    setting=run.setting("batch_size"),
  )
  if "boxes" not in run.samples.spec():
    return stream
  # By the loop's own thread: all processes start their programs in one order.
  return map(device_frames.make(run.system.size_px, run.mesh), stream)


class _Log:
  """Writes the training lines of metrics.jsonl, each when it is flushed."""

  def __init__(self, run, bar):
    self._run, self._bar = run, bar
    self._pending, self._is_first = None, True
    self._warned = {}

  def add(self, step, window, timings):
    """Takes a window whose arrays may still be in the making."""
    self._pending = (step, window, timings)

  def flush(self):
    """Fetches and writes what was added last, if anything."""
    if self._pending is None:
      return
    run, (step, window, timings) = self._run, self._pending
    self._pending = None
    values = _check_window(run, step, window)
    low, high = curriculum.window(run.rule, run.progress)
    values |= {
      "band_low": low,
      "band_high": high,
      "lr_scale": curriculum.lr_scale(run.rule, run.progress),
      "bad_records": run.source.num_bad,
    }
    run.writer.write(step, "train", values | timings)
    self._warn(step, values)
    self._bar.note(f"loss {values['loss']:.4f}")
    rate = timings.get("steps_per_second")  # None for the first step alone.
    if self._is_first and rate:
      self._is_first = False
      _say_how_long(run.config, step, rate)

  def _warn(self, step, values):
    """Logs what looks wrong, each kind once in a while."""
    if step < _FIRST_WARNING:
      return
    for kind, text, is_fatal in self._run.system.diagnose(values):
      last = self._warned.get(kind)
      is_new = last is None or step - last >= _STEPS_BETWEEN_WARNINGS
      if is_new and not is_fatal:
        self._warned[kind] = step
        _log.warning("step %d: %s", step, text)


def _say_how_long(config, step, rate):
  hours = (config.steps - step) / rate / 3600
  if hours > _LONG_HOURS:
    _log.info(
      "at %.2f steps/s the %d steps take about %.0f hours. A small run takes "
      "minutes: --config=configs/%s.py:demo",
      rate,
      config.steps,
      hours,
      config.system,
    )


def _check_window(run, step, window):
  """Fetches the means of a window; stops the run if they cannot be right."""
  values = {name: float(x) for name, x in window["means"].items()}
  names = metrics.not_finite(values)
  if names or int(window["first_bad"]) >= 0:
    raise NotFiniteError(
      f"step {int(window['first_bad'])}: not finite: {', '.join(names)} (seen "
      f"at step {step}). {_last_good(run)} Lower "
      f"{run.setting('optimizer.learning_rate')} or set "
      f"{run.setting('optimizer.clip_norm')}, with another --workdir."
    )
  _check_failures(run, step, "training", values)
  return values


def _check_failures(run, step, where, values):
  """Stops the run if the system says that its results are wrong."""
  for finding in run.system.diagnose(values):
    if finding.is_fatal:
      raise FailureError(
        f"step {step}, {where}: {finding.text} {_last_good(run)}"
      )


def _last_good(run):
  """Says from which checkpoint one could go on."""
  run.checkpoints.wait()
  last = run.checkpoints.latest()
  place = "none was saved yet" if last is None else f"step {last}"
  return f"Last good checkpoint in {run.workdir}: {place}."


def _evaluate(run, state, step, num_evals):
  variables = train_state.inference_variables(state, run.frozen)
  totals, shown = None, []
  block, num_blocks = sharding.block_of_rows(run.mesh)
  for batch in batches.eval_batches(
    run.eval_samples,
    batch_size=run.config.batch_size,
    num_samples=run.num_eval_samples,
    host=block,
    num_hosts=num_blocks,
    num_threads=run.config.data.num_threads,
  ):
    batch.pop("record")
    batch = sharding.put_batch(batch, run.mesh)
    sums = run.eval_step(variables, batch)
    totals = sums if totals is None else jax.tree.map(np.add, totals, sums)
    if len(shown) * run.config.batch_size < _NUM_PICTURE_ROWS:
      shown.append(batch)
  values = {
    name: float(total) / float(weight)
    for name, (total, weight) in totals.items()
    if float(weight) > 0
  }
  if "loss" not in values:
    raise errors.InputError(
      "validation: too few samples to rank checkpoints by, as one alone has "
      "nothing to be told from. Use more validation people, or "
      "config.diffusion.model.select_by=error."
    )
  names = metrics.not_finite(values)
  if names:
    raise NotFiniteError(
      f"step {step}: not finite in validation: {', '.join(names)}. Lower "
      f"{run.setting('optimizer.learning_rate')}, with another --workdir."
    )
  _check_failures(run, step, "validation", values)
  run.writer.write(step, "validation", values)
  every = run.config.every.pictures
  is_last = step == run.config.steps
  if every and (num_evals % every == 0 or is_last):
    _save_pictures(run, variables, shown, step)
  return values["loss"]


def _save_pictures(run, variables, shown, step):
  parts = [jax.device_get(run.picture_step(variables, x)) for x in shown]
  columns = {k: np.concatenate([x[k] for x in parts]) for k in parts[0]}
  if not distributed.is_first():
    return
  sheet = image_grid.sheet(
    {name: rows[:_NUM_PICTURE_ROWS] for name, rows in columns.items()}
  )
  image_grid.save(run.workdir / "pictures" / f"step_{step:08d}.png", sheet)
  run.writer.picture(step, "validation", sheet)


def _save(run, step, state, loss):
  meta = {
    "curriculum": dataclasses.asdict(run.progress),
    "data_position": step * run.config.batch_size,
    "source": run.source.fingerprint(),
    "num_devices": run.mesh.devices.size,
  }
  run.checkpoints.save(step, state, meta, loss)


class _Clock:
  """Time of training steps, and the part of it spent waiting for data."""

  def __init__(self):
    self._begin = time.perf_counter()
    self.restart()

  def restart(self):
    self._steps, self._step_s, self._wait_s = 0, 0.0, 0.0

  @contextlib.contextmanager
  def step(self):
    start = time.perf_counter()
    yield
    self._step_s += time.perf_counter() - start
    self._steps += 1

  @contextlib.contextmanager
  def wait(self):
    start = time.perf_counter()
    yield
    self._wait_s += time.perf_counter() - start

  def take(self, batch_size):
    timings = {"seconds": time.perf_counter() - self._begin}
    if self._steps:
      rate = self._steps / self._step_s
      timings |= {
        "steps_per_second": rate,
        "tracks_per_second": rate * batch_size,
        "data_wait_share": self._wait_s / self._step_s,
      }
    self.restart()
    return timings
