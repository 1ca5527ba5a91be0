import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors
from facerep_jax.ops import diffusion
from tests.oracles import ddim as oracle

ALPHA_BARS = diffusion.linear_schedule()
NUM, DIM = len(ALPHA_BARS), 7


def _samples(dtype=np.float32):
  """A clean sample and noise for every step of the schedule."""
  rng = np.random.default_rng(0)
  clean, noise = rng.normal(size=(2, NUM, DIM)).astype(dtype)
  return clean, noise


@pytest.mark.parametrize("settings", [(1000, 1e-4, 0.02), (7, 0.3, 0.1)])
def test_schedule_matches_running_product(settings):
  got = diffusion.linear_schedule(*settings)
  assert got.dtype == np.float32 and got.shape == settings[:1]
  want = oracle.schedule(*settings)
  # 1 - beta is rounded to float32 at each of up to 1,000 steps.
  np.testing.assert_allclose(got, want, rtol=1e-5)
  assert (np.diff(got) < 0).all()


def test_schedule_of_one_step_is_its_first_beta():
  got = diffusion.linear_schedule(1, 0.25, 0.5)
  np.testing.assert_array_equal(got, np.float32([0.75]))


@pytest.mark.parametrize(
  "settings, text",
  [
    ((0,), "one step or more"),
    ((10, 0.0, 0.1), "betas between 0 and 1"),
    ((10, 0.1, 1.0), "betas between 0 and 1"),
    ((1000, 1e-9, 0.02), "float32 cannot tell from 1 or 0"),
    ((1000, 0.5, 0.5), "float32 cannot tell from 1 or 0"),
  ],
)
def test_impossible_schedules(settings, text):
  with pytest.raises(errors.InputError, match=text):
    diffusion.linear_schedule(*settings)


@pytest.mark.parametrize("kind", diffusion.PREDICTIONS)
def test_a_perfect_predictor_of_any_kind_implies_sample_and_noise(kind):
  clean, noise = _samples()
  noisy = diffusion.add_noise(clean, noise, ALPHA_BARS)
  prediction = diffusion.target(clean, noise, ALPHA_BARS, kind)
  got_clean = diffusion.to_clean(prediction, noisy, ALPHA_BARS, kind)
  got_noise = diffusion.to_noise(clean, noisy, ALPHA_BARS)
  for n, a in enumerate(map(float, ALPHA_BARS)):
    wide = np.float64(clean[n]), np.float64(noise[n])
    want_noisy = np.sqrt(a) * wide[0] + np.sqrt(1 - a) * wide[1]
    want = oracle.predict(*wide, a, kind)
    np.testing.assert_allclose(noisy[n], want_noisy, atol=1e-6)
    np.testing.assert_allclose(prediction[n], want, atol=1e-6)
    # Rounding errors are divided by sqrt(a), 0.006 at the last step, and by
    # sqrt(1 - a), 0.01 at the first.
    atol = 1e-6 / np.sqrt(a) if kind == "epsilon" else 1e-6
    np.testing.assert_allclose(got_clean[n], wide[0], atol=atol)
    np.testing.assert_allclose(
      got_noise[n], wide[1], atol=1e-6 / np.sqrt(1 - a)
    )


@pytest.mark.parametrize("kind", diffusion.PREDICTIONS)
def test_wrong_predictions_imply_what_two_equations_say(kind):
  prediction, noisy = _samples()
  got = diffusion.to_clean(prediction, noisy, ALPHA_BARS, kind)
  noise = diffusion.to_noise(np.asarray(got), noisy, ALPHA_BARS)
  for n, a in enumerate(map(float, ALPHA_BARS)):
    want = oracle.explain(
      np.float64(prediction[n]), np.float64(noisy[n]), a, kind
    )
    # Float32; noise is what is left of two sums that nearly cancel.
    np.testing.assert_allclose(got[n], want[0], rtol=1e-5, atol=1e-5)
    atol = 2e-6 * max(1, np.abs(want[0]).max()) / np.sqrt(1 - a)
    np.testing.assert_allclose(noise[n], want[1], atol=atol)


@pytest.mark.parametrize("weighting", diffusion.WEIGHTINGS)
def test_one_weighting_is_one_loss_for_all_predictions(weighting):
  """Float64: squared errors of each kind from one wrong clean sample."""
  clean, noise = _samples(np.float64)
  wrong = clean + np.random.default_rng(1).normal(size=clean.shape)
  for n, a in enumerate(map(float, ALPHA_BARS)):
    snr = a / (1 - a)
    factor = {
      "published": snr,
      "truncated": max(snr, 1),
      "min_snr": min(snr, 5),
      "uniform": 1,
    }[weighting]
    want = factor * np.square(wrong[n] - clean[n]).mean()
    noisy = np.sqrt(a) * clean[n] + np.sqrt(1 - a) * noise[n]
    wrong_noise = oracle.explain(wrong[n], noisy, a, "clean")[1]
    for kind in diffusion.PREDICTIONS:
      error = oracle.predict(wrong[n], wrong_noise, a, kind)
      error = error - oracle.predict(clean[n], noise[n], a, kind)
      got = float(_weights(kind, weighting)[n]) * np.square(error).mean()
      assert got == pytest.approx(want, rel=1e-5)  # Float32 weights.


@functools.cache
def _weights(kind, weighting):
  return np.asarray(diffusion.weight(ALPHA_BARS, kind, weighting))


def test_min_snr_takes_its_limit():
  got = diffusion.weight(ALPHA_BARS, "clean", "min_snr", gamma=2.0)
  assert got.max() == 2
  np.testing.assert_allclose(
    got[-1], ALPHA_BARS[-1] / (1 - ALPHA_BARS[-1]), rtol=1e-6
  )


def _total(clean, noise, alpha_bar, kind):
  """What `total` below adds up, by hand in float64."""
  c, n = np.float64(clean), np.float64(noise)
  a = np.float64(alpha_bar)
  s, r = np.sqrt(a)[:, None], np.sqrt(1 - a)[:, None]
  back = {
    "clean": 1.1 * c,
    "epsilon": c - 0.1 * r / s * n,
    "v": (s**2 + 1.1 * r**2) * c - 0.1 * s * r * n,
  }[kind]
  snr = a / (1 - a)
  weights = snr + np.maximum(snr, 1) + np.minimum(snr, 5) + 1
  weights = weights / {"clean": 1, "epsilon": snr, "v": snr + 1}[kind]
  return np.sum(weights[:, None] * (back + (s * c + r * n - s * back) / r))


@pytest.mark.parametrize("kind", diffusion.PREDICTIONS)
def test_right_at_both_ends_of_the_schedule(kind):
  ends = ALPHA_BARS[[0, -1]]
  clean, noise = (x[:2] for x in _samples())

  def total(clean, noise, alpha_bar):
    noisy = diffusion.add_noise(clean, noise, alpha_bar)
    out = diffusion.target(clean, noise, alpha_bar, kind)
    back = diffusion.to_clean(1.1 * out, noisy, alpha_bar, kind)
    weights = sum(
      diffusion.weight(alpha_bar, kind, weighting)
      for weighting in diffusion.WEIGHTINGS
    )
    noise = diffusion.to_noise(back, noisy, alpha_bar)
    return (weights[:, None] * (back + noise)).sum()

  arguments = clean, noise, ends
  value, grads = jax.value_and_grad(total, (0, 1, 2))(*arguments)
  want = _total(*arguments, kind)
  # Noise and its spread of 0.01 lose three of seven digits.
  np.testing.assert_allclose(value, want, rtol=2e-3)
  for k, grad in enumerate(grads):
    slopes = np.zeros(grad.shape)
    for place in np.ndindex(grad.shape):
      moved = [np.float64(x) for x in arguments]
      # Of alpha-bar, both it and what it lacks to 1 may be small.
      far = moved[k][place] * (1 - moved[k][place]) if k == 2 else 1
      step = 1e-5 * far
      moved[k][place] += step
      above = _total(*moved, kind)
      moved[k][place] -= 2 * step
      slopes[place] = (above - _total(*moved, kind)) / (2 * step)
    scale = np.abs(slopes).max(axis=-1, keepdims=True)
    np.testing.assert_allclose(grad / scale, slopes / scale, atol=5e-3)


@pytest.mark.parametrize("kind", diffusion.PREDICTIONS)
def test_gradients(kind):
  with jax.enable_x64():
    clean, noise = (x[:3] for x in _samples(np.float64))
    alpha_bar = np.array([0.9, 0.5, 0.1])

    def work(clean, noise, alpha_bar):
      noisy = diffusion.add_noise(clean, noise, alpha_bar)
      back = diffusion.to_clean(noise, noisy, alpha_bar, kind)
      return back, diffusion.to_noise(back, noisy, alpha_bar)

    check_grads(work, (clean, noise, alpha_bar), order=1)


@pytest.mark.parametrize(
  "num_steps, num_train_steps, spacing, want",
  [
    (5, 1000, "leading", [800, 600, 400, 200, 0]),
    (1, 1000, "leading", [0]),
    (2, 1000, "leading", [500, 0]),
    (3, 1000, "leading", [666, 333, 0]),
    (4, 4, "leading", [3, 2, 1, 0]),
    (3, 4, "leading", [2, 1, 0]),
    (5, 1000, "trailing", [999, 799, 599, 399, 199]),
    (1, 1000, "trailing", [999]),
    (3, 1000, "trailing", [999, 666, 333]),
    (4, 4, "trailing", [3, 2, 1, 0]),
  ],
)
def test_timesteps(num_steps, num_train_steps, spacing, want):
  got = diffusion.timesteps(num_steps, num_train_steps, spacing)
  assert got.dtype == np.int32
  np.testing.assert_array_equal(got, want)


def test_timesteps_of_any_number_are_even():
  for num_steps in range(2, 1001):
    steps = diffusion.timesteps(num_steps)
    gaps = -np.diff(steps)
    assert len(steps) == num_steps and steps[-1] == 0
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1
    # The first lies as far from the end as the others from each other.
    assert abs(1000 - steps[0] - gaps[0]) <= 1


@pytest.mark.parametrize("num_steps", [0, -1, 1001])
def test_impossible_timesteps(num_steps):
  with pytest.raises(errors.InputError, match=f"1 to 1000, .* got {num_steps}"):
    diffusion.timesteps(num_steps)
  with pytest.raises(errors.InputError, match="spacing: expected leading"):
    diffusion.timesteps(5, spacing="linspace")


_MIX = np.random.default_rng(2).normal(size=(DIM, DIM)) / DIM**0.5


def _denoise(noisy, t):
  """An arbitrary smooth function, of jax or NumPy arrays."""
  xp = np if isinstance(noisy, np.ndarray) else jnp
  mix = xp.asarray(_MIX, noisy.dtype)
  wave = xp.sin(xp.asarray(t, noisy.dtype)[..., None] / 100)
  return xp.tanh(noisy @ mix) * 1.5 + 0.5 * wave


_CASES = tuple(
  itertools.product(
    diffusion.PREDICTIONS,
    diffusion.DIRECTIONS,
    (0.0, 0.8),
    ((1, "leading"), (5, "leading"), (6, "trailing")),
  )
)


@pytest.mark.parametrize("prediction, direction, clip, steps", _CASES)
def test_ddim_matches_loop(prediction, direction, clip, steps):
  num_steps, spacing = steps
  alpha_bars = diffusion.linear_schedule(100, 1e-3, 0.05)
  noise = _samples()[1][:4]
  settings = dict(prediction=prediction, direction=direction, clip=clip)
  sample = functools.partial(
    diffusion.ddim,
    _denoise,
    alpha_bars=alpha_bars,
    num_steps=num_steps,
    spacing=spacing,
  )
  got = sample(noise, **settings)
  want = oracle.sample(
    *(_denoise, noise, alpha_bars),
    diffusion.timesteps(num_steps, 100, spacing),
    **settings,
  )
  assert got.states.shape == (num_steps, 4, DIM)
  # Float32; the noise at the first step is divided by its share, 0.03.
  np.testing.assert_allclose(got.states, want, rtol=2e-5, atol=2e-5)
  np.testing.assert_array_equal(got.clean, got.states[-1])
  jitted = jax.jit(functools.partial(sample, **settings))(noise)
  # Fused sums are rounded in another way.
  np.testing.assert_allclose(jitted.states, got.states, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", diffusion.PREDICTIONS)
@pytest.mark.parametrize("num_steps", [1, 2, 5, 50])
def test_a_perfect_denoiser_leads_to_the_clean_sample(prediction, num_steps):
  clean, noise = (x[:4] for x in _samples())
  alpha_bars = jnp.asarray(ALPHA_BARS)

  def denoise(noisy, t):
    assert t.shape == (4,) and t.dtype == jnp.int32
    true_noise = diffusion.to_noise(clean, noisy, alpha_bars[t])
    return diffusion.target(clean, true_noise, alpha_bars[t], prediction)

  settings = dict(num_steps=num_steps, prediction=prediction)
  for direction in diffusion.DIRECTIONS:
    got = diffusion.ddim(
      denoise,
      noise,
      alpha_bars=ALPHA_BARS,
      direction=direction,
      **settings,
    )
    # Float32; the true noise of the first steps is divided by 0.01.
    np.testing.assert_allclose(got.clean, clean, atol=1e-5)
  # Textbook: all states hold the noise that the first one implied.
  steps = diffusion.timesteps(num_steps)
  first = diffusion.to_noise(clean, noise, np.repeat(ALPHA_BARS[steps[0]], 4))
  for state, t in zip(got.states[:-1], steps[1:]):
    want = diffusion.add_noise(clean, first, np.repeat(ALPHA_BARS[t], 4))
    np.testing.assert_allclose(state, want, atol=1e-4)


def test_clipping_bounds_samples_of_textbook_directions():
  got = diffusion.ddim(
    lambda noisy, _: 10 * noisy,
    _samples()[1],
    alpha_bars=ALPHA_BARS,
    num_steps=5,
    clip=1.0,
  )
  assert np.abs(got.clean).max() == 1


def test_divergence_stays_visible():
  got = diffusion.ddim(
    lambda noisy, _: jnp.full_like(noisy, jnp.nan),
    _samples()[1],
    alpha_bars=ALPHA_BARS,
    num_steps=2,
    clip=1.0,
  )
  assert np.isnan(got.clean).all()


def test_unknown_names_and_numbers():
  clean, noise = _samples()
  sample = functools.partial(
    diffusion.ddim, _denoise, noise, alpha_bars=ALPHA_BARS, num_steps=5
  )
  want = "expected clean, epsilon, v, got 'x0'"
  for call in (
    lambda: diffusion.target(clean, noise, ALPHA_BARS, "x0"),
    lambda: diffusion.to_clean(clean, noise, ALPHA_BARS, "x0"),
    lambda: diffusion.weight(ALPHA_BARS, "x0", "published"),
    lambda: sample(prediction="x0"),
  ):
    with pytest.raises(errors.InputError, match=want):
      call()
  with pytest.raises(errors.InputError, match="weighting: expected published"):
    diffusion.weight(ALPHA_BARS, "v", "snr")
  with pytest.raises(errors.InputError, match="direction: .* got 'raw'"):
    sample(direction="raw")
  with pytest.raises(errors.InputError, match="clip: expected 0"):
    sample(clip=-1.0)
