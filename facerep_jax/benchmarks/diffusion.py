"""Speed of LatentFace's denoisers, beside their published form."""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from facerep_jax import sharding
from facerep_jax.benchmarks import compiled, report, timing
from facerep_jax.benchmarks.reference import literal_unet
from facerep_jax.convert import rdm
from facerep_jax.models import unet
from facerep_jax.ops import diffusion
from facerep_jax.runs import optim

_log = logging.getLogger(__name__)
PyTree = Any
# Maps weights, noisy codes, codes and steps to the prediction.
Predict = Callable[[PyTree, jax.Array, jax.Array, jax.Array], jax.Array]

WIDTHS = (128, 1024)
NETS = ("albedo", "depth")
CODE_DIM = 256
_NUM_STEPS = 5
# Codes of a batch by work.
NUM_CODES = {"train": 16, "sample": 128}
_WORK = {"train": "training step", "sample": "sampling"}
_NOTES = (
  "Both denoisers, float32. Training: 16 codes in memory to updated weights "
  "(forward, backward, clipped norm, Adam). Sampling: 128 codes in "
  f"{_NUM_STEPS} steps. Literal: the published 3x3 convolutions and attention "
  "on 1x1 maps, in JAX. Dense: the same network as dense layers; in sampling, "
  "where all codes are at the same step, that step goes through the network "
  "once, not once for each code.",
  "Medians of turns taken alternately; the ratio is literal over dense in the "
  "same turn, its median. Spread: greatest less least, of the median. Memory: "
  "as XLA plans it; in training with both moments of Adam. Difference: of the "
  "loss after an update, or of the samples; of the greatest.",
)
_COLUMNS = (
  report.Column("width", "width"),
  report.Column("work_title", "what"),
  report.Column("num_codes", "codes"),
  report.Column("dense_ms", "dense, ms", ".1f"),
  report.Column("dense_spread", "spread", ".0%"),
  report.Column("literal_ms", "literal, ms", ".1f"),
  report.Column("literal_spread", "spread", ".0%"),
  report.Column("ratio", "literal / dense", ".1f"),
  report.Column("ratio_spread", "spread", ".0%"),
  report.Column("dense_mb", "memory dense, MB", ".0f"),
  report.Column("literal_mb", "memory literal, MB", ".0f"),
  report.Column("difference", "difference", ".1e"),
  report.Column("num_turns", "turns"),
  report.Column("compile_s", "compilation dense, s", ".1f"),
  *compiled.USE_COLUMNS,
)


def measure(
  widths: Sequence[int] = WIDTHS, *, limit_s: float = 8.0
) -> report.Section:
  """Times a training step and sampling, dense and literal, on one device.

  Args:
    widths: Of the networks; multiples of 32.
    limit_s: Time for each row, about, without compilation.

  Returns:
    The table.
  """
  rows = []
  for width in widths:
    weights = first_weights(width)
    for work in _WORK:
      _log.info("diffusion: width %d, %s", width, _WORK[work])
      row = _compare(work, width, weights, limit_s)
      rows.append({"width": width} | row)
      _log.info(
        "  %.1f ms, literal %.1f ms", row["dense_ms"], row["literal_ms"]
      )
  return report.Section(
    name="diffusion",
    title="Denoisers of codes",
    columns=_COLUMNS,
    rows=rows,
    notes=_NOTES,
  )


def _compare(work, width, weights, limit_s):
  batch = made_up_batch(NUM_CODES[work])
  compile_it = {"train": compile_step, "sample": compile_sampler}[work]
  programs = {
    name: compile_it(predict, to_form(name, weights), batch)
    for name, predict in predictors(width).items()
  }
  # The second results: in training, after an update.
  results = {
    name: [program.call() for _ in range(2)][1]
    for name, program in programs.items()
  }
  times = timing.by_turns(
    {name: timing.repeated(p.call) for name, p in programs.items()},
    limit_s=limit_s,
  )
  ratio, ratio_spread = timing.ratio(times["literal"], times["dense"])
  row = {
    "work": work,
    "work_title": _WORK[work],
    "num_codes": NUM_CODES[work],
    "ratio": ratio,
    "ratio_spread": ratio_spread,
    "difference": difference(results["dense"], results["literal"]),
    "num_turns": len(times["dense"].turns_s),
  }
  for name, program in programs.items():
    row[f"{name}_ms"] = 1e3 * times[name].median_s
    row[f"{name}_spread"] = times[name].spread
    row[f"{name}_mb"] = program.memory_bytes / 1e6
    row[f"{name}_compile_s"] = program.compile_s
    row[f"{name}_gflop"] = (
      None if program.flops is None else program.flops / 1e9
    )
  return row | compiled.use(programs["dense"], times["dense"].median_s)


def difference(got: PyTree, want: PyTree) -> float:
  """Returns the greatest difference as a share of the greatest value."""
  pairs = list(zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True))
  greatest = max(float(jnp.abs(b).max()) for _, b in pairs)
  return max(float(jnp.abs(a - b).max()) for a, b in pairs) / greatest


def predictors(width: int) -> dict[str, Predict]:
  """Returns the two forms of the network.

  Args:
    width: Of the networks.

  Returns:
    "dense" and "literal".
  """
  model = unet.CodeUNet(CODE_DIM, width)

  def dense(params, noisy, code, t):
    return model.apply({"params": params}, noisy, code, t)

  def literal(state, noisy, code, t):
    t = jnp.broadcast_to(t, noisy.shape[:1])
    return literal_unet.apply(state, noisy, code, t, model.num_groups)

  return {"dense": dense, "literal": literal}


def first_weights(width: int) -> dict[str, PyTree]:
  """Draws the first weights of the dense form.

  Args:
    width: Of the networks.

  Returns:
    Parameters by network.
  """
  model = unet.CodeUNet(CODE_DIM, width)
  code, t = jnp.zeros((1, CODE_DIM)), jnp.zeros(1, jnp.int32)
  init = sharding.jit_init(
    lambda key: model.init(key, code, code, t)["params"], compiled.one_device()
  )
  return {net: init(jax.random.key(i)) for i, net in enumerate(NETS)}


def to_form(form: str, weights: dict[str, PyTree]) -> dict[str, PyTree]:
  """Turns the weights of the dense form into those of either form.

  Args:
    form: "dense" or "literal"; the latter's take gigabytes at width 1024.
    weights: Of `first_weights`.

  Returns:
    Weights by network.
  """
  if form == "dense":
    return weights
  return {net: rdm.to_torch(params) for net, params in weights.items()}


def made_up_batch(num_codes: int) -> dict[str, np.ndarray]:
  """Draws codes of one track, as rectifiers leave them, and noise.

  Args:
    num_codes: N.

  Returns:
    By network: its codes [N, D] float32; and with "_noise" after its name the
    noise [N, D] float32; and `t` [N] int32, steps of the schedule.
  """
  rng = np.random.default_rng(0)
  shape = (num_codes, CODE_DIM)
  batch = {"t": rng.integers(0, 1000, num_codes).astype(np.int32)}
  for net in NETS:
    batch[net] = np.maximum(rng.normal(size=shape), 0).astype(np.float32)
    batch[f"{net}_noise"] = rng.normal(size=shape).astype(np.float32)
  return batch


def compile_step(
  predict: Predict, weights: dict[str, PyTree], batch: dict[str, np.ndarray]
) -> compiled.Program:
  """Compiles a training step of both networks.

  Args:
    predict: Form of the network.
    weights: First ones of both networks; they are copied.
    batch: Of `made_up_batch`.

  Returns:
    The program; each call goes on where the last one ended, and returns the
    loss before its update.
  """
  mesh = compiled.one_device()
  recipe = optim.Recipe(name="adam", learning_rate=1e-4, l2=5e-4, clip_norm=1.0)
  optimizer = optim.make(recipe, num_steps=1, batch_size=1)
  alpha_bars = diffusion.linear_schedule()

  def loss_fn(weights, batch):
    alpha_bar = jnp.asarray(alpha_bars)[batch["t"]]
    factor = diffusion.weight(alpha_bar, "clean", "published")
    total = jnp.float32(0)
    for net in NETS:
      code, noise = batch[net], batch[f"{net}_noise"]
      clean = jnp.broadcast_to(code.mean(0, keepdims=True), code.shape)
      noisy = diffusion.add_noise(clean, noise, alpha_bar)
      error = predict(weights[net], noisy, code, batch["t"]) - clean
      total += jnp.mean(factor[:, None] * jnp.square(error))
    return total

  def step(state, frozen, batch, control):
    del frozen, control
    weights, moments = state
    loss, grads = jax.value_and_grad(loss_fn)(weights, batch)
    weights, moments = dict(weights), dict(moments)
    for net in NETS:
      updates, moments[net] = optimizer.update(
        grads[net], moments[net], weights[net]
      )
      weights[net] = optax.apply_updates(weights[net], updates)
    return (weights, moments), loss

  # A copy: the step gives its argument's memory away.
  weights = jax.tree.map(jnp.array, weights)
  state = weights, {net: optimizer.init(weights[net]) for net in NETS}
  state = sharding.put_replicated(state, mesh)
  batch = sharding.put_batch(batch, mesh)

  def work_of(program):
    def call():
      nonlocal state
      state, loss = jax.block_until_ready(program(state, {}, batch, {}))
      return loss

    return call

  jitted = sharding.jit_train_step(step, mesh)
  return compiled.compile_program(
    lambda: jitted.lower(state, {}, batch, {}), work_of
  )


def compile_sampler(
  predict: Predict, weights: dict[str, PyTree], batch: dict[str, np.ndarray]
) -> compiled.Program:
  """Compiles the sampling with both networks.

  Args:
    predict: Form of the network.
    weights: Of both networks.
    batch: Of `made_up_batch`.

  Returns:
    The program; it returns the samples by network.
  """
  alpha_bars = diffusion.linear_schedule()

  def sample(weights, batch):
    out = {}
    for net in NETS:
      denoise = functools.partial(_denoise, predict, weights[net], batch[net])
      out[net] = diffusion.ddim(
        denoise,
        batch[f"{net}_noise"],
        alpha_bars=alpha_bars,
        num_steps=_NUM_STEPS,
      ).clean
    return out

  return compiled.on_batch(sample, weights, batch)


def _denoise(predict, weights, code, noisy, t):
  """Passes on one step, the same for all codes."""
  return predict(weights, noisy, code, t[:1])
