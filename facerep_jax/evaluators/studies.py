"""Builds what the tasks run on: crops of a labelled set and its features."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from facerep_jax.data import photos
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.evaluators import (
  feature_cache,
  feature_roles,
  features,
  probe_tasks,
  supervised,
)
from facerep_jax.inference import api
from facerep_jax.runs import stages

# Only synthetic tracks have all of these.
_BOUND_LABELS = {"landmarks_ndc", "yaw_rad", "expression", "light"}
FindFace = photos.Cutter


@dataclasses.dataclass(frozen=True)
class Networks:
  """What the features of an evaluation come from.

  Attributes:
    run: The run that is evaluated.
    compared: Other runs by name.
    recipe: How the supervised bound is trained; None: it is left out.
    only: Features of networks that are measured, where they have them; all
      without.
    cache: Where features are kept; None: they are not.
  """

  run: api.Representation
  compared: dict[str, api.Representation]
  recipe: supervised.Recipe | None
  only: tuple[str, ...] = ()
  cache: feature_cache.Cache | None = None

  @functools.cached_property
  def untrained(self) -> api.Representation:
    """The run's system with random weights."""
    return api.untrained(self.run.config)

  def models(self) -> list[tuple[str, str, api.Representation]]:
    """Returns name in tables, kind and network: the run's, random, compared."""
    found = [
      (self.run.config.system, "run", self.run),
      (features.RANDOM, "random", self.untrained),
    ]
    return found + [
      (f"{name}: {model.config.system}", "compare", model)
      for name, model in self.compared.items()
    ]

  def of_run(self, pixels: np.ndarray) -> list[probe_tasks.Feature]:
    """Returns the run's features of crops, and those of random weights."""
    own = self.run.config.system
    return self.of(self.run, pixels, own, "run") + self.of(
      self.untrained, pixels, features.RANDOM, "random"
    )

  def of(
    self, model: api.Representation, pixels: np.ndarray, name: str, kind: str
  ) -> list[probe_tasks.Feature]:
    """Returns the features of one network; see `probe_tasks.Feature`."""
    # What is trained here comes only once.
    cache = None if kind == "supervised" else self.cache
    found = features.of_model(model, pixels, self.only, cache)
    mirrored = feature_roles.WITH_MIRROR
    return [
      probe_tasks.Feature(f"{name}: {k}", kind, values, k in mirrored)
      for k, values in found.items()
    ]

  @property
  def main(self) -> dict[str, str]:
    """The run's main feature by task, as it is called in tables."""
    known = feature_roles.main(self.run.feature_names)
    own = self.run.config.system
    return {task: f"{own}: {name}" for task, name in known.items()}

  def of_compared(
    self,
    sources: Sequence[labelled_base.Labelled],
    pixels: np.ndarray,
    find_face: FindFace | None,
    is_mirrored: bool = False,
  ) -> list[probe_tasks.Feature]:
    """Returns the features of the runs beside it.

    Args:
      sources: The labelled images, in the order of the crops.
      pixels: Their crops for the run; they serve where a run's crop and size
        are the same.
      find_face: As for `features.crop`.
      is_mirrored: Whether the crops are mirrored.
    """
    table = []
    for name, model in self.compared.items():
      same = model.size_px == self.run.size_px
      seen = pixels
      if not same or model.config.data.crop != self.run.config.data.crop:
        parts = [features.crop(x, model, find_face) for x in sources]
        seen = np.concatenate([part.pixels for part in parts])
        seen = seen[:, :, ::-1] if is_mirrored else seen
      table += self.of(model, seen, f"{name}: {model.config.system}", "compare")
    return table


def build(
  parts: dict[str, labelled_base.Labelled],
  networks: Networks,
  find_face: FindFace | None,
  num_folds: int = 0,
) -> probe_tasks.Study:
  """Cuts a labelled set and computes every feature of it.

  Args:
    parts: Of the set, by split.
    networks: What makes features; the supervised bound is trained on the
      training rows of synthetic tracks.
    find_face: As for `features.crop`.
    num_folds: As for `probe_tasks.divide`.

  Returns:
    The study.

  Raises:
    InputError: An image or a label cannot be used.
  """
  cut = {k: features.crop(v, networks.run, find_face) for k, v in parts.items()}
  crops, divisions, split = probe_tasks.divide(cut, num_folds)
  table = networks.of_run(crops.pixels)
  width = table[0].values.shape[1]
  table.append(probe_tasks.Feature(features.PIXELS, "pixels", None))
  hog = features.hog(crops.pixels, networks.cache)
  table.append(probe_tasks.Feature(features.HOG, "hog", hog))
  is_bound = len(divisions) == 1 and not _BOUND_LABELS - set(crops.labels)
  if networks.recipe and is_bound:
    train = divisions[0][0]
    labels = {k: v[train] for k, v in crops.labels.items()}
    bound = supervised.train(
      stages.trainable(networks.run.config),
      crops.pixels[train],
      labels,
      networks.recipe,
    )
    name = features.SUPERVISED
    table += networks.of(bound, crops.pixels, name, "supervised")
  table += networks.of_compared(list(parts.values()), crops.pixels, find_face)
  return probe_tasks.Study(crops, divisions, split, table, width, networks.main)
