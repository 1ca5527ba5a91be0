import numpy as np
import pytest
from sklearn import linear_model

from facerep_jax import errors
from facerep_jax.evaluators import folds, linear_probe

RNG = np.random.default_rng(0)


def _normal_equations(x, y, strength):
  """Ridge by the book: weights of raw features, and the constant."""
  z = (x - x.mean(axis=0)) / x.std(axis=0)
  gram = z.T @ z / len(z) + strength * np.eye(z.shape[1])
  weights = np.linalg.inv(gram) @ (z.T @ (y - y.mean(axis=0)) / len(z))
  return (
    weights,
    lambda new: (
      (new - x.mean(axis=0)) / x.std(axis=0) @ weights + y.mean(axis=0)
    ),
  )


@pytest.mark.parametrize("rows, width", [(120, 7), (40, 90)])
def test_ridge_equals_the_normal_equations(rows, width):
  x = RNG.normal(2, 3, (rows, width))
  y = x[:, :2] - 5 + RNG.normal(size=(rows, 2))
  group = np.arange(rows) // 4
  found = linear_probe.ridge(x, y, group)
  # The choice again, one strength at a time.
  held = folds.by_group(group, 5) == 0
  losses = {}
  for k in range(-5, 5):
    predict = _normal_equations(x[~held], y[~held], 10.0**k)[1]
    losses[10.0**k] = np.mean((predict(x[held]) - y[held]) ** 2)
  assert found.strength == min(losses, key=losses.get)
  weights, predict = _normal_equations(x, y, found.strength)
  # Float64; the inverse of a matrix of condition 1e6 at worst.
  np.testing.assert_allclose(found.weights, weights, atol=1e-8)
  np.testing.assert_allclose(found.outputs(x), predict(x), atol=1e-8)


def test_a_linear_target_is_read_out_and_a_constant_feature_does_no_harm():
  x = RNG.normal(size=(200, 6))
  y = x @ RNG.normal(size=(6, 2)) + 3
  x = np.concatenate([x, np.full((200, 2), 0.1, np.float32)], axis=1)
  found = linear_probe.ridge(x[:100], y[:100], np.arange(100) // 10)
  assert found.strength == 1e-5
  # The least strength shrinks the weights by about that share.
  np.testing.assert_allclose(found.outputs(x[100:]), y[100:], atol=2e-4)


def test_noise_is_read_out_as_the_mean():
  x, y = RNG.normal(size=(300, 30)), RNG.normal(7, 1, size=(300, 1))
  found = linear_probe.ridge(x[:200], y[:200], np.arange(200))
  assert found.strength >= 1
  np.testing.assert_allclose(found.outputs(x[200:]), 7, atol=0.7)


def _classes(rows, width, num_classes, noise):
  x = RNG.normal(1, 2, (rows, width))
  logits = x @ RNG.normal(size=(width, num_classes))
  return x, np.argmax(logits + noise * RNG.gumbel(size=logits.shape), axis=1)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_logistic_is_that_of_sklearn(num_classes):
  x, labels = _classes(400, 12, num_classes, 4)
  found = linear_probe.logistic(x, labels, np.arange(400) // 4, num_classes)
  z = (x - x.mean(axis=0)) / x.std(axis=0)
  model = linear_model.LogisticRegression(
    C=1 / (found.strength * 400), tol=1e-8, max_iter=10_000
  ).fit(z, labels)
  logits = found.outputs(x)
  got = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  # Steps end at a gradient of 1e-5, in float32.
  np.testing.assert_allclose(got, model.predict_proba(z), atol=1e-3)
  assert np.mean(got.argmax(axis=1) == labels) > 1.3 / num_classes


def test_the_strength_follows_the_noise():
  x, labels = _classes(300, 40, 3, 0.01)
  clean = linear_probe.logistic(x, labels, np.arange(300), 3)
  noise = linear_probe.logistic(x, RNG.permutation(labels), np.arange(300), 3)
  assert clean.strength < 0.1 and noise.strength >= 1


def test_a_class_that_training_lacks_is_never_predicted():
  x, labels = _classes(200, 5, 3, 1)
  found = linear_probe.logistic(x, labels + labels // 2, np.arange(200), 5)
  logits = found.outputs(x)
  assert np.isneginf(logits[:, [2, 4]]).all()
  assert np.isfinite(logits[:, [0, 1, 3]]).all()
  assert np.mean(logits.argmax(axis=1) == labels + labels // 2) > 0.7


def test_multilabel_is_a_regression_per_column():
  x = RNG.normal(size=(300, 8))
  noisy = x[:, :3] + RNG.normal(size=(300, 3)) > 0.3
  constant = np.stack([np.zeros(300, bool), np.ones(300, bool)], axis=1)
  y = np.concatenate([constant, noisy], axis=1)
  found = linear_probe.multilabel(x, y, np.arange(300) // 3)
  logits = found.outputs(x)
  assert np.isneginf(logits[:, 0]).all() and np.isposinf(logits[:, 1]).all()
  z = (x - x.mean(axis=0)) / x.std(axis=0)
  for k in (2, 3, 4):
    model = linear_model.LogisticRegression(
      C=1 / (found.strength * 300), tol=1e-8
    )
    want = model.fit(z, y[:, k]).predict_proba(z)[:, 1]
    # As above.
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, k])), want, atol=1e-3)


def test_refuses_what_cannot_be_fitted():
  x, group = RNG.normal(size=(20, 3)), np.arange(20)
  with pytest.raises(errors.InputError, match="two people"):
    linear_probe.ridge(x, x, np.zeros(20))
  with pytest.raises(errors.InputError, match="targets: expected"):
    linear_probe.ridge(x, x[:5], group)
  broken = x.copy()
  broken[4, 1] = np.nan
  with pytest.raises(errors.InputError, match="features: row 4 is not finite"):
    linear_probe.ridge(broken, x, group)
  with pytest.raises(errors.InputError, match="two classes or more"):
    linear_probe.logistic(x, np.ones(20, int), group, 3)
  with pytest.raises(errors.InputError, match="expected 0 to 2, got 0 to 3"):
    linear_probe.logistic(x, np.arange(20) % 4, group, 3)
  with pytest.raises(errors.InputError, match="0 and 1 alone"):
    linear_probe.multilabel(x, x, group)
  with pytest.raises(errors.InputError, match="two classes or more"):
    linear_probe.multilabel(x, np.ones((20, 2)), group)
  fitted = linear_probe.ridge(x, x, group)
  with pytest.raises(errors.InputError, match="fitted to"):
    fitted.outputs(x[:, :2])
