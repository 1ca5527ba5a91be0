import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facerep_jax import errors, optim

GRADS = np.random.default_rng(0).normal(size=(5, 4))


def run(**settings):
  tx = optim.make(**{"momentum": 0.9, "l2": 0.0, "clip_norm": 0.0} | settings)
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


def test_unknown_name():
  with pytest.raises(errors.InputError, match="'sgd' or 'adam', got 'lamb'"):
    run(name="lamb", learning_rate=0.1)
