import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facerep_jax import errors
from facerep_jax.runs import optim

GRADS = np.random.default_rng(0).normal(size=(5, 4))


def run(**settings):
  tx = optim.make(optim.Recipe(**settings), num_steps=len(GRADS), batch_size=1)
  params = jnp.ones(4)
  state = tx.init(params)
  # Optax's Adam mixes types when it corrects its bias.
  with jax.numpy_dtype_promotion("standard"):
    for g in GRADS:
      updates, state = tx.update(jnp.asarray(g, jnp.float32), state, params)
      params = optax.apply_updates(params, updates)
  return np.asarray(params)


def torch_sgd(lr, momentum, l2, clip):
  """The update of torch.optim.SGD, written out in float64."""
  p, buffer = np.ones(4), None
  for g in GRADS:
    if clip:
      g = g * min(1.0, clip / np.linalg.norm(g))
    g = g + l2 * p
    buffer = g if buffer is None else momentum * buffer + g
    p = p - lr * buffer
  return p


def torch_adam(lr, l2, clip):
  """The update of torch.optim.Adam, written out in float64."""
  p, m, v = np.ones(4), np.zeros(4), np.zeros(4)
  for t, g in enumerate(GRADS, 1):
    if clip:
      g = g * min(1.0, clip / np.linalg.norm(g))
    g = g + l2 * p
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    p = p - lr * step
  return p


@pytest.mark.parametrize(("l2", "clip"), [(0.0, 0.0), (0.1, 0.0), (0.1, 1.0)])
def test_updates_are_those_of_torch(l2, clip):
  # Five steps in float32 against float64.
  np.testing.assert_allclose(
    run(name="sgd", learning_rate=0.1, l2=l2, clip_norm=clip),
    torch_sgd(0.1, 0.9, l2, clip),
    rtol=1e-5,
  )
  np.testing.assert_allclose(
    run(name="adam", learning_rate=0.1, l2=l2, clip_norm=clip),
    torch_adam(0.1, l2, clip),
    rtol=1e-5,
  )


def test_clipping_by_network_limits_each_alone():
  grads = {"a": jnp.full(4, 3.0), "b": {"w": jnp.full(9, 0.1)}}
  recipe = {"momentum": 0.0, "learning_rate": 1.0, "clip_norm": 1.0}
  moved = {}
  for clip_by in ("all", "network"):
    tx = optim.make(optim.Recipe(clip_by=clip_by, **recipe), 1, 1)
    updates, _ = tx.update(grads, tx.init(grads))
    moved[clip_by] = [np.linalg.norm(x) for x in jax.tree.leaves(updates)]
  total = np.hypot(6.0, 0.3)
  # Norms in float32.
  np.testing.assert_allclose(moved["all"], [6 / total, 0.3 / total], rtol=1e-6)
  np.testing.assert_allclose(moved["network"], [1.0, 0.3], rtol=1e-6)


@pytest.mark.parametrize(
  ("schedule", "steps", "rates"),
  [
    ("constant", [0, 50, 99], [0.5, 0.5, 0.5]),
    ("cosine", [0, 50, 100, 150], [0.5, 0.3, 0.1, 0.1]),
    # Falls for 20 steps, rises for 20, and so on.
    ("cyclic_cosine", [0, 10, 20, 40, 50, 60], [0.5, 0.3, 0.1, 0.5, 0.3, 0.1]),
  ],
)
def test_learning_rate_over_the_run(schedule, steps, rates):
  recipe = optim.Recipe(
    learning_rate=0.5,
    momentum=0.0,
    schedule=schedule,
    last_rate=0.1 if schedule != "constant" else 0.0,
    cycle_steps=20,
  )
  tx = optim.make(recipe, num_steps=100, batch_size=1)
  params = jnp.zeros(1)
  state, seen = tx.init(params), []
  update = jax.jit(tx.update)
  for _ in range(max(steps) + 1):
    updates, state = update(jnp.ones(1), state)
    seen.append(-float(updates[0]))
  # Cosines in float32.
  np.testing.assert_allclose(np.array(seen)[steps], rates, rtol=1e-5)


def rates(num_steps, batch_size, **settings):
  """Learning rates of SGD without momentum, step by step."""
  recipe = optim.Recipe(momentum=0.0, **settings)
  tx = optim.make(recipe, num_steps, batch_size)
  state, seen = tx.init(jnp.zeros(1)), []
  for _ in range(num_steps):
    updates, state = tx.update(jnp.ones(1), state)
    seen.append(-float(updates[0]))
  return seen


def test_warm_up_rises_in_a_line_to_the_schedule():
  # Products and cosines in float32.
  np.testing.assert_allclose(
    rates(6, 1, learning_rate=0.8, warmup_steps=4),
    [0.2, 0.4, 0.6, 0.8, 0.8, 0.8],
    rtol=1e-6,
  )
  cosine = {"learning_rate": 0.8, "last_rate": 0.1, "schedule": "cosine"}
  plain = np.array(rates(6, 1, **cosine))
  np.testing.assert_allclose(
    rates(6, 1, **cosine, warmup_steps=4),
    plain * [0.25, 0.5, 0.75, 1, 1, 1],
    rtol=1e-6,
  )


def test_the_rate_follows_the_batch_size():
  sgd = {"learning_rate": 0.5, "reference_batch": 32}
  assert rates(1, 32, **sgd) == rates(1, 7, learning_rate=0.5) == [0.5]
  assert rates(1, 4096, **sgd) == [64.0]
  ends = {"last_rate": 0.25, "schedule": "cosine"}
  assert rates(9, 8, **sgd, **ends) == pytest.approx(
    rates(9, 1, learning_rate=0.125, last_rate=0.0625, schedule="cosine"),
    rel=1e-6,  # Float32.
  )
  adam = {"name": "adam", "learning_rate": 0.1}
  np.testing.assert_array_equal(
    run(**adam, reference_batch=4), run(**adam | {"learning_rate": 0.05})
  )


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    ({"name": "lamb"}, "one of sgd, adam, got 'lamb'"),
    ({"clip_by": "layer"}, "clip_by: expected one of all, network"),
    (
      {"schedule": "step"},
      "schedule: expected one of constant, cosine, cyclic_cosine",
    ),
    ({"learning_rate": 0.0}, "learning_rate: expected a number, more than 0"),
    ({"last_rate": 1.0}, "last_rate: expected 0 to the learning_rate 0.001"),
    ({"warmup_steps": -1}, "warmup_steps: expected a whole number from 0 to"),
    ({"cycle_steps": 0}, "cycle_steps: expected a whole number from 1 to"),
  ],
)
def test_settings_out_of_range(changes, text):
  with pytest.raises(errors.InputError, match=text):
    optim.Recipe(**changes)
