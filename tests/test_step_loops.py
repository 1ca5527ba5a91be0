"""The training step of LatentFace's first stage, on eight devices."""

import jax
import pytest

from facerep_jax import sharding
from facerep_jax.benchmarks import compiled
from facerep_jax.ops import batch_split
from facerep_jax.runs import stages
from tests import hlo_loops, tiny_face


def _text(monkeypatch):
  """Compiles the step; returns the program's text."""
  config = stages.config_of(tiny_face.lean(""), "autoencoder")
  config.batch_size = 8
  texts = []
  monkeypatch.setattr(
    compiled, "memory_bytes", lambda program: texts.append(program.as_text())
  )
  with jax.numpy_dtype_promotion("standard"):  # Optax mixes types.
    compiled.training_step(config, sharding.make_mesh())
  return texts[0]


@pytest.mark.slow
def test_devices_do_not_wait_for_each_other_in_loops(monkeypatch):
  assert not hlo_loops.collectives(_text(monkeypatch))
  monkeypatch.setattr(batch_split, "_is_split", lambda num_rows: False)
  jax.clear_caches()  # What was traced with it is known by the same name.
  assert hlo_loops.collectives(_text(monkeypatch))
