"""Speed of FAb-Net, beside the same network in PyTorch."""

import functools
import importlib
import importlib.util
import logging
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import sharding
from facerep_jax.benchmarks import compiled, report, timing
from facerep_jax.convert import fabnet as convert_fabnet
from facerep_jax.ops import image_range
from facerep_jax.runs import optim, train_state
from facerep_jax.systems import base
from facerep_jax.systems import fabnet as system_module

_log = logging.getLogger(__name__)
# Frame size in pixels to batch size.
SIZES = types.MappingProxyType({64: 32, 128: 16, 256: 8})
DTYPES = ("float32", "bfloat16")


class TorchForm(NamedTuple):
  """How PyTorch runs the network.

  Attributes:
    is_channels_last: Whether images are NHWC in memory.
    is_compiled: Whether torch.compile makes a program of it.
    dtype: "float32", or "bfloat16" by autocast.
  """

  is_channels_last: bool
  is_compiled: bool
  dtype: str


TORCH_FORMS: Mapping[str, TorchForm] = {
  "eager": TorchForm(False, False, "float32"),
  "channels_last": TorchForm(True, False, "float32"),
  "compile": TorchForm(True, True, "float32"),
  "bfloat16": TorchForm(True, False, "bfloat16"),
  "compile_bfloat16": TorchForm(True, True, "bfloat16"),
}
# A CPU takes minutes for the others.
CPU_FORMS = ("eager", "channels_last")
_LEARNING_RATE, _MOMENTUM = 1e-3, 0.9
_LONGEST_REASON = 300
_WORK = {
  "train": "training, with mask",
  "train_no_mask": "training, without mask",
  "encode": "encoder",
}
_NOTES = (
  "Rates are pairs/s in training (uint8 frames in memory to updated weights, "
  "SGD with momentum) and images/s in the encoder: medians of turns taken "
  "alternately. Spread: slowest turn less fastest, of the median. torch: the "
  "fastest of the forms that were run with numbers of that type, its default "
  "number of threads. "
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
  dtypes: Sequence[str] = ("float32",),
  torch_forms: Sequence[str] = CPU_FORMS,
  so_far: Callable[[report.Section], None] = lambda section: None,
) -> report.Section:
  """Times training and the encoder at several sizes, on one device.

  Args:
    sizes: Frame size in pixels to batch size.
    width: Channels of the first convolution.
    embed_dim: Length of the code.
    limit_s: Time for each row, about, without compilation.
    dtypes: In which the networks compute, of `DTYPES`.
    torch_forms: Which of `TORCH_FORMS` run beside; those of a type that is
      not in `dtypes` do not.
    so_far: Called with the table after each row.

  Returns:
    The table.
  """
  torch_fabnet, missing = find_baseline()
  section = report.Section(
    name="fabnet",
    title=f"FAb-Net, width {width}, code of {embed_dim}",
    columns=_columns(missing),
    rows=[],
    notes=_NOTES,
  )
  for size_px, batch_size in sizes.items():
    for dtype in dtypes:
      ours = Ours(size_px, batch_size, width, embed_dim, dtype)
      baselines = {}
      if torch_fabnet is not None:
        baselines = _baselines(torch_fabnet, ours, torch_forms)
      for work in _WORK:
        _log.info("fabnet: %d px, %s, %s", size_px, dtype, _WORK[work])
        row = _measure_row(work, ours, baselines, limit_s)
        shape = {"size_px": size_px, "batch_size": batch_size, "dtype": dtype}
        section.rows.append(shape | row)
        _log_row(row)
        so_far(section)
  return section


def _baselines(module, ours, forms):
  """Builds the network in PyTorch in those forms that fit our type."""
  return {
    name: module.Baseline(
      ours.torch_state(),
      ours.sizes,
      ours.frames,
      TORCH_FORMS[name],
      module.device(jax.default_backend()),
    )
    for name in forms
    if TORCH_FORMS[name].dtype == ours.dtype
  }


def _log_row(row):
  rate = row["torch_per_s"]
  _log.info(
    "  %.1f per second, torch %s, compiled in %.1f s",
    row["ours_per_s"],
    "-" if rate is None else format(rate, ".1f"),
    row["compile_s"],
  )


def _columns(missing):
  return (
    report.Column("size_px", "px"),
    report.Column("batch_size", "batch"),
    report.Column("dtype", "type"),
    report.Column("work_title", "what"),
    report.Column("ours_per_s", "ours, 1/s", ".1f"),
    report.Column("ours_spread", "spread", ".0%"),
    report.Column("torch_per_s", "torch, 1/s", ".1f", missing or "-"),
    report.Column("torch_spread", "spread", ".0%"),
    report.Column("torch_format", "torch form"),
    report.Column("ratio", "ours / torch", ".2f"),
    report.Column("ratio_of_best", "of the fastest turns", ".2f"),
    report.Column("memory_mb", "memory, MB", ".0f"),
    report.Column("compile_s", "compilation, s", ".1f"),
    *compiled.USE_COLUMNS,
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
  program = ours.compile(work)
  turns = {"ours": timing.repeated(program.call)}
  failed = {}
  for name, baseline in baselines.items():
    try:
      turns[name] = timing.repeated(_baseline_call(work, baseline))
    # What torch.compile raises without a compiler is one, too.
    except RuntimeError as error:
      failed[name] = " ".join(str(error).split())[:_LONGEST_REASON]
      _log.warning("  torch, %s: failed: %s", name, failed[name])
  times = timing.by_turns(turns, limit_s=limit_s)
  return {
    "work": work,
    "work_title": _WORK[work],
    **compare(times, ours.batch_size),
    **compiled.use(program, times["ours"].median_s, dtype=ours.dtype),
    "torch_failed": failed,
  }


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
  times: Mapping[str, timing.Times], batch_size: int
) -> dict[str, Any]:
  """Turns times into rates, and picks the fastest of torch's forms.

  Args:
    times: Per batch, of "ours" and of torch by form, if any.
    batch_size: Pairs or images of a batch.

  Returns:
    Columns of the table, None for torch's without it; and `torch`, by form
    its rate, `per_s`, and `spread`.
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
    "num_turns": len(ours.turns_s),
  }
  others = {name: t for name, t in times.items() if name != "ours"}
  row["torch"] = {
    name: {"per_s": batch_size / t.median_s, "spread": t.spread}
    for name, t in others.items()
  }
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
    dtype: In which the networks compute.
    frames: [B, 2, H, W, 3] uint8, noise.
    sizes: `size`, `width` and `embed_dim`, as PyTorch's takes them.
  """

  def __init__(
    self,
    size_px: int,
    batch_size: int,
    width: int,
    embed_dim: int,
    dtype: str = "float32",
  ):
    self.batch_size, self.dtype = batch_size, dtype
    self.sizes = {"size": size_px, "width": width, "embed_dim": embed_dim}
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
      dtype=dtype,
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

  def compile(self, work: str) -> compiled.Program:
    """Compiles one kind of work.

    Args:
      work: "train", "train_no_mask" or "encode".

    Returns:
      The program; each call goes on where the last one ended, and returns the
      loss before the step or the codes.
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
    jitted = sharding.jit_train_step(step, self._mesh)

    def work_of(program):
      def call():
        nonlocal state
        state, window = program(state, self._frozen, batch, control)
        jax.block_until_ready(state)
        return window["means"]["loss"]

      return call

    return compiled.compile_program(
      lambda: jitted.lower(state, self._frozen, batch, control), work_of
    )

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

    jitted = sharding.jit_on_batch(encode, self._mesh)
    return compiled.compile_program(
      lambda: jitted.lower(variables, batch),
      lambda program: lambda: jax.block_until_ready(program(variables, batch)),
    )
