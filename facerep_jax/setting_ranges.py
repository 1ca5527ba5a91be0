"""What each number of a config, or of a command, may be: one table.

Every number has both ends, and "not a number" is never within them. What
several settings must be together is checked where they are used.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from facerep_jax import errors


class Range(NamedTuple):
  """Numbers that a setting may have.

  Attributes:
    low: The least.
    high: The greatest.
    is_whole: Whether it counts something.
    is_low_out: Whether it must be more than `low`.
    is_high_out: Whether it must be less than `high`.
  """

  low: float
  high: float
  is_whole: bool = False
  is_low_out: bool = False
  is_high_out: bool = False

  def holds(self, value: Any) -> bool:
    """Says whether a value is a number, of the right kind, in the range."""
    kinds = int if self.is_whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
      return False
    if not self.low <= value <= self.high:  # Nor is NaN.
      return False
    is_out = (self.is_low_out and value == self.low) or (
      self.is_high_out and value == self.high
    )
    return not is_out

  def __str__(self) -> str:
    low, high = f"{self.low:.10g}", f"{self.high:.10g}"
    kind = "a whole number" if self.is_whole else "a number"
    start = f"more than {low}" if self.is_low_out else f"at least {low}"
    end = f"less than {high}" if self.is_high_out else f"at most {high}"
    if self.is_low_out or self.is_high_out:
      return f"{kind}, {start} and {end}"
    return f"{kind} from {low} to {high}"


def _whole(low: int, high: int) -> Range:
  return Range(low, high, is_whole=True)


_SEED = _whole(0, 2**32 - 1)
_STEPS = _whole(0, 10**9)
_SOME_STEPS = _whole(1, 10**9)
_PEOPLE = _whole(0, 10**7)
_WIDTH = _whole(1, 4096)
_LENGTH = _whole(1, 65536)
_PX = _whole(0, 65536)
_SHARE = Range(0, 1)
_WEIGHT = Range(0, 1e6)
_RATE = Range(0, 100)

# `configuration.base`; of a run in stages, as `stages.config_of` lays it out.
RUN = {
  "seed": _SEED,
  "steps": _SOME_STEPS,
  "batch_size": _whole(1, 10**6),
  "ema_decay": Range(0, 1, is_high_out=True),
  "keep": _whole(1, 10**4),
  "profile_steps": _whole(0, 10**4),
  "eval_samples": _STEPS,
  "every.log": _SOME_STEPS,
  "every.eval": _STEPS,
  "every.eval_epochs": _SOME_STEPS,
  "every.save": _SOME_STEPS,
  "every.save_minutes": Range(0, 10**5),
  "every.pictures": _STEPS,
  "optimizer.learning_rate": Range(0, 100, is_low_out=True),
  "optimizer.momentum": Range(0, 1, is_high_out=True),
  "optimizer.beta2": Range(0, 1, is_low_out=True, is_high_out=True),
  "optimizer.l2": _RATE,
  "optimizer.clip_norm": Range(0, 1e9),
  "optimizer.last_rate": _RATE,
  "optimizer.cycle_steps": _SOME_STEPS,
  "optimizer.warmup_steps": _STEPS,
  "optimizer.reference_batch": _whole(0, 10**6),
  "curriculum.low": Range(0, 1, is_high_out=True),
  "curriculum.high": Range(0, 1, is_low_out=True),
  "curriculum.step": Range(0, 1, is_low_out=True),
  "curriculum.last_high": _SHARE,
  "curriculum.patience": _STEPS,
  "curriculum.lr_factor": Range(0, 1, is_low_out=True),
  "curriculum.lr_patience": _STEPS,
  "data.min_frames": _STEPS,
  "data.colour_jitter": _SHARE,
  "data.num_threads": _whole(0, 1024),
  "data.turn_ramp.first_deg": Range(0, 90, is_high_out=True),
  "data.turn_ramp.begin_step": _STEPS,
  "data.turn_ramp.end_step": _STEPS,
  "data.crop.frame_px": _whole(1, 65536),
  "data.crop.centre_x_px": _PX,
  "data.crop.centre_y_px": _PX,
  "data.crop.window_px": _whole(1, 65536),
  "data.crop.min_side_px": _whole(1, 65536),
  "data.crop.max_side_px": _whole(1, 65536),
  "synthetic.seed": _SEED,
  "synthetic.num_people": _PEOPLE,
  "synthetic.tracks_per_person": _whole(1, 10**4),
  "synthetic.num_frames": _whole(1, 10**6),
  "synthetic.size_px": _whole(16, 2048),
  "synthetic.pose_scale": _SHARE,
  "synthetic.expressions": _whole(0, 10**6),
}
# `config.model`, by system or stage.
MODELS = {
  "fabnet": {
    "size_px": _whole(32, 2048),
    "width": _WIDTH,
    "embed_dim": _LENGTH,
    "num_sources": _whole(1, 64),
    "batch_norm_groups": _whole(1, 10**4),
  },
  "autoencoder": {
    "size_px": _whole(64, 256),
    "width": _WIDTH,
    "num_groups": _WIDTH,
    "code_dim": _LENGTH,
    "vector_width": _WIDTH,
    "hidden_dim": _LENGTH,
    "confidence_width": _WIDTH,
    "confidence_code_dim": _LENGTH,
    "num_frames": _whole(1, 1024),
    "first_share": _SHARE,
    "view_tries": _whole(1, 1000),
    "softness_edge_px": Range(0, 1000),
    "softness_depth": Range(0, 1000),
    "render_capacity": Range(0, 1000),
    "depth_gain": Range(0, 1000),
    "depth_prior": Range(0, 1000),
    "depth_prior_upright": Range(0, 1000),
    "max_angle_deg": Range(0, 90, is_low_out=True, is_high_out=True),
    "max_shift": Range(0, 1000),
    "weights.mirror": _WEIGHT,
    "weights.perceptual": _WEIGHT,
    "weights.laplacian": _WEIGHT,
    "weights.albedo_consistency": _WEIGHT,
    "weights.shape_consistency": _WEIGHT,
    "weights.depth_smoothness": _WEIGHT,
    "weights.view_search": _WEIGHT,
  },
  "diffusion": {
    "width": _LENGTH,
    "num_groups": _WIDTH,
    "num_frames": _whole(1, 1024),
    "gamma": Range(0, 1e6, is_low_out=True),
    "num_train_steps": _whole(1, 10**6),
    "beta_first": Range(0, 1, is_low_out=True, is_high_out=True),
    "beta_last": Range(0, 1, is_low_out=True, is_high_out=True),
    "sampler_steps": _whole(1, 10**6),
    "sampler_clip": Range(0, 1e6),
  },
}
# Options of `make_tracks`; fields of `extract.Settings` and `build.Plan`.
TRACKS = {
  "size": _whole(16, 2048),
  "fps": Range(0.01, 1000),
  "chunk": _whole(2, 1024),
  "quality": _whole(1, 100),
  "seed": _SEED,
  "num_people": _whole(1, 10**7),
  "tracks_per_person": _whole(1, 10**4),
  "num_frames": _whole(1, 10**6),
  "pose_scale": _SHARE,
  "expressions": _whole(0, 10**6),
  "workers": _whole(1, 1024),
}
# Options of `embed`.
EMBED = {
  "batch_size": _whole(1, 10**6),
  "every": _whole(1, 10**9),
  "fps": TRACKS["fps"],
  "start": Range(0, 1e7),
  "stop": Range(0, 1e7, is_low_out=True),
  "same_person": Range(0, 2),
}
# Options of `explore`.
EXPLORE = {"port": _whole(0, 65535)}


def table_of(system: str, stage: str = "") -> dict[str, Range]:
  """Returns the ranges of a run of one stage, names joined with dots.

  Args:
    system: Such as "fabnet".
    stage: Of a system that learns in stages.

  Returns:
    By name, such as "optimizer.l2" and "model.width"; those of the networks of
    earlier stages as "model.STAGE.width".
  """
  table = dict(RUN)
  for name, ranges in MODELS.items():
    prefix = "model." if name == (stage or system) else f"model.{name}."
    table |= {prefix + key: value for key, value in ranges.items()}
  return table


def check(
  values: Mapping[str, Any],
  table: Mapping[str, Range],
  setting: Callable[[str], str] = errors.setting,
) -> None:
  """Checks numbers.

  Args:
    values: By name; those that the table does not name are left alone.
    table: What each may be.
    setting: Names a setting in messages.

  Raises:
    InputError: One is out of its range, or no number.
  """
  for name, value in values.items():
    if name in table and not table[name].holds(value):
      raise errors.InputError(
        f"{setting(name)}: expected {table[name]}, got {value!r}."
      )


def check_fields(
  settings: Any, start: str, setting: Callable[[str], str] = errors.setting
) -> None:
  """Checks the numbers of a dataclass of settings.

  Args:
    settings: The dataclass.
    start: Where its fields stand in `RUN`, such as "optimizer.".
    setting: As for `check`.

  Raises:
    InputError: As `check`.
  """
  values = {
    start + field.name: getattr(settings, field.name)
    for field in dataclasses.fields(settings)
  }
  check(values, RUN, setting)


def check_options(options: Any, table: Mapping[str, Range]) -> None:
  """Checks the numbers of a command line.

  Args:
    options: Namespace of argparse.
    table: What each may be, by the name there; None where it is not given.

  Raises:
    InputError: One is out of its range.
  """
  for name, value in vars(options).items():
    if value is not None and name in table and not table[name].holds(value):
      raise errors.InputError(
        f"--{name.replace('_', '-')}={value}: expected {table[name]}."
      )
