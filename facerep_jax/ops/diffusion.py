"""Noise schedules, what a denoiser predicts, and the DDIM sampler.

A clean sample x and noise n make the noisy sample sqrt(a) x + sqrt(1 - a) n
with alpha-bar a, the share of the signal: near 1 at the first step of the
schedule, near 0 at its last. The ratio a / (1 - a) is called SNR below.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors

PREDICTIONS = ("clean", "epsilon", "v")
WEIGHTINGS = ("published", "truncated", "min_snr", "uniform")
DIRECTIONS = ("published", "textbook")
SPACINGS = ("leading", "trailing")


class DDIM(NamedTuple):
  """What the sampler made.

  Attributes:
    clean: [N, D] float, the samples; the last of `states`.
    states: [num_steps, N, D] float, the samples after each step.
  """

  clean: jax.Array
  states: jax.Array


def linear_schedule(
  num_steps: int = 1000, beta_first: float = 1e-4, beta_last: float = 0.02
) -> np.ndarray:
  """Computes alpha-bar for betas that grow linearly.

  Source: DDPM (Ho, Jain, Abbeel 2020), section 4; the order of roundings is
  that of `torch.linspace` (from both ends) and `torch.cumprod` (in float64).

  Args:
    num_steps: Steps of the schedule.
    beta_first: Variance of the noise that the first step adds, in (0, 1).
    beta_last: That of the last.

  Returns:
    [num_steps] float32, falling, in (0, 1).

  Raises:
    InputError: There is no such schedule, or float32 cannot hold it.
  """
  if num_steps < 1 or not (0 < beta_first < 1 and 0 < beta_last < 1):
    raise errors.InputError(
      "linear_schedule: expected one step or more and betas between 0 and 1, "
      f"got {num_steps} steps from {beta_first} to {beta_last}."
    )
  first, last = (float(np.float32(beta)) for beta in (beta_first, beta_last))
  step = float(np.float32((last - first) / max(num_steps - 1, 1)))
  index = np.arange(num_steps)
  from_first = first + step * index
  from_last = last - step * (num_steps - 1 - index)
  beta = np.where(index < num_steps // 2, from_first, from_last)
  if num_steps == 1:
    beta[:] = first
  alpha = np.float32(1) - beta.astype(np.float32)
  alpha_bar = np.cumprod(alpha.astype(np.float64)).astype(np.float32)
  if alpha_bar[0] == 1 or alpha_bar[-1] < np.finfo(np.float32).tiny:
    raise errors.InputError(
      f"linear_schedule: {num_steps} steps with betas from {beta_first} to "
      f"{beta_last} give alpha-bar from {alpha_bar[0]} to {alpha_bar[-1]}, "
      "which float32 cannot tell from 1 or 0. Use fewer steps or other betas."
    )
  return alpha_bar


def add_noise(
  clean: jax.Array, noise: jax.Array, alpha_bar: jax.Array
) -> jax.Array:
  """Mixes clean samples and noise.

  Args:
    clean: [N, D] float.
    noise: [N, D] float, unit normal.
    alpha_bar: [N] float, the schedule at the step of each sample, [0, 1].

  Returns:
    [N, D] float, the noisy samples.
  """
  signal, spread = _amplitudes(alpha_bar)
  return signal * clean + spread * noise


def target(
  clean: jax.Array, noise: jax.Array, alpha_bar: jax.Array, kind: str
) -> jax.Array:
  """Picks what a denoiser should predict.

  Source: DDPM (Ho, Jain, Abbeel 2020) for epsilon; Progressive distillation
  (Salimans, Ho 2022), section 4, for v.

  Args:
    clean: [N, D] float.
    noise: [N, D] float, unit normal.
    alpha_bar: [N] float, (0, 1).
    kind: "clean": the clean sample; "epsilon": the noise; "v":
      sqrt(a) noise - sqrt(1 - a) clean.

  Returns:
    [N, D] float.

  Raises:
    InputError: The kind is unknown.
  """
  _check("prediction", kind, PREDICTIONS)
  if kind == "clean":
    return clean
  if kind == "epsilon":
    return noise
  signal, spread = _amplitudes(alpha_bar)
  return signal * noise - spread * clean


def to_clean(
  prediction: jax.Array, noisy: jax.Array, alpha_bar: jax.Array, kind: str
) -> jax.Array:
  """Turns a prediction into the clean sample that it implies.

  Args:
    prediction: [N, D] float, what the denoiser returned.
    noisy: [N, D] float, what it was given.
    alpha_bar: [N] float, (0, 1).
    kind: Of the prediction, as for `target`.

  Returns:
    [N, D] float.

  Raises:
    InputError: The kind is unknown.
  """
  _check("prediction", kind, PREDICTIONS)
  if kind == "clean":
    return prediction
  signal, spread = _amplitudes(alpha_bar)
  if kind == "epsilon":
    return (noisy - spread * prediction) / signal
  return signal * noisy - spread * prediction


def to_noise(
  clean: jax.Array, noisy: jax.Array, alpha_bar: jax.Array
) -> jax.Array:
  """Computes the noise that makes a clean sample the noisy one.

  Args:
    clean: [N, D] float.
    noisy: [N, D] float.
    alpha_bar: [N] float, (0, 1).

  Returns:
    [N, D] float.
  """
  signal, spread = _amplitudes(alpha_bar)
  return (noisy - signal * clean) / spread


def weight(
  alpha_bar: jax.Array, kind: str, weighting: str, gamma: float = 5.0
) -> jax.Array:
  """Weighs the squared error of what is predicted.

  With one weighting all three kinds of prediction have the same loss: for the
  same network, the squared error of epsilon is SNR times that of the clean
  sample, and that of v is SNR + 1 times.

  Source: Salimans, Ho 2022, section 4 ("truncated"); Min-SNR (Hang et al.
  2023), section 3.4 ("min_snr"); LatentFace ("published").

  Args:
    alpha_bar: [N] float, (0, 1).
    kind: Of the prediction, as for `target`.
    weighting: Factor on the squared error of the clean sample: "published"
      SNR, "truncated" max(SNR, 1), "min_snr" min(SNR, gamma), "uniform" 1.
    gamma: Limit of "min_snr".

  Returns:
    [N] float, the factor on the squared error of the predicted quantity.

  Raises:
    InputError: Kind or weighting is unknown.
  """
  _check("prediction", kind, PREDICTIONS)
  _check("weighting", weighting, WEIGHTINGS)
  snr = alpha_bar / (1 - alpha_bar)
  of_clean = {
    "published": snr,
    "truncated": jnp.maximum(snr, 1),
    "min_snr": jnp.minimum(snr, gamma),
    "uniform": jnp.ones_like(snr),
  }[weighting]
  return of_clean / {"clean": 1, "epsilon": snr, "v": snr + 1}[kind]


def timesteps(
  num_steps: int, num_train_steps: int = 1000, spacing: str = "leading"
) -> np.ndarray:
  """Picks the steps of the schedule that the sampler visits.

  "leading" ends at 0: 800, 600, 400, 200, 0 for 5 of 1000. A single step is
  at 0, where a denoiser expects hardly any noise: it hardly denoises.
  "trailing" begins at the last step, where there is nothing but noise: 999,
  799, 599, 399, 199. A single step is at 999. All distances are the same where
  `num_steps` divides `num_train_steps`; elsewhere they differ by one at most:
  666, 333, 0 for 3.

  Source: `diffusers.DDIMScheduler.set_timesteps`, "leading"; "trailing" is from
  Lin, Liu, Li, Yang, arXiv 2305.08891, section 3.3.
  Differs: "leading" takes the rounded-down distance everywhere there, and so
  starts far from the end of the schedule when it does not divide.

  Args:
    num_steps: Steps of the sampler.
    num_train_steps: Steps of the schedule.
    spacing: One of `SPACINGS`.

  Returns:
    [num_steps] int32, falling.

  Raises:
    InputError: There are not that many steps, or no such spacing.
  """
  _check("spacing", spacing, SPACINGS)
  if not 1 <= num_steps <= num_train_steps:
    raise errors.InputError(
      f"num_steps: expected 1 to {num_train_steps}, the steps of the "
      f"schedule, got {num_steps}."
    )
  steps = np.arange(num_steps) * num_train_steps // num_steps
  if spacing == "trailing":
    return (num_train_steps - 1 - steps).astype(np.int32)
  return steps[::-1].astype(np.int32)


def ddim(
  denoise: Callable[[jax.Array, jax.Array], jax.Array],
  noise: jax.Array,
  *,
  alpha_bars: np.ndarray | jax.Array,
  num_steps: int,
  prediction: str = "clean",
  direction: str = "textbook",
  spacing: str = "leading",
  clip: float = 0.0,
) -> DDIM:
  """Samples without new noise on the way.

  Each step clips the clean sample x that the prediction implies and mixes it
  with a direction d for the next step: sqrt(a_next) x + sqrt(1 - a_next) d,
  with a_next = 1 after the last.

  Source: DDIM (Song, Meng, Ermon 2021), equation 12 with sigma 0; "published":
  `diffusers.DDIMScheduler.step` as LatentFace uses it.

  Args:
    denoise: Maps noisy samples [N, D] and their steps [N] int32 to the
      prediction [N, D].
    noise: [N, D] float, unit normal.
    alpha_bars: [T] float, the schedule, (0, 1).
    num_steps: Steps of the sampler, 1 to T; see `timesteps`.
    prediction: What `denoise` predicts, as for `target`.
    direction: "textbook": the noise that makes the clipped x the noisy sample.
      "published": for clean predictions the prediction itself, unclipped, in
      the place of the noise; for the others the noise that belongs to the
      unclipped x (for epsilon: the prediction).
    spacing: Of the steps, as for `timesteps`.
    clip: Clean samples are clipped to [-clip, clip]; 0 for not at all.

  Returns:
    The samples, and those after each step.

  Raises:
    InputError: A name is unknown, or a number out of its range.
  """
  _check_sampler(prediction, direction, clip)
  steps = timesteps(num_steps, len(alpha_bars), spacing)
  here = jnp.asarray(alpha_bars)[steps]
  after = jnp.append(here[1:], 1)

  def step(noisy, now):
    t, a_here, a_after = (jnp.full(noisy.shape[:1], value) for value in now)
    output = denoise(noisy, t)
    implied = to_clean(output, noisy, a_here, prediction)
    clean = jnp.clip(implied, -clip, clip) if clip else implied
    if direction == "textbook":
      towards = to_noise(clean, noisy, a_here)
    elif prediction == "clean":
      towards = output
    else:
      towards = to_noise(implied, noisy, a_here)
    noisy = add_noise(clean, towards, a_after)
    return noisy, noisy

  return DDIM(*jax.lax.scan(step, noise, (steps, here, after)))


def _check_sampler(prediction, direction, clip):
  _check("prediction", prediction, PREDICTIONS)
  _check("direction", direction, DIRECTIONS)
  if clip < 0:
    raise errors.InputError(f"clip: expected 0 (none) or more, got {clip}.")


def _amplitudes(alpha_bar):
  """Returns sqrt(a) and sqrt(1 - a) as columns."""
  alpha_bar = alpha_bar[..., None]
  return jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar)


def _check(name, value, choices):
  if value not in choices:
    raise errors.InputError(
      f"{name}: expected {', '.join(choices)}, got {value!r}."
    )
