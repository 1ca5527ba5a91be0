"""The leakage matrix of a study."""

from typing import Any

from facerep_jax import cli
from facerep_jax.evaluators import leakage, probe_tasks

NEEDED = {"track", "expression", "yaw_rad", "light", "landmarks_ndc"}


def is_possible(study: probe_tasks.Study) -> bool:
  """Tells whether a study has all that the matrix is made from."""
  kinds = {feature.kind for feature in study.table}
  return (
    len(study.divisions) == 1
    and not NEEDED - set(study.crops.labels)
    and {"random", "supervised"} <= kinds
  )


def run(study: probe_tasks.Study) -> dict[str, Any]:
  """Measures each factor in each feature of a study.

  Args:
    study: One for which `is_possible` holds.

  Returns:
    `leakage` of results.json. Random weights are the floor, the supervised
    network is the ceiling; of several features of either, the first.
  """
  crops = study.crops
  _, test = study.divisions[0]
  parts = {}
  for feature in study.table:
    values, _ = study.values(feature, 0)
    parts[feature.name] = (
      study.known(feature, 0, crops.labels),
      probe_tasks.part_of(crops.labels, values, crops.group, test),
    )
  first = {}
  for feature in study.table:
    first.setdefault(feature.kind, feature.name)
  with cli.Progress(1, "matrix", "of leakage") as bar:
    found = leakage.measure(parts, first["random"], first["supervised"])
    bar.advance(1, 1)
  return found | {"dataset": crops.source.name, "split": study.split}
