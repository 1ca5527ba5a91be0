"""How messages name a setting: by the full key that the user gives."""

import ml_collections

from facerep_jax import errors
from facerep_jax.systems import base

# What each stage has of its own, where there are stages.
OWN = (
  "steps",
  "batch_size",
  "ema_decay",
  "optimizer",
  "curriculum",
  "every",
  "eval_samples",
)
OWN_DATA = (
  "sample_by",
  "min_frames",
  "with_replacement",
  "use_jitter",
  "use_mirror",
  "colour_jitter",
  "cache_codes",
  "turn_ramp",
)


def of(config: ml_collections.ConfigDict, key: str) -> str:
  """Names a setting as the user gives it.

  Args:
    config: Of a run without stages, or of one stage.
    key: Of a setting in it, such as "batch_size" or "model.width".

  Returns:
    "config.KEY", or "config.STAGE.KEY" of what the stages do not share.
  """
  known = base.STAGES.get(config.system, ())
  stage = config.get("stage", "")
  if stage not in known:
    return errors.setting(key)
  for earlier in known[: known.index(stage)]:
    if f"{key}.".startswith(f"model.{earlier}."):
      return f"config.{earlier}.model" + key.removeprefix(f"model.{earlier}")
  own = [*OWN, "model", *(f"data.{name}" for name in OWN_DATA)]
  if stage != known[0]:
    own.append("init_from")
  is_own = any(f"{key}.".startswith(f"{name}.") for name in own)
  return f"config.{stage}.{key}" if is_own else errors.setting(key)
