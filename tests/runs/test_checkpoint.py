import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors, sharding
from facerep_jax.runs import checkpoint, train_state
from facerep_jax.systems import base


def make_state(value, ema=True):
  params = {"layer": {"w": jnp.full((4, 2), value)}}
  return train_state.TrainState(
    step=jnp.int32(3),
    params=params,
    model_state={"mean": jnp.full(2, value)},
    opt_state=(jnp.full(2, value + 1),),
    ema=jax.tree.map(lambda x: x + 10, params) if ema else {},
    window={"sums": {"loss": jnp.float32(value)}, "count": jnp.float32(1)},
    key_data=jax.random.key_data(jax.random.key(5)),
  )


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("ema", [True, False])
def test_round_trip_onto_another_number_of_devices(tmp_path, ema):
  state = make_state(1.5, ema)
  saved = checkpoint.Checkpoints(tmp_path, keep=2)
  saved.save(3, state, {"curriculum": {"best": None}}, loss=0.5)
  saved.wait()
  mesh = sharding.make_mesh(jax.devices()[:4])
  opened = checkpoint.Checkpoints(tmp_path, keep=2)
  restored, meta = opened.restore(3, jax.eval_shape(lambda: state), mesh)
  same(state, restored)
  assert meta["curriculum"] == {"best": None}
  assert restored.params["layer"]["w"].sharding.mesh.size == 4
  wanted = jax.eval_shape(
    lambda: base.Variables(state.params, state.model_state, {})
  )
  variables, _ = opened.restore_inference(3, wanted, mesh, has_ema=ema)
  same(variables.params, state.ema if ema else state.params)


def test_metrics_of_before_are_restored_under_their_present_names(tmp_path):
  def named(*names):
    sums = {name: jnp.float32(k) for k, name in enumerate(names)}
    return make_state(1.0).replace(window={"sums": sums, "count": 1.0})

  saved = checkpoint.Checkpoints(tmp_path, keep=2)
  saved.save(1, named("loss", "num_lost", "rough_shape"), {}, loss=None)
  saved.save(2, named("loss", "num_dropped", "depth_smoothness"), {}, loss=None)
  saved.wait()
  state = named("loss", "num_dropped", "depth_smoothness")
  mesh = sharding.make_mesh(jax.devices()[:1])
  for step in (1, 2):
    restored, _ = saved.restore(step, jax.eval_shape(lambda: state), mesh)
    same(state, restored)


def test_frozen_parameters_are_saved_once(tmp_path):
  mesh = sharding.make_mesh(jax.devices()[:1])
  saved = checkpoint.Checkpoints(tmp_path, keep=1)
  saved.save_frozen({"w": jnp.ones(2)})
  saved.save_frozen({"w": jnp.zeros(2)})
  abstract = {"w": jax.ShapeDtypeStruct((2,), jnp.float32)}
  same(saved.restore_frozen(abstract, mesh), {"w": jnp.ones(2)})
  assert saved.restore_frozen({}, mesh) == {}


def test_best_and_last_without_any_are_none(tmp_path):
  saved = checkpoint.Checkpoints(tmp_path, keep=1)
  assert saved.latest() is None and saved.best() is None
  saved.save(1, make_state(1.0), {}, loss=None)
  saved.wait()
  assert saved.best() == 1  # Never evaluated: the last one.


def test_best_is_of_least_loss_and_kept_beside_the_last(tmp_path):
  saved = checkpoint.Checkpoints(tmp_path, keep=2)
  losses = {1: 0.5, 2: 0.2, 3: 0.9, 4: None}
  for step, loss in losses.items():
    saved.save(step, make_state(float(step)), {}, loss=loss)
  saved.wait()
  assert (saved.best(), saved.latest()) == (2, 4)
  kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
  assert kept == {2, 3, 4}


def test_damaged_or_foreign_checkpoints_are_refused_in_one_line(tmp_path):
  state = make_state(1.0)
  mesh = sharding.make_mesh(jax.devices()[:1])
  saved = checkpoint.Checkpoints(tmp_path, keep=5)
  saved.save(1, state, {}, loss=1.0)
  saved.save(2, state, {"format": 99}, loss=1.0)
  saved.wait()
  abstract = jax.eval_shape(lambda: state)
  with pytest.raises(errors.InputError, match="format 99, expected 1"):
    saved.restore(2, abstract, mesh)
  other = jax.eval_shape(
    lambda: state.replace(params={"layer": {"w": jnp.zeros((5, 5))}})
  )
  with pytest.raises(errors.InputError, match="cannot be restored"):
    saved.restore(1, other, mesh)
  for path in (tmp_path / "checkpoints" / "1" / "inference").rglob("*"):
    if path.is_file() and "ocdbt" in str(path):
      path.write_bytes(b"")
  with pytest.raises(errors.InputError, match="cannot be restored") as caught:
    saved.restore(1, abstract, mesh)
  assert "\n" not in str(caught.value)


def test_who_reads_alone_leaves_alone_what_is_being_written(tmp_path):
  folder = tmp_path / "checkpoints"
  assert checkpoint.Checkpoints(tmp_path, 1, is_alone=True).best() is None
  assert not folder.exists()
  saved = checkpoint.Checkpoints(tmp_path, keep=1)
  saved.save(1, make_state(1.0), {}, loss=1.0)
  saved.wait()
  unfinished = folder / "2.orbax-checkpoint-tmp-0"
  unfinished.mkdir()
  reading = checkpoint.Checkpoints(tmp_path, keep=1, is_alone=True)
  assert reading.best() == 1 and unfinished.exists()
  # Who goes on with the run removes what was left unfinished, in the
  # background, and at the latest when it saves.
  going_on = checkpoint.Checkpoints(tmp_path, keep=1)
  going_on.save(3, make_state(1.0), {}, loss=1.0)
  going_on.wait()
  assert not unfinished.exists()
