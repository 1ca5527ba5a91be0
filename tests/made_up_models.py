"""Models of every kind with made-up weights, quick to make, for tests."""

import jax
import numpy as np

from facerep_jax.inference import api
from facerep_jax.runs import stages
from facerep_jax.systems import base
from tests import tiny, tiny_face

KINDS = ("fabnet", "autoencoder", "diffusion")
_POSITIVE = ("var", "deviation")


def config(kind: str, data_path: str = "", **changes):
  """The config of one of `KINDS`."""
  if kind == "fabnet":
    return tiny.config(data_path, **changes)
  one = stages.config_of(tiny_face.staged(data_path), kind)
  return tiny.change(one, **changes)


def variables(config, seed: int = 0) -> base.Variables:
  """Random numbers, of the size that trained weights have."""
  shapes = jax.eval_shape(base.build(config).init, jax.random.key(0))
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    if path[-1].key in _POSITIVE:
      return rng.uniform(0.5, 2.0, leaf.shape).astype(np.float32)
    return rng.normal(0, 0.1, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def representation(
  kind: str, data_path: str = "", seed: int = 0, **changes
) -> api.Representation:
  """A model of step 7, on one device."""
  one = config(kind, data_path, **changes)
  found = variables(one, seed)
  return api.Representation(one, base.build(one), found, 7, jax.devices()[:1])
