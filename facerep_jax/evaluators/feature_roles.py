"""Which features are joined of others, and which one each task is about.

What a feature means follows from its name, whatever system computes it.
"""

from collections.abc import Iterable, Mapping

import numpy as np

# A feature of this name is made where all of its members are there.
JOINED = {
  "raw": ("albedo_code", "depth_code"),
  "parts": ("albedo_code", "depth_code", "view", "light"),
}
# The features that a task is about; the first one that is there counts. How a
# head turns is the view; where its points are depends on its shape too. Lids
# and lips are small: FAb-Net's map keeps more of them than its code.
MAIN = {
  "pose": ("view", "embedding"),
  "landmarks": ("parts", "embedding"),
  "expression": ("fer", "spatial"),
  "expression_multilabel": ("fer", "spatial"),
  "action_units": ("fer", "spatial"),
  "verification": ("identity_wccn", "verification"),
  "verification_supervised": ("identity_wccn", "verification"),
}
# Those that hold other features of the same system.
REPEATED = ("spatial",)
# Those that hold image and mirror image already.
WITH_MIRROR = ("verification", "identity_wccn")


def joined(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
  """Returns the members of each feature that can be joined of some others."""
  there = set(names)
  return {
    name: members
    for name, members in JOINED.items()
    if there.issuperset(members)
  }


def main(names: Iterable[str]) -> dict[str, str]:
  """Returns the feature that each task is about, by task.

  Args:
    names: Of the features that there are; those that can be joined count too.

  Returns:
    None for the tasks that are about no feature in particular.
  """
  there = set(names)
  there |= joined(there).keys()
  found = {
    task: [name for name in wanted if name in there]
    for task, wanted in MAIN.items()
  }
  return {task: one[0] for task, one in found.items() if one}


def with_joined(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Adds the features that can be joined.

  Args:
    features: [N, D] by name.

  Returns:
    These, and the joined ones behind them.
  """
  return dict(features) | {
    name: np.concatenate([features[member] for member in members], axis=1)
    for name, members in joined(features).items()
  }
