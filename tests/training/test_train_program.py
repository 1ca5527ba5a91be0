import jax
import numpy as np
import pytest

from facerep_jax import errors, sharding
from facerep_jax.runs import curriculum, stages
from facerep_jax.systems import base
from facerep_jax.training import loop, setup, train_program
from tests import tiny, tiny_face
from tests.aot import small_config


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


def test_the_step_without_arrays_is_that_of_training(tmp_path):
  config = small_config.get_config()
  config.steps = 2
  data = tiny.write_tracks(tmp_path / "tracks")
  run, state = setup.prepare(config, tmp_path / "run", data, jax.devices()[:4])
  batch = next(loop.device_batches(run, 0))
  control = curriculum.control_scalars(run.rule, run.progress, 8)
  wanted = run.train_step.lower(state, run.frozen, batch, control)
  run.writer.close()
  run.checkpoints.close()
  mesh = sharding.mesh_of_batch(8, jax.devices()[:4])
  program = train_program.make(config, run.system, mesh)
  arguments = train_program.abstract_arguments(
    config, run.system, mesh, program.create
  )
  assert program.step.lower(*arguments).as_text() == wanted.as_text()
  assert "jax.buffer_donor" in wanted.as_text() or (
    "tf.aliasing_output" in wanted.as_text()
  )
  for known, own in zip(
    jax.tree.leaves((state, run.frozen, batch)),
    jax.tree.leaves(arguments[:3]),
    strict=True,
  ):
    assert known.shape == own.shape and known.dtype == own.dtype
    assert known.sharding.is_equivalent_to(own.sharding, known.ndim)


def test_codes_stand_in_the_place_of_frames():
  both = tiny_face.staged("")
  config = stages.config_of(both, "diffusion")
  config.data.cache_codes = True
  system = base.build(config)
  frozen = jax.eval_shape(system.init, jax.random.key(0)).frozen
  batch = train_program._abstract_batch(config, system, frozen)
  assert {name: x.shape for name, x in batch.items()} == {"codes": (1, 3, 16)}
  assert batch["codes"].dtype == np.float32
  first = stages.config_of(both, "autoencoder")
  with pytest.raises(errors.InputError, match="looks at frames"):
    first.data.cache_codes = True
    train_program._abstract_batch(first, base.build(first), {})
