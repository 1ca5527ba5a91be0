"""Which losses of a batch train, and when the learning rate drops.

The batch is sorted by loss, easiest first, and a window of ranks trains. When
the validation loss stops improving the window moves to harder examples, up to a
last place; after that the learning rate drops instead.

Source: arXiv 1808.06882, section 3.3, and the authors' published script.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from facerep_jax import errors, setting_ranges

# torch's ReduceLROnPlateau counts as an improvement what is smaller by more
# than this share.
_PLATEAU_THRESHOLD = 1e-4


@dataclasses.dataclass(frozen=True)
class Rule:
  """Settings.

  Attributes:
    use: Whether there is a window; without, all ranks train and the learning
      rate drops on plateaus from the start.
    low: Lower end of the first window, as a share of the batch.
    high: Its upper end.
    step: By how much both ends move.
    last_high: No move once the upper end is at least this.
    patience: The window moves after more than this many evaluations without
      improvement.
    lr_factor: By how much the learning rate drops.
    lr_patience: It drops after more than this many bad evaluations.
    lr_counting: "evaluations", or "published": the plateau is only looked at
      when `patience` runs out, as the published script does.
    setting: Names a setting in messages; `errors.setting` by default.
  """

  use: bool = True
  low: float = 0.0
  high: float = 0.5
  step: float = 0.1
  last_high: float = 0.85
  patience: int = 15
  lr_factor: float = 0.1
  lr_patience: int = 10
  lr_counting: str = "evaluations"
  setting: dataclasses.InitVar[Callable[[str], str] | None] = None

  def __post_init__(self, setting):
    setting = setting or errors.setting
    setting_ranges.check_fields(self, "curriculum.", setting)
    if not self.low < self.high:
      raise errors.InputError(
        f"{setting('curriculum')}: expected low < high, got low={self.low}, "
        f"high={self.high}."
      )
    if self.lr_counting not in ("evaluations", "published"):
      raise errors.InputError(
        f"{setting('curriculum.lr_counting')}: expected 'evaluations' or "
        f"'published', got {self.lr_counting!r}."
      )


@dataclasses.dataclass(frozen=True)
class State:
  """Where the curriculum stands; plain numbers, saved as JSON.

  Attributes:
    num_moves: How often the window moved.
    best: Least validation loss so far, None before the first.
    num_bad: Evaluations since it improved, or since the last move.
    lr_num_drops: How often the learning rate dropped.
    lr_best: Least validation loss that the plateau rule saw.
    lr_num_bad: Its count since that improved.
  """

  num_moves: int = 0
  best: float | None = None
  num_bad: int = 0
  lr_num_drops: int = 0
  lr_best: float | None = None
  lr_num_bad: int = 0


def window(rule: Rule, state: State) -> tuple[float, float]:
  """Returns the ends of the window as shares of the batch."""
  if not rule.use:
    return 0.0, 1.0
  # Rounded so that 0.5 + 3 steps of 0.1 is 0.8 and not a little less.
  shift = state.num_moves * rule.step
  low, high = round(rule.low + shift, 9), round(rule.high + shift, 9)
  return low, min(high, 1.0)


def band(
  rule: Rule,
  state: State,
  batch_size: int,
  setting: Callable[[str], str] = errors.setting,
) -> tuple[int, int]:
  """Turns the window into ranks.

  Args:
    rule: Settings.
    state: Where the curriculum stands.
    batch_size: Rows of the global batch.
    setting: Names a setting in messages.

  Returns:
    First rank that trains, and the first after it that does not.

  Raises:
    InputError: The batch is too small for the window to hold a rank.
  """
  low, high = window(rule, state)
  start, stop = int(low * batch_size + 1e-6), int(high * batch_size + 1e-6)
  if start >= stop:
    raise errors.InputError(
      f"{setting('batch_size')}={batch_size} is too small for the curriculum "
      f"window {low}..{high}: no example would train. Use at least "
      f"{int(-(-1 // (high - low)))}, or {setting('curriculum.use')}=False."
    )
  return start, stop


def lr_scale(rule: Rule, state: State) -> float:
  """Returns the factor on the learning rate."""
  return rule.lr_factor**state.lr_num_drops


def update(rule: Rule, state: State, loss: float) -> State:
  """Takes the result of one evaluation into account.

  Args:
    rule: Settings.
    state: Where the curriculum stands.
    loss: Validation loss over all ranks.

  Returns:
    The new state.
  """
  if state.best is None or loss < state.best:
    state = dataclasses.replace(state, best=loss, num_bad=0)
  else:
    state = dataclasses.replace(state, num_bad=state.num_bad + 1)
  is_out_of_patience = state.num_bad > rule.patience
  is_last = not rule.use or window(rule, state)[1] >= rule.last_high
  if not is_last:
    if is_out_of_patience:
      return dataclasses.replace(
        state, num_moves=state.num_moves + 1, num_bad=0
      )
    return state
  if is_out_of_patience:
    state = dataclasses.replace(state, num_bad=0)
  if rule.lr_counting == "published" and not is_out_of_patience:
    return state
  return _plateau(rule, state, loss)


def _plateau(rule, state, loss):
  """Torch's ReduceLROnPlateau with relative threshold."""
  if state.lr_best is None or loss < state.lr_best * (1 - _PLATEAU_THRESHOLD):
    return dataclasses.replace(state, lr_best=loss, lr_num_bad=0)
  if state.lr_num_bad + 1 > rule.lr_patience:
    return dataclasses.replace(
      state, lr_num_drops=state.lr_num_drops + 1, lr_num_bad=0
    )
  return dataclasses.replace(state, lr_num_bad=state.lr_num_bad + 1)


def control_scalars(
  rule: Rule,
  progress: State,
  batch_size: int,
  setting: Callable[[str], str] = errors.setting,
) -> dict[str, np.generic]:
  """Returns the scalars that a training step takes from the host.

  Args:
    rule: Settings.
    progress: Where they stand.
    batch_size: Samples of a global batch.
    setting: As for `band`.

  Returns:
    `band_start` and `band_stop` int32, the ranks that train; `lr_scale`
    float32, factor of the updates.

  Raises:
    InputError: As for `band`.
  """
  start, stop = band(rule, progress, batch_size, setting)
  return {
    "band_start": np.int32(start),
    "band_stop": np.int32(stop),
    "lr_scale": np.float32(lr_scale(rule, progress)),
  }
