import dataclasses
import json

import pytest

from facerep_jax import errors
from facerep_jax.runs import curriculum


def run(rule, losses):
  state, seen = curriculum.State(), []
  for loss in losses:
    state = curriculum.update(rule, state, loss)
    seen.append(
      (curriculum.window(rule, state), curriculum.lr_scale(rule, state))
    )
  return state, seen


def test_window_follows_a_hand_worked_table():
  rule = curriculum.Rule(patience=2)
  # Loss, then the window after it: it moves at the third bad evaluation in a
  # row (more than two), and patience starts again.
  table = [
    (1.0, (0.0, 0.5)),  # First: an improvement.
    (1.1, (0.0, 0.5)),  # 1 bad.
    (0.9, (0.0, 0.5)),  # Improved.
    (0.9, (0.0, 0.5)),  # Equal is not better: 1 bad.
    (0.9, (0.0, 0.5)),  # 2 bad.
    (0.9, (0.1, 0.6)),  # 3 bad: moves.
    (0.9, (0.1, 0.6)),
    (0.9, (0.1, 0.6)),
    (0.9, (0.2, 0.7)),
    (0.8, (0.2, 0.7)),  # Improved.
    (0.8, (0.2, 0.7)),
    (0.8, (0.2, 0.7)),
    (0.8, (0.3, 0.8)),
    (0.8, (0.3, 0.8)),
    (0.8, (0.3, 0.8)),
    (0.8, (0.4, 0.9)),  # 0.8 < 0.85: once more, to 0.9.
    (0.8, (0.4, 0.9)),
    (0.8, (0.4, 0.9)),
    (0.8, (0.4, 0.9)),  # 0.9 >= 0.85: stays.
    (0.8, (0.4, 0.9)),
  ]
  _, seen = run(rule, [loss for loss, _ in table])
  assert [window for window, _ in seen] == [window for _, window in table]
  assert {scale for _, scale in seen} == {1.0}


def test_learning_rate_drops_only_in_the_last_window():
  rule = curriculum.Rule(patience=0, lr_patience=1)
  # Windows: 0.5 at first, then a move per bad evaluation up to 0.9.
  losses = [1.0] * 5  # One improvement, four moves; the plateau rule then
  # sees its first loss with the next evaluation but one.
  state, seen = run(rule, losses)
  assert seen[-1] == ((0.4, 0.9), 1.0) and state.lr_best is None
  scales = []
  for loss in [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]:
    state = curriculum.update(rule, state, loss)
    scales.append(round(curriculum.lr_scale(rule, state), 9))
  # Best 1.0; bad 1; bad 2 > 1: drop; bad 1; drop; best 0.5; bad 1; drop.
  assert scales == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]


def test_published_counting_waits_for_patience_each_time():
  rule = curriculum.Rule(
    patience=15, lr_patience=10, lr_counting="published", high=0.9
  )
  state, drops = curriculum.State(), []
  for evaluation in range(400):
    state = curriculum.update(rule, state, 1.0)
    if state.lr_num_drops > len(drops):
      drops.append(evaluation)
  # The plateau is looked at every 16 evaluations: first to set its best, then
  # 11 times bad. 12 * 16 = 192, "about 190"; 0-based, after the first one.
  assert drops[0] == 192
  assert drops[1] - drops[0] == 11 * 16


@pytest.mark.parametrize("batch_size", [8, 10, 32, 128])
def test_band_is_exact_where_binary_fractions_are_not(batch_size):
  rule = curriculum.Rule()
  for moves in range(5):
    state = curriculum.State(num_moves=moves)
    # In integers: tenths of the batch, rounded down.
    want = (moves * batch_size // 10, (5 + moves) * batch_size // 10)
    assert curriculum.band(rule, state, batch_size) == want


def test_without_curriculum_all_ranks_train_and_plateaus_count_at_once():
  rule = curriculum.Rule(use=False, lr_patience=1)
  assert curriculum.band(rule, curriculum.State(), 7) == (0, 7)
  _, seen = run(rule, [1.0, 1.0, 1.0])
  assert [round(scale, 9) for _, scale in seen] == [1.0, 1.0, 0.1]


def test_state_survives_json():
  state, _ = run(curriculum.Rule(patience=1), [1.0, 2.0, 3.0, 0.5])
  text = json.dumps(dataclasses.asdict(state))
  assert curriculum.State(**json.loads(text)) == state


def test_refuses_what_cannot_train():
  with pytest.raises(errors.InputError, match="batch_size=1 is too small"):
    curriculum.band(curriculum.Rule(), curriculum.State(), 1)
  with pytest.raises(errors.InputError, match=r"low=0\.6, high=0\.5"):
    curriculum.Rule(low=0.6)
  with pytest.raises(errors.InputError, match="lr_counting"):
    curriculum.Rule(lr_counting="epochs")


def test_the_curriculum_decides_which_ranks_train():
  state = curriculum.State(num_moves=1, lr_num_drops=2)
  rule = curriculum.Rule(low=0.0, high=0.5, step=0.1, lr_factor=0.5)
  found = curriculum.control_scalars(rule, state, 10)
  assert found == {"band_start": 1, "band_stop": 6, "lr_scale": 0.25}
  off = curriculum.control_scalars(
    curriculum.Rule(use=False), curriculum.State(), 1
  )
  assert (off["band_start"], off["band_stop"]) == (0, 1)
  with pytest.raises(errors.InputError, match="batch_size=1 is too small"):
    curriculum.control_scalars(curriculum.Rule(), curriculum.State(), 1)
