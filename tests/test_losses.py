import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors, losses
from facerep_jax.ops import laplacian
from tests.oracles import confidence, waves


def photometric(*arrays):
  return losses.photometric(*arrays).mean()


def perceptual(*arrays):
  return losses.perceptual(*arrays).mean()


LOSSES = (photometric, perceptual)


def _made_up(size=8, cell=1, channels=3, dtype=np.float32):
  """Predicted, target, sigma and mask of a batch of two."""
  rng = np.random.default_rng(0)
  small = (2, size // cell, size // cell)
  predicted, target = rng.uniform(-1, 1, (2, *small, channels))
  sigma = rng.uniform(0.05, 2, small)
  mask = rng.uniform(size=(2, size, size)) * (rng.random((2, size, size)) < 0.7)
  return tuple(x.astype(dtype) for x in (predicted, target, sigma, mask))


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


def test_photometric_matches_published(golden):
  reference = np.load(golden / "losses.npz")
  predicted, target = (2 * waves.images(2, 64, p) - 1 for p in (0.2, 0.5))
  got = photometric(
    predicted, target, reference["sigma"][:, 0], reference["mask"][:, 0]
  )
  # Float32 sums of 24,576 terms of size 1.
  np.testing.assert_allclose(got, reference["photometric"], rtol=1e-5)


@pytest.mark.parametrize("is_confident", [False, True])
def test_confidence_losses_match_loops(is_confident):
  *images, sigma, mask = _made_up()
  sigma = sigma if is_confident else None
  got = jax.jit(photometric)(*images, sigma, mask)
  want = confidence.photometric(*images, sigma, mask)
  # Float32 means of 384 numbers.
  np.testing.assert_allclose(got, want, rtol=1e-5)
  *features, sigma, mask = _made_up(16, 4, 5)
  sigma = sigma if is_confident else None
  got = jax.jit(perceptual)(*features, sigma, mask)
  pooled = confidence.pool(mask, 4)
  want = confidence.perceptual(*features, sigma, pooled)
  np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_confidence_losses_have_exact_gradients(loss):
  with jax.enable_x64(True):
    *arrays, mask = _made_up(dtype=np.float64)
    # Third derivatives are about 1 / 0.05^4: the step must be small.
    check_grads(lambda *x: loss(*x, mask), arrays, 1, ("rev",), eps=1e-6)


def test_best_sigma_is_the_error():
  """d/ds of sqrt(2) d / s + log s is 0 at sqrt(2) d; of the Gauss's, at d."""
  ones = np.ones((1, 4, 4, 1), np.float32)
  mask = ones[..., 0]
  for loss, best in ((photometric, 2**0.5), (perceptual, 1.0)):
    for difference in (0.1, 0.7):
      sigma = mask * np.float32(best * difference)
      slope = jax.grad(loss, 2)(ones * 0, ones * difference, sigma, mask)
      np.testing.assert_allclose(slope, 0, atol=1e-5)  # Slopes are 1 / s.
      sides = [
        loss(ones * 0, ones * difference, factor * sigma, mask)
        for factor in (0.8, 1.0, 1.25)
      ]
      assert sides[1] < min(sides[0], sides[2])


@pytest.mark.parametrize("loss", LOSSES)
def test_mask_hides_and_its_scale_does_not_matter(loss):
  predicted, target, sigma, mask = _made_up()
  mask[:, :4] = 0
  base, grads = jax.value_and_grad(loss, (0, 2))(predicted, target, sigma, mask)
  for x in grads:
    np.testing.assert_array_equal(x[:, :4], 0)
    assert np.abs(x[:, 4:]).max() > 0
  changed = predicted.copy()
  changed[:, :4] += 5
  np.testing.assert_array_equal(loss(changed, target, sigma, mask), base)
  # A power of two only moves exponents.
  np.testing.assert_array_equal(loss(predicted, target, sigma, mask / 4), base)


@pytest.mark.parametrize("loss", LOSSES)
def test_empty_mask_is_zero_with_zero_gradients(loss):
  *arrays, mask = _made_up()
  value, grads = jax.value_and_grad(loss, (0, 1, 2, 3))(*arrays, 0 * mask)
  assert value == 0
  for x in grads[:3]:
    np.testing.assert_array_equal(x, 0)
  assert np.isfinite(grads[3]).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_tiny_sigma_and_equal_images_stay_finite(loss):
  predicted, target, sigma, mask = _made_up()
  oracle = getattr(confidence, loss.__name__)
  for other, spread in ((predicted, 0 * sigma), (target, 0 * sigma + 1e-20)):
    value, grads = jax.value_and_grad(loss, (0, 2))(
      predicted, other, spread, mask
    )
    want = oracle(predicted, other, spread, mask)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert all(np.isfinite(x).all() for x in grads)


@pytest.mark.parametrize("loss", LOSSES)
def test_low_precision_is_widened(loss):
  arrays = _made_up()
  low = [jnp.asarray(x, jnp.bfloat16) for x in arrays]
  got = loss(*low)
  assert got.dtype == jnp.float32
  want = loss(*(np.asarray(x, np.float32) for x in low))
  np.testing.assert_array_equal(got, want)


def test_shapes_that_do_not_fit_are_refused():
  predicted, target, sigma, mask = _made_up()
  for loss in LOSSES:
    with pytest.raises(errors.InputError, match="of one shape"):
      loss(predicted, target[:1], sigma, mask)
    with pytest.raises(errors.InputError, match="sigma: expected"):
      loss(predicted, target, sigma[..., None], mask)
  with pytest.raises(errors.InputError, match="mask: expected"):
    losses.photometric(predicted, target, sigma, mask[:, :4])
  with pytest.raises(errors.InputError, match="multiple of 8"):
    losses.perceptual(predicted, target, sigma, mask[:, :6])


def test_band_marks_what_band_mean_averages():
  each = jnp.array([0.4, 0.1, 0.3, 0.2])
  keep = jax.jit(losses.in_band)(each, 1, 3)
  np.testing.assert_array_equal(keep, [0, 0, 1, 1])
  mean = jnp.sum(keep * each) / 2
  # One sum, ordered otherwise.
  np.testing.assert_allclose(mean, losses.band_mean(each, 1, 3), rtol=1e-6)


def test_sums_average_over_what_is_kept():
  sums = losses.Sums(jnp.array([2.0, 9.0, 0.0]), jnp.array([4.0, 3.0, 0.0]))
  np.testing.assert_array_equal(sums.each(), [0.5, 3.0, 0.0])
  assert sums.mean() == 11 / 7
  assert sums.mean(jnp.array([1.0, 0.0, 1.0])) == 0.5
  assert sums.mean(jnp.zeros(3)) == 0.0


def test_laplacian_is_the_mean_error_of_the_bands():
  predicted, target, _, mask = _made_up(size=16)
  sums = losses.laplacian(predicted, target, mask)
  total = np.zeros(2)
  for pictures in zip(
    *(
      laplacian.pyramid(jnp.asarray(x * mask[..., None]), 3)
      for x in (predicted, target)
    )
  ):
    a, b = (np.float64(x) for x in pictures)
    total += np.abs(a - b).mean((1, 2, 3))
  np.testing.assert_allclose(sums.each(), total, rtol=1e-5)
  np.testing.assert_allclose(sums.mean(), total.mean(), rtol=1e-5)
  assert losses.laplacian(target, target, mask).mean() == 0


def test_laplacian_gradient_and_shapes():
  with jax.enable_x64(True):
    predicted, target, _, mask = _made_up(size=8, dtype=np.float64)
    check_grads(
      lambda x: losses.laplacian(x, target, mask).mean(),
      (predicted,),
      1,
      modes=("rev",),
    )
  with pytest.raises(errors.InputError, match="laplacian: mask"):
    losses.laplacian(predicted, target, mask[:, :4])
