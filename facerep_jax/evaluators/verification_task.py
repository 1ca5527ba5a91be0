"""Verification of people on pairs, with all features alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import cli
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.evaluators import (
  base,
  features,
  probe_tasks,
  studies,
  verification,
)


class Rule(NamedTuple):
  """How pairs are told apart.

  Attributes:
    measure: As `verification.cosine`.
    protocol: For the report.
  """

  measure: Callable[..., base.Measured]
  protocol: str


# Both rules, always told apart: the second one learns from pair labels.
RULES = {
  "verification": Rule(
    verification.cosine,
    "cosine of the features of image and mirror, added; the threshold of a "
    "fold is that of the others; pixels' components are fitted to all images",
  ),
  "verification_supervised": Rule(
    verification.pairs_linear,
    "logistic on |f1 - f2|, |f1 + f2|, |f1 f2|, trained with the pair labels "
    "of the other folds; pixels' components are fitted to all images",
  ),
}


class PairStudy(NamedTuple):
  """Pairs of images with the features of the images.

  Attributes:
    pairs: Pairs, in folds.
    crops: Their images.
    table: The features, of image and mirror image together; the run's first.
    main: The feature that a task is about, by task.
  """

  pairs: labelled_base.Pairs
  crops: features.Crops
  table: list[probe_tasks.Feature]
  main: dict[str, str]


def build(
  pairs: labelled_base.Pairs,
  networks: studies.Networks,
  find_face: studies.FindFace | None,
) -> PairStudy:
  """Cuts the images of pairs and computes every feature of them.

  Args:
    pairs: Pairs of images, in folds.
    networks: What makes features.
    find_face: As for `features.crop`.

  Returns:
    The study.

  Raises:
    InputError: An image cannot be used.
  """
  crops = features.crop(pairs.images, networks.run, find_face)
  table = _features(crops, networks, find_face)
  return PairStudy(pairs, crops, table, networks.main)


def run(study: PairStudy, task: str) -> dict[str, Any]:
  """Verifies pairs by one rule, with every feature.

  Args:
    study: Pairs and features.
    task: Key of `RULES`.

  Returns:
    The task's entry of results.json.

  Raises:
    InputError: The folds of the pairs cannot be used.
  """
  pairs, rule, entries = study.pairs, RULES[task], []
  with cli.Progress(len(study.table), "features", f"of {task}") as bar:
    for feature in probe_tasks.in_order(study.table, study.main.get(task)):
      measured = rule.measure(
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
  images = np.arange(len(study.crops))
  return {
    "task": task,
    "dataset": pairs.images.name,
    "split": f"{num_folds} folds",
    "crop": pairs.images.cut,
    "protocol": rule.protocol,
    "num_train": len(pairs) - len(pairs) // num_folds,
    "num_test": len(pairs),
    "num_people": probe_tasks.num_people(study.crops, images),
    "entries": entries,
  }


def _features(crops, networks, find_face):
  """Returns features of image and mirror, added where they are apart."""
  pixels = crops.pixels
  both = [pixels, np.ascontiguousarray(pixels[:, :, ::-1])]
  tables = [networks.of_run(part) for part in both]
  width = tables[0][0].values.shape[1]
  fitted = features.Pixels.fit(pixels, width)
  for table, part in zip(tables, both):
    table.append(probe_tasks.Feature(features.PIXELS, "pixels", fitted(part)))
    hog = features.hog(part, networks.cache)
    table.append(probe_tasks.Feature(features.HOG, "hog", hog))
    table += networks.of_compared(
      [crops.source], part, find_face, is_mirrored=part is not pixels
    )
  return [
    one
    if one.has_mirror
    else probe_tasks.Feature(one.name, one.kind, one.values + other.values)
    for one, other in zip(*tables)
  ]
