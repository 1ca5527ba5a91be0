import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors, losses


def test_l1_per_example_matches_loop():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 3, 4, 5, 3)).astype(np.float32)
  want = [
    sum(abs(float(x) - float(y)) for x, y in zip(p.ravel(), q.ravel())) / p.size
    for p, q in zip(a, b)
  ]
  # Float32 mean of 60 numbers.
  np.testing.assert_allclose(losses.l1_per_example(a, b), want, rtol=1e-6)
  with pytest.raises(errors.InputError, match="differ"):
    losses.l1_per_example(a, b[:, :2])


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (2, 6), (0, 8), (7, 8)])
def test_band_mean_matches_sorting_by_hand(start, stop):
  values = np.array([0.8, 0.1, 0.5, 0.3, 0.9, 0.2, 0.7, 0.4], np.float32)
  chosen = sorted(values.tolist())[start:stop]
  got, grad = jax.value_and_grad(losses.band_mean)(values, start, stop)
  np.testing.assert_allclose(got, np.mean(chosen), rtol=1e-6)
  want = [1 / len(chosen) if v in chosen else 0.0 for v in values.tolist()]
  np.testing.assert_allclose(grad, want, rtol=1e-6)


def test_band_mean_gradient_and_moving_without_recompiling():
  with jax.enable_x64(True):
    values = np.array([0.8, 0.1, 0.5, 0.3])
    check_grads(lambda v: losses.band_mean(v, 1, 3), (values,), 2)
  traced = []

  def counted(values, start, stop):
    traced.append(1)
    return losses.band_mean(values, start, stop)

  fn, values = jax.jit(counted), np.arange(8, dtype=np.float32)
  for start in range(4):
    np.testing.assert_allclose(
      fn(values, np.int32(start), np.int32(start + 4)), start + 1.5
    )
  assert len(traced) == 1
