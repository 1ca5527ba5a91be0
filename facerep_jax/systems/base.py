"""What the loop, the API and the benchmark know about a learning system."""

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


def is_known(system: str) -> bool:
  """Tells whether a name is that of a system, or of a module of the user's."""
  return system in NAMES or "." in system


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
    encode: (variables, images01 [N, S, S, 3], key) -> `albedo_code` and
      `depth_code` [N, D], `view` [N, 6] and `light` [N, 4] in (-1, 1), see
      `rendering.Face`; of a system that knows what a face is without its
      expression also `neutral_albedo_code` and `neutral_depth_code` [N, D].
    decode: (variables, albedo_code, depth_code) -> canonical depth [N, S, S],
      scene units, and albedo11 [N, S, S, 3].
    formation: How pictures come of these.
  """

  encode: Callable[..., dict[str, jax.Array]]
  decode: Callable[..., tuple[jax.Array, jax.Array]]
  formation: rendering.Formation


class Finding(NamedTuple):
  """What looks wrong in the values of a log line.

  Attributes:
    kind: Name of the check; findings of one kind are not repeated at once.
    text: A sentence for the user.
    is_fatal: Whether training must not go on.
  """

  kind: str
  text: str
  is_fatal: bool = False


class Resources(NamedTuple):
  """Frozen parameters that a new run reads from files.

  Attributes:
    read: () -> parameters by name, in place of those of `System.init`.
    note: What the log says of them when a run begins or goes on; may be empty.
  """

  read: Callable[[], dict[str, PyTree]] = dict
  note: str = ""


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
    represent: (variables, images01 [N, H, W, 3], key, train) -> features
      {name: [N, D]} and the new model_state; with `train` as a training step
      computes them.
    pictures: (variables, batch) -> {caption: [B, H, W, 3] float, [0, 1]}, an
      `OrderedDict`: the columns of a sheet, in their order.
    num_frames: T, frames that it needs of a track.
    size_px: H = W of what it sees.
    reconstruct: (variables, batch) -> {name: [B, H, W, 3] float, [0, 1]}:
      `target`, the system's `reconstruction` of it, and baselines. None if the
      system rebuilds no images.
    factors: (variables, images01 [N, H, W, 3]) -> what the images are made of,
      by name: maps [N, H, W], pictures [N, H, W, 3] in [0, 1], and numbers
      [N, K]. None if the system has none.
    faces: How its faces are taken apart. None if it does not.
    encode: (frozen, frames [N, H, W, 3] uint8) -> [N, K] float32, all that the
      loss sees of frames; batches may hold `codes` [B, T, K] in their place.
      None if it sees more.
    diagnose: Values of a log line -> what looks wrong in them.
  """

  init: Callable[..., Variables]
  loss_fn: Callable[..., tuple[jax.Array, tuple[PyTree, dict[str, jax.Array]]]]
  eval_fn: Callable[..., dict[str, tuple[jax.Array, jax.Array]]]
  represent: Callable[..., tuple[dict[str, jax.Array], PyTree]]
  pictures: Callable[..., dict[str, jax.Array]]
  num_frames: int
  size_px: int
  reconstruct: Callable[..., dict[str, jax.Array]] | None = None
  factors: Callable[..., dict[str, jax.Array]] | None = None
  faces: Faces | None = None
  encode: Callable[..., jax.Array] | None = None
  diagnose: Callable[[dict[str, float]], list[Finding]] = lambda values: []


def build(config: ml_collections.ConfigDict) -> System:
  """Builds the system that a config names.

  Args:
    config: A run's config; `config.model` becomes the keyword arguments of the
      system's `make`.

  Returns:
    The system.

  Raises:
    InputError: There is no such system, or no such stage of it; or the system
      refuses a setting.
  """
  return _module(config).make(dtype=config.dtype, **config.model)


def resources(config: ml_collections.ConfigDict) -> Resources:
  """Says what a system reads from files when a new run begins.

  Args:
    config: A run's config.

  Returns:
    What the function `resources` of the system's module returns, if it has one.

  Raises:
    InputError: As for `build`.
  """
  find = getattr(_module(config), "resources", None)
  if find is None:
    return Resources()
  return find(dtype=config.dtype, **config.model)


def _module(config):
  """Imports the module of a system, or of one of its stages."""
  name = config.system
  if name in NAMES:
    part = _stage(config) if name in STAGES else name
    return importlib.import_module(f"facerep_jax.systems.{part}")
  if not is_known(name):
    raise errors.InputError(
      f"config.system: expected one of {', '.join(NAMES)}, or a module of your "
      f"own such as my_package.my_system, got {name!r}."
    )
  try:
    module = importlib.import_module(name)
  except ModuleNotFoundError as error:
    raise errors.InputError(
      f"config.system: {name!r} cannot be imported ({error}). Work in the "
      "folder that holds it, or install it."
    ) from error
  if not hasattr(module, "make"):
    raise errors.InputError(
      f"config.system: {name!r} has no function make; see docs/extending.md."
    )
  return module


def _stage(config):
  """Returns the stage that a config asks for."""
  stages = STAGES[config.system]
  if config.stage not in stages:
    raise errors.InputError(
      f"config.stage: expected one of {', '.join(stages)}, got "
      f"{config.stage!r}."
    )
  return config.stage
