"""Faces and models of faces, for tests: random weights, smooth pictures."""

import jax
import numpy as np
from PIL import Image

from facerep_jax.inference import api
from facerep_jax.runs import stages
from tests import tiny, tiny_face


def representation(**changes) -> api.Representation:
  """A model with the random weights of this config, on one device."""
  config, _ = (stage.config for stage in stages.split(tiny_face.lean("")))
  model = api.untrained(tiny.change(config, **changes))
  return api.Representation(
    model.config, model.system, model.variables, 0, jax.devices()[:1]
  )


def with_neutral(model: api.Representation) -> api.Representation:
  """The same model, with made-up codes of faces without expression.

  Some of the neutral numbers are below those of the code, some above, so that
  sums of a transfer may be negative.
  """
  faces = model.system.faces
  code_dim = model.config.model.code_dim
  factors = np.resize(np.array([0.5, 1.5], np.float32), (1, code_dim))

  def encode(variables, images01, key):
    codes = faces.encode(variables, images01, key)
    return codes | {
      f"neutral_{name}": codes[name] * factors
      for name in ("albedo_code", "depth_code")
    }

  system = model.system._replace(faces=faces._replace(encode=encode))
  return api.Representation(
    model.config, system, model.variables, 0, model.mesh.devices.ravel()
  )


def photos(count: int, size_px: int = 80, seed: int = 0) -> np.ndarray:
  """Smooth pictures, [count, size_px, size_px, 3] uint8."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (count, 5, 5, 3)).astype(np.uint8)
  return np.stack(
    [np.asarray(Image.fromarray(x).resize((size_px, size_px))) for x in coarse]
  )
