"""A small autoencoder of faces, and frames for it."""

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.systems import autoencoder
from tests import tiny_face

KEY = jax.random.key(0)


def make(**changes):
  settings = tiny_face.MODEL | {"perceptual": "none"} | changes
  return autoencoder.make(dtype="float32", **settings)


def frames(rows, num_frames=1, seed=0):
  """Smooth pictures, [rows, num_frames, 64, 64, 3] uint8."""
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(0, 255, (rows, num_frames, 4, 4, 3))
  return jax.image.resize(
    jnp.asarray(coarse, jnp.float32), (rows, num_frames, 64, 64, 3), "linear"
  ).astype(jnp.uint8)


def first_frames(batch):
  """The first frame of each track, float32, [0, 1]."""
  return batch["frames"][:, 0].astype(jnp.float32) / 255


def loss_of(system, variables, batch, start=0, stop=None):
  stop = len(batch["frames"]) if stop is None else stop
  return jax.jit(system.loss_fn)(
    *(variables.params, variables.frozen, variables.model_state),
    *(batch, band(start, stop), KEY),
  )


def band(start, stop):
  """Which ranks train."""
  return {"band_start": np.int32(start), "band_stop": np.int32(stop)}
