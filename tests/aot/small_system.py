"""A system that compiles in a second, for tests of the command."""

import collections

import jax
import jax.numpy as jnp

from facerep_jax import losses
from facerep_jax.systems import base


def make(*, size_px: int, gathered: int, dtype: str) -> base.System:
  """Builds it; `gathered` rows of a batch are sorted by value."""
  del dtype

  def rows(batch):
    frames = batch["frames"]
    return frames.reshape(len(frames), -1).astype(jnp.float32) / 255

  def loss_fn(params, frozen, model_state, batch, control, key):
    del frozen, key
    x = rows(batch)
    each = jnp.mean(jnp.square(x @ params["kernel"]), axis=-1)
    if gathered:
      each = each + jnp.mean(jnp.sort(x[:, :gathered], axis=0))
    loss = losses.band_mean(each, control["band_start"], control["band_stop"])
    return loss, (model_state, {"loss": loss})

  def eval_fn(variables, batch):
    total = jnp.sum(rows(batch) @ variables.params["kernel"])
    return {"loss": (total, jnp.float32(len(batch["frames"])))}

  return base.System(
    init=lambda key: base.Variables(
      {"kernel": jax.random.normal(key, (2 * size_px * size_px * 3, 7))}, {}, {}
    ),
    loss_fn=loss_fn,
    eval_fn=eval_fn,
    represent=lambda variables, images01, key, train=False: ({}, {}),
    pictures=lambda variables, batch: collections.OrderedDict(),
    num_frames=2,
    size_px=size_px,
  )
