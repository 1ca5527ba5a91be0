"""Speed of FAb-Net, beside the same network in PyTorch."""

import functools
import importlib
import importlib.util
import logging
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import sharding
from facerep_jax.benchmarks import report, timing
from facerep_jax.convert import fabnet as convert_fabnet
from facerep_jax.ops import image_range
from facerep_jax.runs import optim, train_state
from facerep_jax.systems import base
from facerep_jax.systems import fabnet as system_module

_log = logging.getLogger(__name__)
# Frame size in pixels to batch size.
SIZES = types.MappingProxyType({64: 32, 128: 16, 256: 8})
_LEARNING_RATE, _MOMENTUM = 1e-3, 0.9
_WORK = {
  "train": "training, with mask",
  "train_no_mask": "training, without mask",
  "encode": "encoder",
}
_NOTES = (
  "Rates are pairs/s in training (uint8 frames in memory to updated weights, "
  "SGD with momentum) and images/s in the encoder: medians of turns taken "
  "alternately. Spread: slowest turn less fastest, of the median. torch: "
  "eager, the faster of its two memory formats, its default number of threads. "
  "Where the ratio of the fastest turns differs much from that of the medians, "
  "other work disturbed the run; it slows torch's threads the most.",
  "With one source the mask has no effect on the image, and its gradient is "
  "zero. torch computes that gradient, XLA leaves it out: only the rows "
  "without mask do the same arithmetic in both.",
)


def measure(
  sizes: Mapping[int, int] = SIZES,
  *,
  width: int = 32,
  embed_dim: int = 256,
  limit_s: float = 8.0,
) -> report.Section:
  """Times training and the encoder at several sizes, on one device.

  Args:
    sizes: Frame size in pixels to batch size.
    width: Channels of the first convolution.
    embed_dim: Length of the code.
    limit_s: Time for each row, about, without compilation.

  Returns:
    The table.
  """
  torch_fabnet, missing = find_baseline()
  rows = []
  for size_px, batch_size in sizes.items():
    ours = Ours(size_px, batch_size, width, embed_dim)
    baselines = {}
    if torch_fabnet is not None:
      settings = {"size": size_px, "width": width, "embed_dim": embed_dim}
      device = torch_fabnet.device(jax.default_backend())
      baselines = {
        name: torch_fabnet.Baseline(
          ours.torch_state(), settings, ours.frames, name, device
        )
        for name in torch_fabnet.FORMATS
      }
    for work in _WORK:
      _log.info("fabnet: %d px, %s", size_px, _WORK[work])
      row = _measure_row(work, ours, baselines, limit_s)
      rows.append({"size_px": size_px, "batch_size": batch_size} | row)
      _log.info(
        "  %.1f per second, torch %s, compiled in %.1f s",
        row["ours_per_s"],
        "-" if missing else format(row["torch_per_s"], ".1f"),
        row["compile_s"],
      )
  return report.Section(
    name="fabnet",
    title=f"FAb-Net, width {width}, code of {embed_dim}",
    columns=_columns(missing),
    rows=rows,
    notes=_NOTES,
  )


def _columns(missing):
  return (
    report.Column("size_px", "px"),
    report.Column("batch_size", "batch"),
    report.Column("work_title", "what"),
    report.Column("ours_per_s", "ours, 1/s", ".1f"),
    report.Column("ours_spread", "spread", ".0%"),
    report.Column("torch_per_s", "torch, 1/s", ".1f", missing),
    report.Column("torch_spread", "spread", ".0%"),
    report.Column("torch_format", "torch format"),
    report.Column("ratio", "ours / torch", ".2f"),
    report.Column("ratio_of_best", "of the fastest turns", ".2f"),
    report.Column("compile_s", "compilation, s", ".1f"),
  )


def find_baseline() -> tuple[types.ModuleType | None, str]:
  """Finds PyTorch for the devices that JAX uses.

  Returns:
    The module of the baseline, and ""; or None, and why there is none.
  """
  if importlib.util.find_spec("torch") is None:
    return None, "torch not installed"
  module = importlib.import_module(
    "facerep_jax.benchmarks.reference.torch_fabnet"
  )
  backend = jax.default_backend()
  if module.device(backend) is None:
    return None, f"torch has no {backend}"
  return module, ""


def _measure_row(work, ours, baselines, limit_s):
  call, compile_s = ours.compile(work)
  calls = {"ours": call} | {
    name: _baseline_call(work, baseline) for name, baseline in baselines.items()
  }
  turns = {name: timing.repeated(call) for name, call in calls.items()}
  times = timing.by_turns(turns, limit_s=limit_s)
  return {"work": work, "work_title": _WORK[work]} | compare(
    times, ours.batch_size, compile_s
  )


def _baseline_call(work, baseline):
  if work == "encode":
    return baseline.encode
  return functools.partial(
    baseline.train_step,
    learning_rate=_LEARNING_RATE,
    momentum=_MOMENTUM,
    use_mask=work == "train",
  )


def compare(
  times: Mapping[str, timing.Times], batch_size: int, compile_s: float
) -> dict[str, Any]:
  """Turns times into rates, and picks the faster of torch's formats.

  Args:
    times: Per batch, of "ours" and of torch by memory format, if any.
    batch_size: Pairs or images of a batch.
    compile_s: What compiling ours took, in seconds.

  Returns:
    Columns of the table; None for torch's without it.
  """
  ours = times["ours"]
  row = {
    "ours_per_s": batch_size / ours.median_s,
    "ours_spread": ours.spread,
    "torch_per_s": None,
    "torch_spread": None,
    "torch_format": None,
    "ratio": None,
    "ratio_of_best": None,
    "compile_s": compile_s,
    "num_turns": len(ours.turns_s),
  }
  others = {name: t for name, t in times.items() if name != "ours"}
  if others:
    best = min(others, key=lambda name: others[name].median_s)
    row |= {
      "torch_per_s": batch_size / others[best].median_s,
      "torch_spread": others[best].spread,
      "torch_format": best,
      "ratio": others[best].median_s / ours.median_s,
      "ratio_of_best": min(t.best_s for t in others.values()) / ours.best_s,
    }
  return row


class Ours:
  """This package's FAb-Net at one size, with frames and first weights.

  Attributes:
    batch_size: Pairs of a batch.
    frames: [B, 2, H, W, 3] uint8, noise.
  """

  def __init__(self, size_px: int, batch_size: int, width: int, embed_dim: int):
    self.batch_size = batch_size
    shape = (batch_size, 2, size_px, size_px, 3)
    self.frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    self._make = functools.partial(
      system_module.make,
      size_px=size_px,
      width=width,
      embed_dim=embed_dim,
      num_sources=1,
      align_corners=True,
      upsample_align_corners=False,
      frozen=(),
      dtype="float32",
    )
    self._mesh = sharding.make_mesh(jax.devices()[:1])
    recipe = optim.Recipe(learning_rate=_LEARNING_RATE, momentum=_MOMENTUM)
    self._optimizer = optim.make(recipe, num_steps=1, batch_size=1)
    system = self._make(use_mask=True)
    abstract = jax.eval_shape(system.init, jax.random.key(0))
    names = train_state.metric_names(system, abstract, batch_size)

    def create(key):
      return train_state.create(system, self._optimizer, names, 0.0, key)

    init = sharding.jit_init(create, self._mesh)
    self._state, self._frozen = init(jax.random.key(0))

  def torch_state(self) -> dict[str, np.ndarray]:
    """Returns the first weights by torch name."""
    return convert_fabnet.to_torch(
      {"params": self._state.params, "batch_stats": self._state.model_state}
    )

  def compile(self, work: str) -> tuple[Callable[[], jax.Array], float]:
    """Compiles one kind of work.

    Args:
      work: "train", "train_no_mask" or "encode".

    Returns:
      A function that does it once from where the last call ended, and returns
      the loss before the step or the codes; and the seconds that compiling,
      with tracing, took.
    """
    if work == "encode":
      return self._compile_encode()
    return self._compile_train(self._make(use_mask=work == "train"))

  def _compile_train(self, system):
    step = train_state.make_train_step(
      system, self._optimizer, log_every=1, ema_decay=0.0
    )
    batch = sharding.put_batch({"frames": self.frames}, self._mesh)
    control = {
      "band_start": np.int32(0),
      "band_stop": np.int32(self.batch_size),
      "lr_scale": np.float32(1),
    }
    # A copy: the step gives its argument's memory away.
    state = jax.tree.map(jnp.copy, self._state)
    start = time.perf_counter()
    jitted = sharding.jit_train_step(step, self._mesh)
    compiled = jitted.lower(state, self._frozen, batch, control).compile()
    compile_s = time.perf_counter() - start

    def call():
      nonlocal state
      state, window = compiled(state, self._frozen, batch, control)
      jax.block_until_ready(state)
      return window["means"]["loss"]

    return call, compile_s

  def _compile_encode(self):
    system = self._make(use_mask=False)
    variables = base.Variables(
      self._state.params, self._state.model_state, self._frozen
    )
    images = image_range.uint8_to_01(jnp.asarray(self.frames[:, 0]))
    batch = sharding.put_batch({"images": images}, self._mesh)

    def encode(variables, batch):
      key = jax.random.key(0)
      return system.represent(variables, batch["images"], key)[0]["embedding"]

    start = time.perf_counter()
    jitted = sharding.jit_on_batch(encode, self._mesh)
    compiled = jitted.lower(variables, batch).compile()
    compile_s = time.perf_counter() - start
    return lambda: jax.block_until_ready(compiled(variables, batch)), compile_s
