import numpy as np
import pytest

from facerep_jax.evaluators import linear_probe, probe_rows

RNG = np.random.default_rng(0)
# More rows than features, fewer, and more before a fifth is held out.
SHAPES = [(60, 7), (40, 90), (50, 45), (20, 1)]


@pytest.mark.parametrize("rows, width", SHAPES)
def test_ridge_equals_the_normal_equations(rows, width):
  x, y = RNG.normal(2, 3, (rows, width)), RNG.normal(size=(rows, 2))
  z = (x - x.mean(axis=0)) / x.std(axis=0)
  moments = probe_rows.Moments(x)
  np.testing.assert_allclose(moments.z, z, atol=1e-12)
  for strength in (1e-3, 10.0):
    gram = z.T @ z / rows + strength * np.eye(width)
    want = np.linalg.solve(gram, z.T @ (y - y.mean(axis=0)) / rows)
    # Float64, of a condition of 1e5 at worst.
    np.testing.assert_allclose(moments.ridge(y, strength), want, atol=1e-9)


@pytest.mark.parametrize("rows, width", SHAPES)
def test_losses_are_those_of_the_rows_held_out(rows, width):
  x, y = RNG.normal(2, 3, (rows, width)), RNG.normal(size=(rows, 2))
  held_out = np.arange(rows) % 5 == 1
  choice = probe_rows.Choice(x, held_out)
  strengths = (1e-4, 1e-1, 1e3)
  found = choice.ridge_losses(y, strengths)
  for strength, loss in zip(strengths, found):
    probe = linear_probe.ridge_at(x[~held_out], y[~held_out], strength)
    want = np.mean((probe.outputs(x[held_out]) - y[held_out]) ** 2)
    np.testing.assert_allclose(loss, want, rtol=1e-8)


@pytest.mark.parametrize("rows, width", [(50, 20), (20, 50)])
def test_a_space_keeps_products_of_rows_and_lengths_of_weights(rows, width):
  x = RNG.normal(size=(rows, width))
  x[:, 3] = 2  # A constant column stays.
  moments = probe_rows.Moments(x)
  space, z = moments.space(), moments.z
  assert space.rows.shape == (rows, min(rows, width))
  # Float32 sums of 50 numbers about 1.
  np.testing.assert_allclose(
    space.rows @ space.rows.T, z @ z.T, atol=1e-5 * width
  )
  np.testing.assert_allclose(
    space.gram, space.rows.T @ space.rows / rows, atol=1e-5
  )
  weights = space.rows.T @ RNG.normal(size=(rows, 2))
  wide = space.widen(weights)
  np.testing.assert_allclose(z @ wide, space.rows @ weights, atol=1e-3)
  np.testing.assert_allclose(
    (wide**2).sum(axis=0), (weights**2).sum(axis=0), rtol=1e-5
  )


def test_rows_serve_all_fits_alike():
  x, group = RNG.normal(size=(60, 90)).astype(np.float32), np.arange(60) // 3
  labels = np.arange(60) % 3
  y, columns = x[:, :2], (labels[:, None] == np.arange(3)).astype(int)
  rows = linear_probe.Rows(x, group)
  for fit, label in (
    (linear_probe.ridge, y),
    (linear_probe.ridge, x[:, 5:6]),
    (linear_probe.multilabel, columns),
    (lambda *args: linear_probe.logistic(*args, 3), labels),
  ):
    one, other = fit(rows, label, group), fit(x, label, group)
    assert one.strength == other.strength
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.offset, other.offset)


def test_most_bytes_are_no_less_than_what_is_kept():
  x, group = RNG.normal(size=(300, 100)), np.arange(300) // 3
  rows = linear_probe.Rows(x, group)
  linear_probe.ridge(rows, x[:, :2], group)
  linear_probe.multilabel(rows, (x[:, :2] > 0).astype(int), group)
  places = [rows, rows.whole, rows.choice, rows.choice.fitted]
  places.append(rows.choice.fitted.tridiagonal)
  kept = {id(v): v for place in places for v in vars(place).values()}
  kept = [v for v in kept.values() if isinstance(v, np.ndarray)]
  large = sum(v.nbytes for v in kept if v.size >= 1000)
  assert 0.9 * rows.most_bytes < large <= rows.most_bytes


def test_the_same_labels_are_fitted_once():
  x, group = RNG.normal(size=(60, 9)), np.arange(60) // 3
  rows, labels = linear_probe.Rows(x, group), np.arange(60) % 3
  first = linear_probe.ridge(rows, x[:, :2], group)
  assert linear_probe.ridge(rows, x[:, :2].copy(), group) is first
  assert linear_probe.ridge(rows, x[:, 1:3], group) is not first
  # The number of classes takes no part in the fit, and does in its columns.
  few, more = (linear_probe.logistic(rows, labels, group, k) for k in (3, 5))
  np.testing.assert_array_equal(more.weights[:, :3], few.weights)
  assert few.offset.shape == (3,) and np.isinf(more.offset[3:]).all()
  other = linear_probe.logistic(rows, (labels + 1) % 3, group, 3)
  np.testing.assert_allclose(other.offset[[1, 2, 0]], few.offset, atol=1e-3)


def test_rows_that_do_not_differ_tell_nothing():
  x, labels, group = np.ones((20, 30)), np.arange(20) % 2, np.arange(20) // 2
  found = linear_probe.logistic(x, labels, group, 2)
  np.testing.assert_allclose(found.weights, 0, atol=1e-6)
  np.testing.assert_allclose(found.offset[0], found.offset[1], atol=1e-6)
