"""Optimisers, in the form that the published recipes mean."""

import optax

from facerep_jax import errors


def make(
  *,
  name: str,
  learning_rate: float,
  momentum: float,
  l2: float,
  clip_norm: float,
) -> optax.GradientTransformation:
  """Builds an optimiser.

  Args:
    name: "sgd" (with momentum, as torch) or "adam" (betas 0.9 and 0.999).
    learning_rate: Step size; the loop scales it further on plateaus.
    momentum: Of SGD; ignored by Adam.
    l2: Weight decay added to the gradient, not decoupled; 0 for none.
    clip_norm: Limit of the gradient's norm, before `l2`; 0 for none.

  Returns:
    The optimiser.

  Raises:
    InputError: The name is unknown.

  Source: torch.optim.SGD and torch.optim.Adam.
  """
  if name not in ("sgd", "adam"):
    raise errors.InputError(
      f"config.optimizer.name: expected 'sgd' or 'adam', got {name!r}."
    )
  parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
  parts += [optax.add_decayed_weights(l2)] if l2 else []
  rule = optax.trace(momentum) if name == "sgd" else optax.scale_by_adam()
  return optax.chain(*parts, rule, optax.scale(-learning_rate))
