import numpy as np
import pytest
from sklearn import linear_model

from facerep_jax.evaluators import logistic_fit, probe_rows

RNG = np.random.default_rng(0)


def _data(rows, width, num_classes):
  """Correlated features with mean 0, [N, D] float32, and their classes."""
  x = RNG.normal(size=(rows, width)) @ RNG.normal(size=(width, width))
  noise = 3 * RNG.gumbel(size=(rows, num_classes))
  labels = np.argmax(x[:, :num_classes] + noise, axis=1)
  z = (x - x.mean(axis=0)) / x.std(axis=0)
  return z.astype(np.float32), labels


def _space(z):
  return probe_rows.Moments(z).space()


def _objective(z, labels, weights, offset, strength):
  """The mean log loss with its penalty, float64, class by class."""
  logits = z.astype(np.float64) @ weights + offset
  if weights.shape[1] == 1:
    signed = np.where(labels == 1, logits[:, 0], -logits[:, 0])
    losses = np.logaddexp(0, -signed)
  else:
    chosen = logits[np.arange(len(z)), labels]
    losses = np.logaddexp.reduce(logits, axis=1) - chosen
  return losses.mean() + strength / 2 * np.sum(weights**2)


def _sklearn(z, labels, strength):
  """scikit-learn's optimum in float64."""
  model = linear_model.LogisticRegression(
    C=1 / (strength * len(z)), tol=1e-9, max_iter=20_000
  ).fit(z.astype(np.float64), labels)
  return model.coef_.T, model.intercept_


@pytest.mark.parametrize(
  "rows, width, num_classes",
  [(400, 12, 2), (400, 12, 4), (90, 150, 3), (90, 150, 2), (150, 1800, 5)],
)
def test_the_optimum_is_that_of_sklearn(rows, width, num_classes):
  z, labels = _data(rows, width, num_classes)
  is_pair = num_classes == 2
  target = labels[:, None] == np.arange(1 if is_pair else 0, num_classes)
  fit = logistic_fit.Fit(_space(z), target, not is_pair)
  for strength in (1.0, 1e-1, 1e-2, 1e-3):
    weights, offset = fit.at(strength)
    want, want_offset = _sklearn(z, labels, strength)
    got = _objective(z, labels, weights, offset, strength)
    least = _objective(z, labels, want, want_offset, strength)
    # Nothing is below the optimum; a step of less than 1e-8 ends the search.
    assert -1e-9 < got - least < 1e-6
    if strength >= 1e-2:
      # The penalty curves the objective by the strength at least, so that a
      # gap g bounds the squared error of weights by 2 g / strength.
      np.testing.assert_allclose(weights, want, atol=5e-3)
      np.testing.assert_allclose(offset, want_offset, atol=5e-3)


def test_columns_are_fitted_as_if_alone():
  z, _ = _data(300, 10, 3)
  odds = z[:, :3] - [0.0, 1.0, 3.0]  # One half, fewer, few.
  target = odds + RNG.logistic(size=odds.shape) > 0
  assert target.sum(axis=0).min() > 5
  fit = logistic_fit.Fit(_space(z), target, is_one_class=False)
  weights, offset = fit.at(1e-2)
  for k in range(3):
    want, want_offset = _sklearn(z, target[:, k].astype(int), 1e-2)
    # As above.
    np.testing.assert_allclose(weights[:, k], want[:, 0], atol=5e-3)
    np.testing.assert_allclose(offset[k], want_offset[0], atol=5e-3)


def test_a_start_elsewhere_ends_at_the_same_optimum():
  z, labels = _data(200, 30, 3)
  target, space = labels[:, None] == np.arange(3), _space(z)
  path = logistic_fit.Fit(space, target, is_one_class=True)
  for strength in (1.0, 1e-2):
    weights, offset = path.at(strength, logistic_fit.ROUGH)
  alone, alone_offset = logistic_fit.Fit(space, target, True).at(1e-2)
  rough = _objective(z, labels, weights, offset, 1e-2)
  least = _objective(z, labels, alone, alone_offset, 1e-2)
  assert rough - least < 1e-4  # What a choice among powers of ten bears.
  fine = _objective(z, labels, *path.at(1e-2), 1e-2)
  assert abs(fine - least) < 1e-6


def test_separable_classes_end():
  z = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
  fit = logistic_fit.Fit(_space(z), z > 0, is_one_class=False)
  weights, offset = fit.at(1e-5)
  assert np.isfinite(weights).all() and weights[0, 0] > 10
  assert abs(offset[0]) < 0.1
