import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facerep_jax.runs import stages, train_state
from facerep_jax.systems import base
from tests import tiny_face


def make_system():
  """Loss (w - batch mean)^2; the noise shows which key came in."""

  def loss_fn(params, frozen, model_state, batch, control, key):
    noise = jax.random.uniform(key)
    loss = jnp.square(params["w"] - batch["x"].mean()) + frozen["c"]
    return loss, ({"n": model_state["n"] + 1.0}, {"loss": loss, "noise": noise})

  init = lambda key: base.Variables(
    {"w": jax.random.normal(key)}, {"n": jnp.zeros(())}, {"c": jnp.zeros(())}
  )
  unused = lambda *args: {}
  others = dict.fromkeys(("eval_fn", "represent", "pictures"), unused)
  return base.System(init, loss_fn, **others, num_frames=1, size_px=1)


def run(values, log_every, lr_scale=1.0, ema_decay=0.0):
  system, optimizer = make_system(), optax.sgd(0.25)
  state, frozen = train_state.create(
    system, optimizer, ("loss", "noise"), ema_decay, jax.random.key(0)
  )
  step = jax.jit(
    train_state.make_train_step(
      system, optimizer, log_every=log_every, ema_decay=ema_decay
    )
  )
  states, windows = [state], []
  for value in values:
    batch = {"x": jnp.full(4, value)}
    state, window = step(
      state, frozen, batch, {"lr_scale": np.float32(lr_scale)}
    )
    states.append(state)
    windows.append(jax.device_get(window))
  return states, windows


def test_updates_by_hand():
  states, windows = run([1.0, 2.0], log_every=10, lr_scale=0.5)
  w = float(states[0].params["w"])
  for state, value in zip(states[1:], [1.0, 2.0]):
    w -= 0.5 * 0.25 * 2 * (w - value)
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-6)
  assert states[-1].step == 2 and states[-1].model_state["n"] == 2
  w = float(states[0].params["w"])
  np.testing.assert_allclose(
    windows[0]["means"]["grad_norm"], abs(2 * (w - 1.0)), rtol=1e-6
  )


def test_windows_are_means_since_the_last_multiple():
  states, windows = run([0.0] * 7, log_every=3)
  losses = [float(s.params["w"]) ** 2 for s in states]
  for i, window in enumerate(windows):
    first = i - i % 3
    np.testing.assert_allclose(
      window["means"]["loss"], np.mean(losses[first : i + 1]), rtol=1e-5
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_first_step_that_is_not_finite_is_remembered_in_its_window(bad):
  _, windows = run([0.0, 0.0, 0.0, bad, 0.0, 0.0], log_every=2)
  # The fourth step spoils the parameters, and so all later windows.
  assert [int(w["first_bad"]) for w in windows] == [-1, -1, -1, 4, 5, 5]


def test_every_step_has_its_own_key():
  _, windows = run([0.0] * 5, log_every=1)
  noises = [float(w["means"]["noise"]) for w in windows]
  assert len(set(noises)) == 5
  _, again = run([0.0] * 5, log_every=1)
  assert noises == [float(w["means"]["noise"]) for w in again]


def test_training_and_initial_weights_have_keys_of_their_own():
  root = jax.random.key(0)
  states, windows = run([0.0, 0.0], log_every=1)
  np.testing.assert_array_equal(
    states[0].params["w"], jax.random.normal(train_state.init_key(root))
  )
  own = jax.random.wrap_key_data(states[0].key_data)
  for i, window in enumerate(windows):
    # What is drawn at a step is a function of the key and the step alone.
    noise = jax.random.uniform(jax.random.fold_in(own, i))
    np.testing.assert_array_equal(window["means"]["noise"], noise)
  for other in (root, train_state.init_key(root)):
    assert (jax.random.key_data(other) != states[0].key_data).any()


def test_moving_average_by_hand():
  states, _ = run([1.0, 2.0, 3.0], log_every=10, ema_decay=0.75)
  want = float(states[0].params["w"])
  for state in states[1:]:
    want = 0.75 * want + 0.25 * float(state.params["w"])
    np.testing.assert_allclose(state.ema["w"], want, rtol=1e-6)


def test_evaluation_uses_the_moving_average_when_there_is_one():
  states, _ = run([0.0], log_every=1)
  state = states[1]
  plain = train_state.inference_variables(state, {})
  assert plain.params["w"] == state.params["w"]
  averaged = state.replace(ema={"w": jnp.float32(3)})
  assert train_state.inference_variables(averaged, {}).params["w"] == 3


@pytest.mark.parametrize("batch_size", [1, 8])
def test_metrics_are_named_whatever_the_size_of_the_batch(batch_size):
  config = stages.config_of(tiny_face.staged(""), "diffusion")
  system = base.build(config)
  abstract = jax.eval_shape(system.init, jax.random.key(0))
  found = train_state.metric_names(system, abstract, batch_size)
  assert found == ("loss", "loss_albedo", "loss_depth")
