"""Checkpoints of a run, by Orbax, saved in the background."""

import json
import os
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from facerep_jax import errors, sharding, train_state
from facerep_jax.systems import base

PyTree = Any
FORMAT = 1


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
    policies = ocp.checkpoint_managers
    policy = policies.AnyPreservationPolicy(
      [
        policies.LatestN(keep),
        policies.BestN(
          get_metric_fn=lambda metrics: -metrics["loss"],
          n=1,
          keep_checkpoints_without_metrics=False,
        ),
      ]
    )
    options = ocp.CheckpointManagerOptions(
      preservation_policy=policy,
      best_fn=lambda metrics: metrics["loss"],
      best_mode="min",
      # Who only reads leaves alone what others may be writing.
      create=not is_alone,
      cleanup_tmp_directories=not is_alone,
      multiprocessing_options=self._processes,
    )
    self._manager = ocp.CheckpointManager(self._root, options=options)

  def latest(self) -> int | None:
    """Returns the step of the last checkpoint, None without any."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """Returns the step of least validation loss, or the last one."""
    best = self._manager.best_step()
    return self.latest() if best is None else best

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
    """Restores what `save_frozen` wrote; {} if nothing is frozen."""
    if not abstract:
      return {}
    checkpointer = ocp.StandardCheckpointer(
      multiprocessing_options=self._processes
    )
    return checkpointer.restore(
      self._root.parent / "frozen", _abstract(abstract, mesh)
    )

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
    restored = self._restore(
      step,
      inference=ocp.args.StandardRestore(inference),
      training=ocp.args.StandardRestore(training),
      meta=ocp.args.JsonRestore(),
    )
    state = train_state.TrainState(**restored.inference, **restored.training)
    return state, restored.meta

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
    try:
      restored = self._manager.restore(step, args=ocp.args.Composite(**items))
    except (ValueError, KeyError, OSError, json.JSONDecodeError) as error:
      reason = str(error).strip().splitlines()
      raise errors.InputError(
        f"{self._root / str(step)}: this checkpoint cannot be restored "
        f"({reason[0] if reason else type(error).__name__}). If the files are "
        "damaged, delete that folder to go on from the checkpoint before."
      ) from error
    if restored.meta.get("format") != FORMAT:
      raise errors.InputError(
        f"{self._root / str(step)}: format {restored.meta.get('format')}, "
        f"expected {FORMAT}: written by another version of this library."
      )
    return restored

  def wait(self) -> None:
    """Waits until all saves are on disk; raises what went wrong in them."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for saves and ends the manager."""
    self._manager.close()
