"""Settings and metrics that had another name, or that came later."""

from collections.abc import Mapping
from typing import Any

from facerep_jax import errors

# Last parts of names; each was that of one setting only.
SUCCESSORS = {
  "colour": "colour_jitter",
  "depth_dome": "depth_prior",
  "dome_upright": "depth_prior_upright",
  "face_from": "cross_frame",
  "render_room": "render_capacity",
  "rough_shape": "depth_smoothness",
  "same_albedo": "albedo_consistency",
  "same_shape": "shape_consistency",
  "turns": "pose_scale",
  "wave_steps": "cycle_steps",
}
# Metrics of training; a term of the loss is called as its weight is.
METRICS = {
  "num_lost": "num_dropped",
  **{
    name: SUCCESSORS[name]
    for name in ("rough_shape", "same_albedo", "same_shape")
  },
}
# Last parts of settings that came later, and what runs without them did.
ADDED = {
  "wccn": False,
  "warmup_steps": 0,
  "reference_batch": 0,
  "resize_on": "host",
  "batch_norm_groups": 1,
}
# Last parts of settings that are gone, and what all runs are like now.
REMOVED = {"others_share": 1.0}
# Values, by the present name of their setting.
_VALUES = {"schedule": {"waves": "cyclic_cosine"}}


def translated(tree: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a stored config with the present names and values.

  Args:
    tree: Of config.json, or of a file of weights; any version.

  Returns:
    A copy in the same order, without settings that are gone.

  Raises:
    InputError: Such a setting has a value with which no run can go on.
  """
  out = {}
  for old, value in tree.items():
    if old in REMOVED:
      _check_removed(old, value)
      continue
    name = SUCCESSORS.get(old, old)
    if isinstance(value, Mapping):
      out[name] = translated(value)
    else:
      known = _VALUES.get(name, {})
      out[name] = known.get(value, value) if isinstance(value, str) else value
  return out


def _check_removed(name, value):
  if value != REMOVED[name]:
    raise errors.InputError(
      f"{name}={value}: this setting is gone; only runs with "
      f"{REMOVED[name]:g} can be used. Use the version that made this one."
    )


def successor(name: str) -> str | None:
  """Returns the present name of a setting, or None where it has no other.

  Args:
    name: Joined with dots, such as "config.model.face_from".
  """
  *parents, last = name.split(".")
  if last not in SUCCESSORS:
    return None
  return ".".join((*parents, SUCCESSORS[last]))
