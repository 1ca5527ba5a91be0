import jax
import numpy as np
import pytest

from facerep_jax.ops import product_lookup


@pytest.mark.parametrize(
  ("num_rows", "num_picked"), [(1, 3), (2, 5), (90, 7), (8000, 4000)]
)
def test_rows_and_gradients_are_those_of_a_lookup(num_rows, num_picked):
  rng = np.random.default_rng(0)
  table = rng.normal(size=(num_rows, 5)).astype(np.float32)
  index = rng.integers(0, num_rows, num_picked).astype(np.int32)
  index[:2] = 0, num_rows - 1
  weight = rng.normal(size=(num_picked, 5)).astype(np.float32)
  np.testing.assert_array_equal(
    jax.jit(product_lookup.take)(table, index), table[index]
  )
  grad = jax.jit(
    jax.grad(lambda x: (product_lookup.take(x, index) * weight).sum())
  )(table)
  want = np.zeros((num_rows, 5))
  np.add.at(want, index, weight)
  # Float32 sums of a few numbers each.
  np.testing.assert_allclose(grad, want, atol=1e-5)


def test_parts_do_not_change_what_is_found(monkeypatch):
  monkeypatch.setattr(product_lookup, "_MOST_NUMBERS", 300)
  table = np.arange(200, dtype=np.float32).reshape(100, 2)
  index = np.arange(99, -1, -1).astype(np.int32)
  text = str(jax.make_jaxpr(product_lookup.take)(table, index))
  assert "length=7" in text  # 100 rows, 15 at a time.
  np.testing.assert_array_equal(product_lookup.take(table, index), table[::-1])
