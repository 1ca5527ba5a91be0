"""Checkpoints of a run, by Orbax, saved in the background."""

import logging
import math
import os
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from facerep_jax import errors, sharding
from facerep_jax.files import atomic
from facerep_jax.runs import curriculum, renamed_settings, train_state
from facerep_jax.systems import base

PyTree = Any
FORMAT = 1
_log = logging.getLogger(__name__)
# What Orbax raises where files are damaged; it does not say so by one type, and
# by the bare `Exception` of damaged arrays, whose cause says more.
_DAMAGED = (ValueError, LookupError, OSError, TypeError, AttributeError)


class _Damage:
  """Makes an `InputError` of what Orbax raises where files are damaged.

  Use as a context manager.

  Args:
    start: Of the line, before the reason in brackets.
    end: What to do.
  """

  def __init__(self, start: str, end: str):
    self._start, self._end = start, end

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if kind is Exception or isinstance(error, _DAMAGED):
      if isinstance(error, errors.InputError):
        return
      cause = error.__cause__ if kind is Exception else None
      raise errors.InputError(
        f"{self._start} ({_reason(cause or error)}). {self._end}"
      ) from error


def _split(state: train_state.TrainState) -> tuple[PyTree, PyTree]:
  """Parts what inference needs from what only training needs."""
  inference = {"params": state.params, "model_state": state.model_state}
  inference["ema"] = state.ema
  training = {
    "step": state.step,
    "opt_state": state.opt_state,
    "window": state.window,
    "key_data": state.key_data,
  }
  return inference, training


def _abstract(tree: PyTree, mesh: Mesh) -> PyTree:
  placement = sharding.replicated(mesh)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement), tree
  )


def _reason(error: BaseException) -> str:
  """Returns the first line of what an error says."""
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__


def curriculum_of(meta: dict[str, Any], step: int) -> curriculum.State:
  """Returns where the curriculum of a checkpoint stood.

  Args:
    meta: What was saved with it.
    step: Of the checkpoint, for the message.

  Raises:
    InputError: It does not say.
  """
  try:
    return curriculum.State(**meta["curriculum"])
  except (KeyError, TypeError) as error:
    raise errors.InputError(
      f"checkpoint of step {step}: its meta data is damaged (curriculum). "
      "Delete its folder to go on from the checkpoint before."
    ) from error


def _which_to_keep(keep: int) -> dict[str, Any]:
  """Returns Orbax's options for the last checkpoints, and the best."""
  policies = ocp.checkpoint_managers
  best = policies.BestN(
    get_metric_fn=lambda metrics: -metrics["loss"],
    n=1,
    keep_checkpoints_without_metrics=False,
  )
  return {
    "preservation_policy": policies.AnyPreservationPolicy(
      [policies.LatestN(keep), best]
    ),
    "best_fn": lambda metrics: metrics["loss"],
    "best_mode": "min",
  }


class Checkpoints:
  """The checkpoints of one run: the last ones, and the best.

  Args:
    workdir: The run's folder.
    keep: How many of the last are kept, beside the best.
    is_alone: Whether this process reads them by itself, and nothing is made,
      changed or deleted there; otherwise, all processes of the run do together
      whatever is done.
  """

  def __init__(
    self, workdir: str | os.PathLike, keep: int, *, is_alone: bool = False
  ):
    self._root = pathlib.Path(workdir).resolve() / "checkpoints"
    self._processes = ocp.options.MultiprocessingOptions()
    if is_alone:
      this = jax.process_index()
      self._processes = ocp.options.MultiprocessingOptions(this, {this})
    # Who only reads leaves alone what others may be writing, and does without
    # what may be damaged in checkpoints that it does not need.
    self._manager = None if is_alone else self._open(keep)

  def _open(self, keep):
    """Opens Orbax's manager, which reads the loss of every checkpoint."""
    options = ocp.CheckpointManagerOptions(
      cleanup_tmp_directories=True,
      multiprocessing_options=self._processes,
      **_which_to_keep(keep),
    )
    with _Damage(
      f"{self._root}: the loss of a checkpoint cannot be read",
      f"Delete the folder of that checkpoint: {self._without_loss()}.",
    ):
      return ocp.CheckpointManager(self._root, options=options)

  def _steps(self):
    if self._manager is None:
      return ocp.utils.checkpoint_steps(self._root)
    return self._manager.all_steps()

  def _loss(self, step):
    """Reads the loss of a checkpoint; None without, or where it is damaged."""
    path = self._root / str(step) / "metrics" / "metrics"
    try:
      loss = atomic.read_json(path).get("loss")
    except FileNotFoundError:
      return None
    except errors.InputError as error:
      _log.warning("%s It counts as a checkpoint without a loss.", error)
      return None
    if type(loss) in (int, float) and math.isfinite(loss):
      return loss
    _log.warning("%s: loss %r: counts as one without a loss.", path, loss)
    return None

  def _without_loss(self):
    """Names the checkpoints with a file for their loss that holds none."""
    places = sorted(self._root.glob("*/metrics/metrics"))
    steps = [path.parents[1].name for path in places]
    return ", ".join(x for x in steps if self._loss(x) is None) or "unknown"

  def latest(self) -> int | None:
    """Returns the step of the last checkpoint, None without any."""
    return max(self._steps(), default=None)

  def best(self) -> int | None:
    """Returns the step of least validation loss, or the last one."""
    losses = {step: self._loss(step) for step in self._steps()}
    known = {step: loss for step, loss in losses.items() if loss is not None}
    if not known:
      return self.latest()
    return min(known, key=lambda step: (known[step], -step))

  def save(
    self,
    step: int,
    state: train_state.TrainState,
    meta: dict[str, Any],
    loss: float | None,
  ) -> None:
    """Saves a state in the background.

    Args:
      step: Updates applied.
      state: What to save.
      meta: What belongs to it on the host; written as JSON.
      loss: Validation loss at this step, None if it was not evaluated.
    """
    if step in self._manager.all_steps():
      return
    inference, training = _split(state)
    self._manager.save(
      step,
      args=ocp.args.Composite(
        inference=ocp.args.StandardSave(inference),
        training=ocp.args.StandardSave(training),
        meta=ocp.args.JsonSave({"format": FORMAT, **meta}),
      ),
      metrics=None if loss is None else {"loss": loss},
      force=True,
    )

  def save_frozen(self, frozen: PyTree) -> None:
    """Saves the frozen parameters, once per run."""
    if frozen and not (self._root.parent / "frozen").exists():
      checkpointer = ocp.StandardCheckpointer()
      checkpointer.save(self._root.parent / "frozen", frozen)
      checkpointer.close()

  def restore_frozen(self, abstract: PyTree, mesh: Mesh) -> PyTree:
    """Restores what `save_frozen` wrote; {} if nothing is frozen.

    Raises:
      InputError: It is not there, or damaged.
    """
    if not abstract:
      return {}
    checkpointer = ocp.StandardCheckpointer(
      multiprocessing_options=self._processes
    )
    path = self._root.parent / "frozen"
    with _Damage(
      f"{path}: the frozen parameters of this run cannot be restored",
      "Restore the folder from a copy.",
    ):
      return checkpointer.restore(path, _abstract(abstract, mesh))

  def restore(
    self, step: int, abstract: train_state.TrainState, mesh: Mesh
  ) -> tuple[train_state.TrainState, dict[str, Any]]:
    """Restores a state, on any number of devices.

    Args:
      step: Which.
      abstract: Shapes and dtypes of the state.
      mesh: Where the arrays go.

    Returns:
      The state and `meta`.

    Raises:
      InputError: It cannot be read, or does not fit.
    """
    inference, training = (_abstract(part, mesh) for part in _split(abstract))
    window = training["window"]["sums"]
    stored = self._stored_names(step, window)
    training["window"]["sums"] = {stored[k]: x for k, x in window.items()}
    restored = self._restore(
      step,
      inference=ocp.args.StandardRestore(inference),
      training=ocp.args.StandardRestore(training),
      meta=ocp.args.JsonRestore(),
    )
    training = restored.training
    sums = training["window"]["sums"]
    training["window"]["sums"] = {k: sums[stored[k]] for k in window}
    state = train_state.TrainState(**restored.inference, **training)
    return state, restored.meta

  def _stored_names(self, step, names):
    """Returns what metrics are called in a checkpoint, by their names now."""
    before = {new: old for old, new in renamed_settings.METRICS.items()}
    if not before.keys() & set(names):
      return {name: name for name in names}
    path = self._root / str(step) / "training"
    with _Damage(
      f"{path.parent}: this checkpoint cannot be restored",
      "If the files are damaged, delete that folder to go on from the "
      "checkpoint before.",
    ):
      found = ocp.StandardCheckpointer(
        multiprocessing_options=self._processes
      ).metadata(path)
    there = found.item_metadata.tree["window"]["sums"]
    return {
      name: before[name] if name in before and before[name] in there else name
      for name in names
    }

  def restore_inference(
    self, step: int, abstract: base.Variables, mesh: Mesh, *, has_ema: bool
  ) -> tuple[base.Variables, dict[str, Any]]:
    """Restores what inference needs; the moving average if there is one.

    Args:
      step: Which.
      abstract: Shapes and dtypes.
      mesh: Where the arrays go.
      has_ema: Whether the run kept a moving average.

    Returns:
      The variables and `meta`.

    Raises:
      InputError: They cannot be read, or do not fit.
    """
    wanted = {
      "params": abstract.params,
      "model_state": abstract.model_state,
      "ema": abstract.params if has_ema else {},
    }
    restored = self._restore(
      step,
      inference=ocp.args.StandardRestore(_abstract(wanted, mesh)),
      meta=ocp.args.JsonRestore(),
    )
    frozen = self.restore_frozen(abstract.frozen, mesh)
    tree = restored.inference
    params = tree["ema"] if has_ema else tree["params"]
    return base.Variables(params, tree["model_state"], frozen), restored.meta

  def _restore(self, step, **items):
    with _Damage(
      f"{self._root / str(step)}: this checkpoint cannot be restored",
      "If the files are damaged, delete that folder to go on from the "
      "checkpoint before.",
    ):
      restored = self._read(step, ocp.args.Composite(**items))
    if not isinstance(restored.meta, dict):
      raise errors.InputError(
        f"{self._root / str(step)}: this checkpoint cannot be restored (meta "
        "is no JSON object). Delete that folder to go on from the one before."
      )
    if restored.meta.get("format") != FORMAT:
      raise errors.InputError(
        f"{self._root / str(step)}: format {restored.meta.get('format')}, "
        f"expected {FORMAT}: written by another version of this library."
      )
    return restored

  def _read(self, step, args):
    if self._manager is not None:
      return self._manager.restore(step, args=args)
    handler = ocp.CompositeCheckpointHandler()
    with ocp.Checkpointer(
      handler, multiprocessing_options=self._processes
    ) as checkpointer:
      return checkpointer.restore(self._root / str(step), args=args)

  def wait(self) -> None:
    """Waits until all saves are on disk; raises what went wrong in them."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for saves and ends the manager."""
    if self._manager is not None:
      self._manager.close()
