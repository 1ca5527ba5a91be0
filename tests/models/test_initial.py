import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.models import initial, layers


class Net(nn.Module):
  """Three parameters, the last of which takes more than one chunk."""

  @nn.compact
  def __call__(self, x):
    for i, shape in enumerate(((3,), (4, 5), (70, 70))):
      value = layers.parameter(
        self, f"part{i}", initial.uniform, shape, 0.5 / (i + 1)
      )
      x = x + value.sum()
    return x


def _init(key):
  first = Net().init(key, jnp.zeros(()))["params"]
  return first, Net().init(jax.random.fold_in(key, 1), jnp.zeros(()))["params"]


together = initial.drawn_together(_init)


def _by_definition(key, shape, bound):
  size = int(np.prod(shape))
  chunks = [
    jax.random.uniform(
      jax.random.fold_in(key, i), (4096,), jnp.float32, -bound, bound
    )
    for i in range(-(-size // 4096))
  ]
  return np.concatenate(chunks)[:size].reshape(shape)


@pytest.mark.parametrize("shape", [(), (7,), (4096,), (3, 4097)])
def test_values_are_chunks_of_uniform_numbers(shape):
  key = jax.random.key(5)
  got = initial.uniform(key, shape, 0.25)
  np.testing.assert_array_equal(got, _by_definition(key, shape, 0.25))
  assert got.dtype == np.float32 and np.abs(got).max() <= 0.25


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_together_equals_one_by_one(wrap):
  key = jax.random.key(2)
  want, got = _init(key), wrap(together)(key)
  jax.tree.map(np.testing.assert_array_equal, want, got)
  assert jax.eval_shape(together, key) == jax.eval_shape(_init, key)


def test_networks_may_be_called_twice():

  class Twice(nn.Module):
    def setup(self):
      self.net = Net()

    def __call__(self, x):
      return self.net(self.net(x))

  init = initial.drawn_together(lambda key: Twice().init(key, jnp.zeros(())))
  want = Twice().init(jax.random.key(1), jnp.zeros(()))
  for one in (init, jax.jit(init)):
    got = one(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_there_is_one_loop_however_many_values_there_are():
  def count(init):
    return str(jax.make_jaxpr(init)(jax.random.key(0))).count("scan[")

  assert count(together) == 1 < count(_init)


def test_functions_may_call_each_other():
  def init(key):
    return together(key), Net().init(key, jnp.zeros(()))

  want = _init(jax.random.key(2)), Net().init(jax.random.key(2), jnp.zeros(()))
  got = initial.drawn_together(init)(jax.random.key(2))
  jax.tree.map(np.testing.assert_array_equal, got, want)


def test_values_that_were_changed_are_noticed():
  def doubled(key):
    return {"value": 2 * initial.uniform(key, (3,), 1.0)}

  with pytest.raises(AssertionError, match="1 initial values were lost"):
    initial.drawn_together(doubled)(jax.random.key(0))
  # It is as if nothing had been tried.
  np.testing.assert_array_equal(
    initial.uniform(jax.random.key(0), (3,), 1.0),
    _by_definition(jax.random.key(0), (3,), 1.0),
  )


def test_functions_without_values_are_left_alone():
  assert initial.drawn_together(lambda x: x + 1)(1) == 2
