"""Optimisers, in the form that the published recipes mean."""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
import optax

from facerep_jax import errors, setting_ranges

SCHEDULES = ("constant", "cosine", "cyclic_cosine")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Settings: `config.optimizer`.

  Attributes:
    name: "sgd" (with momentum, as torch) or "adam" (betas 0.9 and `beta2`).
    learning_rate: Step size; the loop scales it further on plateaus.
    momentum: Of SGD; ignored by Adam.
    beta2: Of Adam, decay of the mean of the squared gradients.
    l2: Weight decay added to the gradient, not decoupled; 0 for none.
    clip_norm: Limit of the gradient's norm, before `l2`; 0 for none.
    clip_by: Whose norm that is: of "all" networks together, or of each
      "network" (each entry of the parameters) alone.
    schedule: "constant"; "cosine", which falls from `learning_rate` to
      `last_rate` over the run; or "cyclic_cosine", which swings between the
      two, each way in `cycle_steps` steps, without end.
    last_rate: Where the learning rate ends, or turns.
    cycle_steps: See `schedule`.
    warmup_steps: Steps over which the learning rate rises from almost 0, in a
      line, to what `schedule` says.
    reference_batch: Batch size that `learning_rate` and `last_rate` are meant
      for; 0: for any. With another batch size both are multiplied, of SGD by
      the ratio of the batch sizes, of Adam by its square root.
    setting: Names a setting in messages; `errors.setting` by default.

  Source: torch.optim.SGD and torch.optim.Adam; "cyclic_cosine" is
    torch.optim.lr_scheduler.CosineAnnealingLR stepped past its T_max. Warm-up
    and the ratio: Goyal et al. 2017 (arXiv 1706.02677), sections 2.1 and 2.2;
    its root: Malladi et al. 2022 (arXiv 2205.10287).

  Raises:
    InputError: A setting is out of range.
  """

  name: str = "sgd"
  learning_rate: float = 1e-3
  momentum: float = 0.9
  beta2: float = 0.999
  l2: float = 0.0
  clip_norm: float = 0.0
  clip_by: str = "all"
  schedule: str = "constant"
  last_rate: float = 0.0
  cycle_steps: int = 100
  warmup_steps: int = 0
  reference_batch: int = 0
  setting: dataclasses.InitVar[Callable[[str], str] | None] = None

  def __post_init__(self, setting):
    setting = setting or errors.setting
    for name, allowed in (
      ("name", ("sgd", "adam")),
      ("clip_by", ("all", "network")),
      ("schedule", SCHEDULES),
    ):
      if getattr(self, name) not in allowed:
        raise errors.InputError(
          f"{setting(f'optimizer.{name}')}: expected one of "
          f"{', '.join(allowed)}, got {getattr(self, name)!r}."
        )
    setting_ranges.check_fields(self, "optimizer.", setting)
    if not 0 <= self.last_rate <= self.learning_rate:
      raise errors.InputError(
        f"{setting('optimizer.last_rate')}: expected 0 to the learning_rate "
        f"{self.learning_rate}, got {self.last_rate}."
      )


def make(
  recipe: Recipe, num_steps: int, batch_size: int
) -> optax.GradientTransformation:
  """Builds an optimiser.

  Args:
    recipe: Settings.
    num_steps: Updates of the run.
    batch_size: Of a global batch.

  Returns:
    The optimiser.
  """
  recipe = _scaled(recipe, batch_size)
  parts = [_clip(recipe)] if recipe.clip_norm else []
  parts += [optax.add_decayed_weights(recipe.l2)] if recipe.l2 else []
  is_sgd = recipe.name == "sgd"
  parts.append(
    optax.trace(recipe.momentum)
    if is_sgd
    else optax.scale_by_adam(b2=recipe.beta2)
  )
  if recipe.schedule == "constant" and not recipe.warmup_steps:
    parts.append(optax.scale(-recipe.learning_rate))
  else:
    parts.append(optax.scale_by_learning_rate(_schedule(recipe, num_steps)))
  return optax.chain(*parts)


def _scaled(recipe, batch_size):
  """Returns the recipe with the learning rates of this batch size."""
  if not recipe.reference_batch:
    return recipe
  ratio = batch_size / recipe.reference_batch
  factor = ratio if recipe.name == "sgd" else math.sqrt(ratio)
  return dataclasses.replace(
    recipe,
    learning_rate=recipe.learning_rate * factor,
    last_rate=recipe.last_rate * factor,
  )


def _clip(recipe):
  limit = optax.clip_by_global_norm(recipe.clip_norm)
  if recipe.clip_by == "all":
    return limit

  def each(updates, params):
    del params
    empty = optax.EmptyState()
    return {k: limit.update(tree, empty)[0] for k, tree in updates.items()}

  return optax.stateless(each)


def _schedule(recipe, num_steps):
  """Returns step -> learning rate."""
  is_cyclic = recipe.schedule == "cyclic_cosine"
  half = recipe.cycle_steps if is_cyclic else num_steps

  def swing(step):
    if recipe.schedule == "constant":
      return recipe.learning_rate
    step = step if is_cyclic else jnp.minimum(step, float(num_steps))
    height = 0.5 * (1.0 + jnp.cos(math.pi * step / half))
    span = recipe.learning_rate - recipe.last_rate
    return recipe.last_rate + span * height

  def rate(step):
    step = jnp.asarray(step, jnp.float32)
    if not recipe.warmup_steps:
      return swing(step)
    # The first step moves the weights, too.
    risen = (step + 1.0) / recipe.warmup_steps
    return swing(step) * jnp.minimum(risen, 1.0)

  return rate
