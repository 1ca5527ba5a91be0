"""The state of a run and the step that advances it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from facerep_jax.runs import curriculum
from facerep_jax.systems import base

PyTree = Any


@struct.dataclass
class TrainState:
  """All that a resumed run needs; arrays only, no functions.

  Attributes:
    step: int32 scalar, updates applied.
    params: What learns.
    model_state: Running statistics and the like.
    opt_state: Of the optimiser.
    ema: Moving average of `params`, {} without.
    window: Sums of the metrics since the last log line, see `_add`.
    key_data: Root key as uint32 numbers; never advanced.
  """

  step: jax.Array
  params: PyTree
  model_state: PyTree
  opt_state: PyTree
  ema: PyTree
  window: PyTree
  key_data: jax.Array


def init_key(key: jax.Array) -> jax.Array:
  """Derives the key of the initial weights from a run's root key."""
  return jax.random.fold_in(key, 0)


def metric_names(
  system: base.System, variables: base.Variables, batch_size: int
) -> tuple[str, ...]:
  """Asks a system for the names of its training metrics, without computing.

  Args:
    system: What is trained.
    variables: Its arrays, or their shapes.
    batch_size: Samples of a global batch.

  Returns:
    The names, sorted.
  """
  shape = (batch_size, system.num_frames, system.size_px, system.size_px, 3)
  batch = {"frames": jax.ShapeDtypeStruct(shape, jnp.uint8)}
  off = curriculum.Rule(use=False)
  out = jax.eval_shape(
    system.loss_fn,
    variables.params,
    variables.frozen,
    variables.model_state,
    batch,
    curriculum.control_scalars(off, curriculum.State(), batch_size),
    jax.eval_shape(lambda: jax.random.key(0)),
  )
  return tuple(sorted(out[1][1]))


def create(
  system: base.System,
  optimizer: optax.GradientTransformation,
  names: tuple[str, ...],
  ema_decay: float,
  key: jax.Array,
) -> tuple[TrainState, PyTree]:
  """Initialises a run.

  Args:
    system: What is trained.
    optimizer: Its optimiser.
    names: Of what `system.loss_fn` measures.
    ema_decay: Decay of the moving average, 0 for none.
    key: Root key.

  Returns:
    The state, and the frozen parameters.
  """
  variables = system.init(init_key(key))
  names = (*names, "grad_norm")
  state = TrainState(
    step=jnp.zeros((), jnp.int32),
    params=variables.params,
    model_state=variables.model_state,
    opt_state=optimizer.init(variables.params),
    ema=variables.params if ema_decay else {},
    window={
      "sums": {name: jnp.zeros(()) for name in names},
      "count": jnp.zeros(()),
      "first_bad": jnp.full((), -1, jnp.int32),
    },
    key_data=jax.random.key_data(jax.random.fold_in(key, 1)),
  )
  return state, variables.frozen


def make_train_step(
  system: base.System,
  optimizer: optax.GradientTransformation,
  *,
  log_every: int,
  ema_decay: float,
) -> Callable:
  """Builds a pure step(state, frozen, batch, control) -> (state, window).

  Args:
    system: What is trained.
    optimizer: Its optimiser; `control["lr_scale"]` scales its updates.
    log_every: Steps over which metrics are averaged.
    ema_decay: Decay of the moving average, 0 for none.

  Returns:
    The step. `window` holds `means` of the metrics since the window began,
    and `first_bad`, the first step in it whose loss or gradient was not
    finite, or -1.
  """

  def step(state, frozen, batch, control):
    key = jax.random.wrap_key_data(state.key_data)
    key = jax.random.fold_in(key, state.step)
    grad_fn = jax.value_and_grad(system.loss_fn, has_aux=True)
    (_, (model_state, metrics)), grads = grad_fn(
      state.params, frozen, state.model_state, batch, control, key
    )
    metrics = metrics | {"grad_norm": optax.tree.norm(grads)}
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda u: u * control["lr_scale"], updates)
    params = optax.apply_updates(state.params, updates)
    window = _add(state.window, metrics, state.step, log_every)
    new_state = state.replace(
      step=state.step + 1,
      params=params,
      model_state=model_state,
      opt_state=opt_state,
      ema=optax.incremental_update(params, state.ema, 1 - ema_decay)
      if ema_decay
      else {},
      window=window,
    )
    means = jax.tree.map(lambda x: x / window["count"], window["sums"])
    return new_state, {"means": means, "first_bad": window["first_bad"]}

  return step


def _add(window, metrics, step, log_every):
  """Adds the metrics of 0-based `step`; a window starts at multiples."""
  is_new = step % log_every == 0
  old = jax.tree.map(lambda x: jnp.where(is_new, 0.0, x), window["sums"])
  first_bad = jnp.where(is_new, -1, window["first_bad"])
  is_finite = jnp.all(
    jnp.stack([jnp.isfinite(value) for value in metrics.values()])
  )
  is_first_bad = ~is_finite & (first_bad < 0)
  return {
    "sums": jax.tree.map(jnp.add, old, metrics),
    "count": jnp.where(is_new, 0.0, window["count"]) + 1.0,
    "first_bad": jnp.where(is_first_bad, step + 1, first_bad),
  }


def inference_variables(state: TrainState, frozen: PyTree) -> base.Variables:
  """Picks what evaluation uses: the moving average when there is one."""
  params = state.ema if state.ema else state.params
  return base.Variables(params, state.model_state, frozen)
