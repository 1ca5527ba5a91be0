"""Verification of people on pairs, with all features alike."""

from collections.abc import Collection
from typing import Any

import numpy as np

from facerep_jax import cli
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.evaluators import features, probe_tasks, studies, verification

# Both rules, always told apart: the second one learns from pair labels.
_RULES = (
  (
    "verification",
    verification.cosine,
    "cosine of the features of image and mirror, added; the threshold of a "
    "fold is that of the others; pixels' components are fitted to all images",
  ),
  (
    "verification_supervised",
    verification.pairs_linear,
    "logistic on |f1 - f2|, |f1 + f2|, |f1 f2|, trained with the pair labels "
    "of the other folds; pixels' components are fitted to all images",
  ),
)
TASKS = tuple(task for task, _, _ in _RULES)


def run(
  pairs: labelled_base.Pairs,
  networks: studies.Networks,
  find_face: studies.FindFace | None,
  tasks: Collection[str] = TASKS,
) -> list[dict[str, Any]]:
  """Verifies pairs with every feature.

  Args:
    pairs: Pairs of images, in folds.
    networks: What makes features.
    find_face: As for `features.crop`.
    tasks: Which of `TASKS`; others are passed over.

  Returns:
    Task entries of results.json.
  """
  crops = features.crop(pairs.images, networks.run, find_face)
  table = _features(crops, networks, find_face)
  found = []
  for task, rule, protocol in (x for x in _RULES if x[0] in tasks):
    entries = []
    ordered = probe_tasks.in_order(table, networks.main.get(task))
    with cli.Progress(len(table), "features", f"of {task}") as bar:
      for feature in ordered:
        measured = rule(
          feature.values[pairs.left],
          feature.values[pairs.right],
          pairs.same,
          pairs.fold,
          group=pairs.group,
        )
        entries.append(
          probe_tasks.entry(feature, feature.values.shape[1], measured)
        )
        bar.advance(1, len(pairs))
    num_folds = len(np.unique(pairs.fold))
    found.append(
      {
        "task": task,
        "dataset": pairs.images.name,
        "split": f"{num_folds} folds",
        "crop": pairs.images.cut,
        "protocol": protocol,
        "num_train": len(pairs) - len(pairs) // num_folds,
        "num_test": len(pairs),
        "num_people": probe_tasks.num_people(crops, np.arange(len(crops))),
        "entries": entries,
      }
    )
  return found


def _features(crops, networks, find_face):
  """Returns features of image and mirror, added where they are apart."""
  pixels = crops.pixels
  both = [pixels, np.ascontiguousarray(pixels[:, :, ::-1])]
  tables = [networks.of_run(part) for part in both]
  width = tables[0][0].values.shape[1]
  fitted = features.Pixels.fit(pixels, width)
  for table, part in zip(tables, both):
    table.append(probe_tasks.Feature(features.PIXELS, "pixels", fitted(part)))
    table.append(probe_tasks.Feature(features.HOG, "hog", features.hog(part)))
    table += networks.of_compared(
      [crops.source], part, find_face, is_mirrored=part is not pixels
    )
  return [
    one
    if one.has_mirror
    else probe_tasks.Feature(one.name, one.kind, one.values + other.values)
    for one, other in zip(*tables)
  ]
