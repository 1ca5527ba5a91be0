"""What the loop, the API and the benchmark know about a learning system."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections

from facerep_jax import errors
from facerep_jax.faces import rendering

PyTree = Any
NAMES = ("fabnet", "latentface")
# What is learned in stages, each a module of this package: `config.stage`.
STAGES = {"latentface": ("autoencoder", "diffusion")}


class Variables(NamedTuple):
  """Arrays of a system.

  Attributes:
    params: What learns.
    model_state: What training updates without gradients (running statistics).
    frozen: Parameters that do not learn; an argument of every function.
  """

  params: PyTree
  model_state: PyTree
  frozen: PyTree


class Faces(NamedTuple):
  """Takes faces apart and puts them together: pure functions of arrays.

  Attributes:
    take_apart: (variables, images01 [N, S, S, 3], key) -> `albedo_code` and
      `depth_code` [N, D], `view` [N, 6] and `light` [N, 4] in (-1, 1), see
      `rendering.Face`; of a system that knows what a face is without its
      expression also `neutral_albedo_code` and `neutral_depth_code` [N, D].
    decode: (variables, albedo_code, depth_code) -> canonical depth [N, S, S],
      scene units, and albedo11 [N, S, S, 3].
    formation: How pictures come of these.
  """

  take_apart: Callable[..., dict[str, jax.Array]]
  decode: Callable[..., tuple[jax.Array, jax.Array]]
  formation: rendering.Formation


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """How the features of a system are measured.

  Attributes:
    joined: Features that are made of others, put behind each other, by name.
    main: The feature that a task is about, by task; in other tasks the first.
    with_mirror: Those that hold image and mirror image already.
  """

  joined: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  main: dict[str, str] = dataclasses.field(default_factory=dict)
  with_mirror: tuple[str, ...] = ()


class System(NamedTuple):
  """A learning system: pure functions of arrays.

  A batch is a dict: `frames` [B, T, H, W, 3] uint8, and in evaluation `weight`
  [B] float32, 0 for rows that only fill a batch. `control` is a dict of
  replicated scalars from the host.

  Attributes:
    init: key -> Variables.
    loss_fn: (params, frozen, model_state, batch, control, key) -> loss,
      (model_state, metrics): float32 scalars.
    eval_fn: (variables, batch) -> {name: (sum, weight)}; `loss` is among them
      and decides which checkpoint is best.
    represent: (variables, images01 [N, H, W, 3], key) -> {name: [N, D]}.
    represent_train: Likewise, as in a training step: features and the new
      model_state.
    reconstruct: (variables, batch) -> {name: [B, H, W, 3] float, [0, 1]}:
      `target`, the system's `reconstruction` of it, and baselines.
    pictures: (variables, batch) -> {caption: [B, H, W, 3] float, [0, 1]}.
    captions: Those captions in the order of the columns.
    num_frames: T, frames that it needs of a track.
    size_px: H = W of what it sees.
    factors: (variables, images01 [N, H, W, 3]) -> what the images are made of,
      by name: maps [N, H, W], pictures [N, H, W, 3] in [0, 1], and numbers
      [N, K]. None if the system has none.
    read_frozen: () -> frozen parameters, by name, that a new run reads from
      files in place of those of `init`. None if there are none.
    warnings: Values of a log line -> what looks wrong in them, a sentence
      each, whose first word says of what kind it is.
    failures: Likewise; the first one ends the run.
    notes: What the log says once, when a run begins or goes on.
    faces: How its faces are taken apart. None if it does not.
    encode: (frozen, frames [N, H, W, 3] uint8) -> [N, K] float32, all that the
      loss sees of frames; batches may hold `codes` [B, T, K] in their place.
      None if it sees more.
    evaluated: How its features are measured.
  """

  init: Callable[..., Variables]
  loss_fn: Callable[..., tuple[jax.Array, tuple[PyTree, dict[str, jax.Array]]]]
  eval_fn: Callable[..., dict[str, tuple[jax.Array, jax.Array]]]
  represent: Callable[..., dict[str, jax.Array]]
  represent_train: Callable[..., tuple[dict[str, jax.Array], PyTree]]
  reconstruct: Callable[..., dict[str, jax.Array]]
  pictures: Callable[..., dict[str, jax.Array]]
  captions: tuple[str, ...]
  num_frames: int
  size_px: int
  factors: Callable[..., dict[str, jax.Array]] | None = None
  read_frozen: Callable[[], dict[str, PyTree]] | None = None
  warnings: Callable[[dict[str, float]], list[str]] = lambda values: []
  failures: Callable[[dict[str, float]], list[str]] = lambda values: []
  notes: tuple[str, ...] = ()
  faces: Faces | None = None
  encode: Callable[..., jax.Array] | None = None
  evaluated: Evaluated = Evaluated()


def build(config: ml_collections.ConfigDict) -> System:
  """Builds the system that a config names.

  Args:
    config: A run's config; `config.model` becomes the keyword arguments of the
      system's `make`.

  Returns:
    The system.

  Raises:
    InputError: There is no such system, or no such stage of it.
  """
  if config.system not in NAMES:
    raise errors.InputError(
      f"config.system: expected one of {', '.join(NAMES)}, got "
      f"{config.system!r}."
    )
  name = _stage(config) if config.system in STAGES else config.system
  module = importlib.import_module(f"facerep_jax.systems.{name}")
  return module.make(dtype=config.dtype, **config.model)


def _stage(config):
  """Returns the stage that a config asks for."""
  stages = STAGES[config.system]
  if config.stage not in stages:
    raise errors.InputError(
      f"config.stage: expected one of {', '.join(stages)}, got "
      f"{config.stage!r}."
    )
  return config.stage
