"""Settings of the representation diffusion model: `config.diffusion.model`."""

import dataclasses
from typing import Any

from facerep_jax import errors, setting_ranges
from facerep_jax.ops import diffusion

NETWORKS = ("albedo", "depth")


@dataclasses.dataclass(frozen=True)
class Settings:
  """Settings; the defaults are those of the published code.

  Attributes:
    autoencoder: Settings of the stage before, `config.autoencoder.model`.
    width: W, channels of both networks, a multiple of `num_groups`; 1024 in the
      published training code, 128 in its evaluation code.
    num_groups: Groups of their normalisation.
    num_frames: T, frames of a track over which codes are averaged.
    standardise: Whether the networks see codes with mean 0 and deviation 1 in
      each number, as measured on training frames; or as they are (published).
    prediction: What the networks predict, one of `ops.diffusion.PREDICTIONS`.
    weighting: Of the loss by noise, one of `ops.diffusion.WEIGHTINGS`.
    gamma: Limit of "min_snr".
    num_train_steps: Steps of the noise schedule.
    beta_first: Noise of its first step.
    beta_last: Noise of its last step.
    sampler_steps: Steps in which codes are denoised, 1 to `num_train_steps`.
    direction: Of these steps, one of `ops.diffusion.DIRECTIONS`.
    spacing: Of the steps, one of `ops.diffusion.SPACINGS`; published: leading.
    sampler_clip: Denoised codes are limited to this absolute value in every
      step; 0: they are not. The published code has 1.
    select_by: What decides which checkpoint is the best: "error", the distance
      of denoised codes from the mean codes of their tracks; or "verification",
      how well they tell the people of the validation part apart, see
      `ops.ranking`. The latter needs batches of at least two.
    wccn: Whether a linear map is measured on training tracks in which a
      person's frames lie close together, see `training.wccn`, and the
      feature `identity_wccn` is given. Not part of the paper.
    dtype: Compute type of the networks, "float32" or "bfloat16".

  Raises:
    InputError: A setting is out of range.
  """

  autoencoder: dict[str, Any]
  width: int = 1024
  num_groups: int = 32
  num_frames: int = 16
  standardise: bool = False
  prediction: str = "clean"
  weighting: str = "published"
  gamma: float = 5.0
  num_train_steps: int = 1000
  beta_first: float = 1e-4
  beta_last: float = 0.02
  sampler_steps: int = 5
  direction: str = "published"
  spacing: str = "leading"
  sampler_clip: float = 1.0
  select_by: str = "error"
  wccn: bool = False
  dtype: str = "float32"

  def __post_init__(self):
    for name, allowed in (
      ("prediction", diffusion.PREDICTIONS),
      ("weighting", diffusion.WEIGHTINGS),
      ("direction", diffusion.DIRECTIONS),
      ("spacing", diffusion.SPACINGS),
      ("select_by", ("error", "verification")),
    ):
      value = getattr(self, name)
      if value not in allowed:
        raise errors.InputError(
          f"config.diffusion.model.{name}: expected one of "
          f"{', '.join(allowed)}, got {value!r}."
        )
    setting_ranges.check(
      vars(self),
      setting_ranges.MODELS["diffusion"],
      lambda key: f"config.diffusion.model.{key}",
    )
    if self.sampler_steps > self.num_train_steps:
      raise errors.InputError(
        "config.diffusion.model.sampler_steps: expected 1 to "
        f"{self.num_train_steps}, got {self.sampler_steps}."
      )
    if self.width % self.num_groups:
      raise errors.InputError(
        "config.diffusion.model.width: expected a multiple of "
        f"{self.num_groups}, got {self.width}."
      )
    if not self.beta_first <= self.beta_last:
      raise errors.InputError(
        "config.diffusion.model: expected beta_first <= beta_last, got "
        f"{self.beta_first} and {self.beta_last}."
      )
