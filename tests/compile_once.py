"""Runs of one process that share what is compiled for them."""

import contextlib
import functools
import json

import pytest

from facerep_jax.runs import optim, train_state
from facerep_jax.systems import base


@contextlib.contextmanager
def for_all_runs():
  """Builds a system and a step once for all runs with the same settings.

  They are pure functions, and jit remembers by the function itself what it
  traced and compiled. Not for tests that change what a function calls.
  """
  build, make = base.build, optim.make
  systems, optimizers = {}, {}

  def build_once(config):
    parts = config.system, config.get("stage"), config.dtype
    key = (*parts, json.dumps(config.model.to_dict(), sort_keys=True))
    if key not in systems:
      systems[key] = build(config)
    return systems[key]

  def make_once(recipe, num_steps, batch_size):
    # Only one schedule has an end; few recipes ask for the batch size.
    has_end = recipe.schedule == "cosine"
    key = recipe, has_end and num_steps, recipe.reference_batch and batch_size
    if key not in optimizers:
      optimizers[key] = make(recipe, num_steps, batch_size)
    return optimizers[key]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(base, "build", build_once)
    patch.setattr(optim, "make", make_once)
    patch.setattr(
      train_state,
      "make_train_step",
      functools.cache(train_state.make_train_step),
    )
    yield
