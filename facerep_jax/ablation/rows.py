"""The rows of an ablation's table: features of a run, and parts of them."""

from collections.abc import Iterator

import jax
import numpy as np

from facerep_jax.ablation import bench
from facerep_jax.evaluators import features
from facerep_jax.inference import api
from facerep_jax.systems import base

_SAMPLER_STEPS = (1, 2, 5, 20, 100)
_PAIR = (
  ("identity", "verification", "identity code: verification, %"),
  ("expression", "expression", "expression code: expression AUC, %"),
  ("identity", "expression", "identity code: expression AUC, %"),
  ("expression", "verification", "expression code: verification, %"),
)
_ONE = (
  ("embedding", "expression", "expression AUC, %"),
  ("embedding", "yaw", "yaw, deg"),
  ("embedding", "landmarks", "landmarks, %"),
  ("embedding", "verification", "verification, %"),
)
COLUMNS = {
  "latentface": tuple(bench.Column(*x) for x in _PAIR),
  "fabnet": tuple(bench.Column(*x) for x in _ONE),
}

Row = tuple[str, dict[str, np.ndarray]]


def of_run(
  name: str, model: api.Representation, images: bench.Bench
) -> Iterator[Row]:
  """Yields the row of a run, and those of what it is made of.

  Args:
    name: Of the run.
    model: The run.
    images: What to look at.

  Yields:
    Name and features of each row. Where a run has one code alone, as FAb-Net
    has, it stands for identity and for expression.
  """
  found = features.of_model(model, images.crops.pixels)
  yield name, _complete(found)
  if "identity" not in found:
    return
  size = found["albedo_code"].shape[1]
  for part, kept in (
    ("texture", slice(None, size)),
    ("shape", slice(size, None)),
  ):
    yield (
      f"{name}: {part} alone",
      {k: found[k][:, kept] for k in ("identity", "expression")},
    )
  raw = found["raw"]
  yield f"{name}: without diffusion", {"identity": raw, "expression": raw}
  for part in ("albedo", "depth"):
    code = found[f"{part}_code"]
    yield (
      f"{name}: without diffusion, {part} alone",
      {"identity": code, "expression": code},
    )
  mean = _track_mean(raw, images.crops.labels["track"])
  yield (
    f"{name}: mean code of the track (an oracle)",
    {"identity": mean, "expression": raw - mean},
  )


def of_samplers(
  name: str, model: api.Representation, images: bench.Bench
) -> Iterator[Row]:
  """Yields rows of the same weights with other numbers of sampling steps."""
  if "sampler_steps" not in model.config.model:
    return
  for steps in _SAMPLER_STEPS:
    if steps != model.config.model.sampler_steps:
      other = with_settings(model, sampler_steps=steps)
      row = features.of_model(other, images.crops.pixels)
      yield f"{name}: {steps} sampling steps", row


def with_settings(
  model: api.Representation, **changes: object
) -> api.Representation:
  """Returns a run with other settings of `config.model` and its weights."""
  config = model.config.copy_and_resolve_references()
  config.model.update(changes)
  return api.Representation(
    config,
    base.build(config),
    model.variables,
    model.step,
    jax.local_devices(),
  )


def _complete(found):
  """Lets a run's only code stand for all that columns ask for."""
  only = found.get("embedding", found.get("raw"))
  return dict.fromkeys(("embedding", "identity", "expression"), only) | found


def _track_mean(values, track):
  """Gives every frame the mean over its track, [N, D]."""
  _, number = np.unique(track, return_inverse=True)
  sums = np.zeros((number.max() + 1, values.shape[1]))
  np.add.at(sums, number, values)
  return (sums / np.bincount(number)[:, None]).astype(np.float32)[number]
