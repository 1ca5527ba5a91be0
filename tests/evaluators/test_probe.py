import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import probe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6))
W = RNG.normal(size=(6, 2))
GROUP = np.arange(200) // 10


def test_a_linear_representation_is_read_out():
  y = X @ W + 3
  got = probe.ridge(X[:100], y[:100], GROUP[:100], X[100:])
  # The least strength, 1e-4, shrinks the weights by about that share.
  np.testing.assert_allclose(got, y[100:], atol=2e-3)
  assert probe.r2(got, y[100:]) > 0.999999


def test_noise_predicts_nothing_and_constants_do_no_harm():
  y = RNG.normal(size=(200, 1))
  noise = np.concatenate([X, np.ones((200, 3))], axis=1)
  got = probe.ridge(noise[:100], y[:100], GROUP[:100], noise[100:])
  assert np.isfinite(got).all()
  assert -0.2 < probe.r2(got, y[100:]) < 0.15


def test_r2_of_known_predictions():
  true = np.array([[1.0], [2.0], [3.0]])
  assert probe.r2(true, true) == 1
  assert probe.r2(np.full((3, 1), 2.0), true) == 0
  assert probe.r2(true[::-1], true) == -3


def test_refuses_a_single_person():
  with pytest.raises(errors.InputError, match="two people"):
    probe.ridge(X, X @ W, np.zeros(200), X)
