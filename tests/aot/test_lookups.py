import jax
import jax.numpy as jnp

from facerep_jax.aot import lookups


def _count(function, *args):
  return lookups.count(jax.jit(function).lower(*args).as_text())


def test_counts_places_by_what_lies_there():
  table, wide = jnp.ones((50, 7)), jnp.ones((50, 128))
  index = jnp.arange(9)

  def step(table, wide, index):
    a = table[index], wide[index[:4]]
    b = table.at[index[:5]].add(1.0), wide.at[index[:3]].max(2.0)
    return a, b, table[:, 0].at[index[:2]].set(0.0)

  want = lookups.Counts(lookups=9, scatters=5 + 2, rows=4 + 3)
  assert _count(step, table, wide, index) == want


def test_counts_a_function_as_often_as_it_is_called_and_a_loop_once():
  inner = jax.jit(lambda x, i: x[i])

  def step(x, i):
    x = inner(x, i) + inner(x, i + 1)
    return jax.lax.fori_loop(0, x[0].astype(int), lambda _, x: x[i], x)

  got = _count(step, jnp.ones(6), jnp.arange(6))
  assert (got.lookups, got.scatters, got.loops) == (18, 0, 1)
  assert _count(lambda x: x * 2, jnp.ones(3)) == lookups.Counts()
