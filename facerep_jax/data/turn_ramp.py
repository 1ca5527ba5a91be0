"""Frames that are nearly frontal first, turned ones as training goes on."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from facerep_jax import errors, setting_ranges

# What a track may say of its frames, see `schema.LABELS`.
LABELS = ("yaw_rad", "pitch_rad", "frontal")
_ALL_DEG = 90.0


@dataclasses.dataclass(frozen=True)
class TurnRamp:
  """Settings: `config.data.turn_ramp`.

  Shapes and textures are learned where faces are seen from the front, and give
  turned faces something to be compared with.

  Attributes:
    first_deg: Greatest yaw and pitch of frames at first; 0 for no ramp.
    begin_step: Step up to which that holds.
    end_step: Step from which on all frames count. In between the greatest
      turn grows evenly to 90 degrees.
    frontal_first: Whether the first frame of a sample stays within `first_deg`
      all the time; the ramp is then of the others. What one frame shows from
      the front can explain the others.
    setting: Names a setting in messages; `errors.setting` by default.

  Raises:
    InputError: A setting is out of range.
  """

  first_deg: float = 0.0
  begin_step: int = 0
  end_step: int = 0
  frontal_first: bool = False
  setting: dataclasses.InitVar[Callable[[str], str] | None] = None

  def __post_init__(self, setting):
    setting = setting or errors.setting
    setting_ranges.check_fields(self, "data.turn_ramp.", setting)
    if not self.begin_step <= self.end_step:
      raise errors.InputError(
        f"{setting('data.turn_ramp')}: begin_step={self.begin_step}, "
        f"end_step={self.end_step}: expected begin_step <= end_step."
      )

  def is_on(self, step: int) -> bool:
    """Says whether some frames may not be drawn at a step."""
    return bool(self.first_deg) and (self.frontal_first or self.share(step) < 1)

  def share(self, step: int) -> float:
    """Says how far the ramp is at a step, 0 to 1; 1 where all frames count."""
    if not self.first_deg or step >= self.end_step:
      return 1.0
    span = self.end_step - self.begin_step
    return max(0, step - self.begin_step) / span if span else 0.0

  def allowed(
    self,
    labels: Mapping[str, np.ndarray],
    num_frames: int,
    step: int,
    rng: np.random.Generator,
  ) -> np.ndarray:
    """Says which frames of a track may be drawn.

    Args:
      labels: Of the track, those of `LABELS` that it has.
      num_frames: F, frames of the track.
      step: Of the training.
      rng: Where chance comes from, for tracks that only know which frames are
        frontal: of the others a share is allowed, that of the ramp.

    Returns:
      [F] bool. All of a track that knows nothing.
    """
    return self._within(labels, num_frames, self.share(step), rng)

  def frontal(
    self, labels: Mapping[str, np.ndarray], num_frames: int
  ) -> np.ndarray:
    """Says which frames of a track may come first, [F] bool."""
    return self._within(labels, num_frames, 0.0, None)

  def _within(self, labels, num_frames, share, rng):
    if share >= 1:
      return np.ones(num_frames, bool)
    if "yaw_rad" in labels:
      limit = self.first_deg + share * (_ALL_DEG - self.first_deg)
      turns = [np.abs(labels["yaw_rad"])]
      turns += [np.abs(labels[k]) for k in ("pitch_rad",) if k in labels]
      return np.degrees(np.max(turns, axis=0)) <= limit
    if "frontal" in labels:
      allowed = labels["frontal"] == 1
      return allowed | (rng.random(num_frames) < share) if share else allowed
    return np.ones(num_frames, bool)
