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
    setting: Names a setting in messages; `errors.setting` by default.

  Source: torch.optim.SGD and torch.optim.Adam; "cyclic_cosine" is
    torch.optim.lr_scheduler.CosineAnnealingLR stepped past its T_max.

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


def make(recipe: Recipe, num_steps: int) -> optax.GradientTransformation:
  """Builds an optimiser.

  Args:
    recipe: Settings.
    num_steps: Updates of the run.

  Returns:
    The optimiser.
  """
  parts = [_clip(recipe)] if recipe.clip_norm else []
  parts += [optax.add_decayed_weights(recipe.l2)] if recipe.l2 else []
  is_sgd = recipe.name == "sgd"
  parts.append(
    optax.trace(recipe.momentum)
    if is_sgd
    else optax.scale_by_adam(b2=recipe.beta2)
  )
  if recipe.schedule == "constant":
    parts.append(optax.scale(-recipe.learning_rate))
  else:
    parts.append(optax.scale_by_learning_rate(_schedule(recipe, num_steps)))
  return optax.chain(*parts)


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

  def rate(step):
    step = jnp.asarray(step, jnp.float32)
    step = step if is_cyclic else jnp.minimum(step, float(num_steps))
    height = 0.5 * (1.0 + jnp.cos(math.pi * step / half))
    span = recipe.learning_rate - recipe.last_rate
    return recipe.last_rate + span * height

  return rate
