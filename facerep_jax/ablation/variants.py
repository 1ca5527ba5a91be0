"""Which settings of a run are changed, one at a time, to train it again."""

import dataclasses
from typing import Any

import ml_collections

from facerep_jax import errors


@dataclasses.dataclass(frozen=True)
class Variant:
  """A run with a few settings changed.

  Attributes:
    name: For the table, and of its folder.
    changes: New values by the setting's name, with dots.
    keeps: Stages that it shares with the run, whose folders are taken over.
  """

  name: str
  changes: dict[str, Any]
  keeps: tuple[str, ...] = ()


def _flat(name):
  return f"autoencoder.{name}"


# What the autoencoder is without space: one picture, made by the same networks.
_WITHOUT_3D = {
  _flat("model.image_formation"): "flat",
  _flat("model.cross_frame"): "own",
  _flat("model.weights.mirror"): 0.0,
  _flat("model.weights.depth_smoothness"): 0.0,
  _flat("model.depth_prior"): 0.0,
  _flat("model.depth_gain"): 1.0,
  "init_from": "",
}


def _second(name, **changes):
  """A change of the second stage alone."""
  named = {f"diffusion.{k.replace('__', '.')}": v for k, v in changes.items()}
  return Variant(name, named, keeps=("autoencoder",))


_FRAMES = (2, 4, 8)
_WEIGHTINGS = ("published", "truncated", "min_snr", "uniform")

VARIANTS = {
  "latentface": (
    *(_second(f"frames-{n}", model__num_frames=n) for n in _FRAMES),
    *(_second(f"weighting-{w}", model__weighting=w) for w in _WEIGHTINGS),
    _second("as-published", model__standardise=False,
            model__weighting="published", model__direction="published",
            model__spacing="leading", model__sampler_clip=1.0),
    Variant("without-3d", _WITHOUT_3D),
  ),
  "fabnet": (
    Variant("curriculum", {"curriculum.use": True}),
    Variant("no-curriculum", {"curriculum.use": False}),
    Variant("sources-2", {"model.num_sources": 2, "model.use_mask": True}),
    Variant("sources-3", {"model.num_sources": 3, "model.use_mask": True}),
  ),
}  # fmt: skip


def of(config: ml_collections.ConfigDict) -> list[Variant]:
  """Lists the variants of a run that differ from it.

  Args:
    config: Of the run, of all its stages.

  Returns:
    The variants.
  """
  return [
    variant
    for variant in VARIANTS[config.system]
    if any(_get(config, k) != v for k, v in variant.changes.items())
  ]


def changed(
  config: ml_collections.ConfigDict, variant: Variant
) -> ml_collections.ConfigDict:
  """Returns a run's config with a variant's settings.

  Raises:
    InputError: The run has no such setting.
  """
  out = ml_collections.ConfigDict(config.to_dict())
  for name, value in variant.changes.items():
    *parents, last = name.split(".")
    node = out
    for parent in parents:
      node = node[parent]
    if last not in node:
      raise errors.InputError(
        f"variant {variant.name}: the run has no setting {name}."
      )
    node[last] = value
  return out


def _get(config, name):
  for part in name.split("."):
    config = config[part]
  return config
