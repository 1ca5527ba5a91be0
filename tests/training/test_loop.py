import dataclasses
import itertools
import os
import signal
import types

import jax
import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors, sharding
from facerep_jax.runs import configuration, curriculum
from facerep_jax.training import loop, preemption, setup
from tests import small_runs, tiny

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


def stop_after(count):
  """Returns a hook that sends SIGTERM during the step of that number."""

  def hook(prepared):
    step = prepared.train_step

    def counted(state, *args):
      if int(state.step) == count - 1:
        os.kill(os.getpid(), signal.SIGTERM)
      return step(state, *args)

    prepared.train_step = counted

  return hook


def assert_same_arrays(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_losses_do_not_depend_on_device_count(data, tmp_path):
  config = tiny.config(data, steps=3, every__log=1, optimizer__name="sgd")
  for count in (1, 8):
    small_runs.fit(config, tmp_path / str(count), count)
  one, eight = (small_runs.readings(tmp_path / str(count)) for count in (1, 8))
  assert len(one) == len(eight) == 4
  for a, b in zip(one, eight):
    assert a.keys() == b.keys()
    # Left out: what jumps when a sampling point, which the first flows leave
    # all but on a pixel, comes to lie on its other side; gradients at given
    # weights are compared in tests/models.
    for name in a.keys() - {"split", "share_better_than_copy", "grad_norm"}:
      # Sums over the batch are taken in another order.
      np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)


def test_the_curriculum_ranks_over_all_devices(data, tmp_path):
  # On eight devices each row is alone on its device: a band per device would
  # keep every row or none.
  config = tiny.config(data, steps=1, every__log=1)
  small_runs.fit(config, tmp_path, 8)
  line = small_runs.readings(tmp_path)[0]
  assert line["loss"] < 0.95 * line["loss_all_ranks"]


def test_resuming_equals_not_stopping(data, tmp_path):
  config = tiny.config(data, ema_decay=0.9)
  _, whole = small_runs.fit(config, tmp_path / "whole")
  part = config.copy_and_resolve_references()
  part.steps = 3
  small_runs.fit(part, tmp_path / "parts")
  prepared, resumed = small_runs.fit(config, tmp_path / "parts")
  assert prepared.start == 3
  assert small_runs.readings(tmp_path / "whole") == small_runs.readings(
    tmp_path / "parts"
  )
  assert_same_arrays(whole, resumed)


def test_sigterm_saves_between_log_lines_and_goes_on_exactly(data, tmp_path):
  config = tiny.config(data, every__eval=4)
  small_runs.fit(config, tmp_path / "whole")

  handler = signal.getsignal(signal.SIGTERM)
  prepared, state = small_runs.fit(
    config, tmp_path / "parts", hook=stop_after(3)
  )
  assert int(state.step) == 3 and prepared.checkpoints.latest() == 3
  assert signal.getsignal(signal.SIGTERM) == handler
  prepared, _ = small_runs.fit(config, tmp_path / "parts")
  assert prepared.start == 3
  # The means of steps 3 and 4 are formed across the stop.
  assert small_runs.readings(tmp_path / "whole") == small_runs.readings(
    tmp_path / "parts"
  )


def test_loss_that_is_not_finite_ends_the_run(data, tmp_path):
  config = tiny.config(data, steps=12)

  def poison(prepared):
    step = prepared.train_step

    def poisoned(state, *args):
      if int(state.step) == 6:
        bad = jax.tree.map(lambda x: x * np.float32("nan"), state.params)
        state = state.replace(params=bad)
      return step(state, *args)

    prepared.train_step = poisoned

  with pytest.raises(loop.NotFiniteError) as caught:
    small_runs.fit(config, tmp_path, hook=poison)
  text = str(caught.value)
  assert "step 7: not finite: grad_norm, loss, loss_all_ranks" in text
  # Within one log interval of two steps.
  assert "seen at step 8" in text and "step 6" in text
  prepared, _ = setup.prepare(config, tmp_path, data, jax.devices()[:1])
  assert prepared.start == 6
  assert all(line["step"] <= 6 for line in small_runs.readings(tmp_path))


def test_step_is_compiled_once_however_the_curriculum_moves(data, tmp_path):
  # Nothing improves on a rule with no patience but by luck: the band moves.
  config = tiny.config(data, steps=12, every__eval=1, curriculum__patience=0)
  config.optimizer.learning_rate = 1e-12
  config.model.width += 1  # Programs of no other test.
  prepared, _ = small_runs.fit(config, tmp_path)
  bands = {
    line["band_low"]
    for line in small_runs.readings(tmp_path)
    if "band_low" in line
  }
  assert len(bands) > 2
  assert prepared.train_step._cache_size() == 1
  assert prepared.eval_step._cache_size() == 1


def test_validation_is_the_mean_over_samples_not_over_batches(monkeypatch):
  # A whole batch, and one of a single sample, filled up with what weighs 0.
  rows = [([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]), ([10.0, 50.0, 50.0], [1.0, 0, 0])]
  passed = [
    {"record": np.arange(3), "x": np.array(x), "weight": np.array(weight)}
    for x, weight in rows
  ]
  monkeypatch.setattr(
    loop.batches, "eval_batches", lambda *args, **options: iter(passed)
  )
  config = tiny.config("", batch_size=3, every__pictures=0)
  written = []
  prepared = types.SimpleNamespace(
    config=config,
    frozen={},
    mesh=sharding.make_mesh(jax.devices()[:1]),
    eval_samples=None,
    num_eval_samples=4,
    eval_step=lambda variables, batch: {
      "loss": ((batch["x"] * batch["weight"]).sum(), batch["weight"].sum()),
      "unseen": (batch["x"][0], 0 * batch["x"][0]),
    },
    system=types.SimpleNamespace(diagnose=lambda values: []),
    writer=types.SimpleNamespace(write=lambda *line: written.append(line)),
  )
  state = types.SimpleNamespace(params={}, model_state={}, ema={})
  # 16 / 4; the mean of the batches' means would be 6.
  assert loop._evaluate(prepared, state, 7, 1) == 4
  assert written == [(7, "validation", {"loss": 4.0})]


def test_checkpoints_kept_are_the_last_and_the_best(data, tmp_path):
  config = tiny.config(data, steps=10, every__eval=1, keep=2)
  prepared, _ = small_runs.fit(config, tmp_path)
  losses = {
    line["step"]: line["loss"]
    for line in small_runs.readings(tmp_path)
    if line["split"] == "validation"
  }
  best = min(losses, key=losses.get)
  kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir()}
  assert kept == {9, 10, best}
  assert prepared.checkpoints.best() == best


def test_second_stage_keeps_the_flow_decoder_and_the_window(data, tmp_path):
  def move_window(prepared):
    prepared.progress = curriculum.State(num_moves=2)

  first = tiny.config(data, curriculum__patience=100)
  small_runs.fit(first, tmp_path / "first", hook=move_window)
  second = tiny.config(data, init_from=str(tmp_path / "first"))
  second.model.update(num_sources=2, use_mask=True, frozen=("flow_decoder",))
  prepared, state = setup.prepare(
    second, tmp_path / "second", data, jax.devices()[:1]
  )
  assert prepared.progress == curriculum.State(num_moves=2)
  old = jax.device_get(state)
  frozen = jax.device_get(prepared.frozen)
  state = loop.train(prepared, state)
  assert set(state.params) == {"encoder", "mask_decoder"}
  assert_same_arrays(frozen, {"flow_decoder": prepared.frozen["flow_decoder"]})
  moved = lambda a, b: any(
    jax.tree.leaves(jax.tree.map(lambda x, y: bool(np.any(x != y)), a, b))
  )
  assert moved(old.params["encoder"], state.params["encoder"])
  assert moved(old.params["mask_decoder"], state.params["mask_decoder"])
  # Its normalisation stays in training mode.
  name = "flow_decoder"
  assert moved(old.model_state[name], state.model_state[name])
  # And it is there again when the run goes on.
  again, _ = setup.prepare(second, tmp_path / "second", data, jax.devices()[:1])
  assert_same_arrays(frozen, again.frozen)


def test_moving_average_against_its_definition(data, tmp_path):
  config = tiny.config(data, steps=4, ema_decay=0.9)
  seen = []

  def record(prepared):
    step = prepared.train_step

    def recorded(state, *args):
      seen.append(jax.device_get(state.params))
      return step(state, *args)

    prepared.train_step = recorded

  _, state = small_runs.fit(config, tmp_path, hook=record)
  want = seen[0]
  for params in [*seen[1:], jax.device_get(state.params)]:
    want = jax.tree.map(lambda e, p: 0.9 * e + 0.1 * p, want, params)
  # Four float32 roundings.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    state.ema,
    want,
  )


def test_bfloat16_stays_close_and_keeps_float32_parameters(data, tmp_path):
  lines = {}
  for dtype in ("float32", "bfloat16"):
    config = tiny.config(data, steps=2, every__log=1, dtype=dtype)
    _, state = small_runs.fit(config, tmp_path / dtype)
    lines[dtype] = small_runs.readings(tmp_path / dtype)[0]["loss"]
    kinds = {x.dtype for x in jax.tree.leaves((state.params, state.opt_state))}
    assert kinds <= {np.dtype("float32"), np.dtype("int32")}
  # Eight bits of mantissa through five layers each way.
  assert lines["bfloat16"] == pytest.approx(lines["float32"], rel=0.05)
  assert lines["bfloat16"] != lines["float32"]


def test_other_settings_or_tracks_are_refused(data, tmp_path):
  config = tiny.config(data, steps=3)
  small_runs.fit(config, tmp_path / "run")
  other = config.copy_and_resolve_references()
  other.seed = 5
  with pytest.raises(errors.InputError, match=r"seed \(there 0, here 5\)"):
    setup.prepare(other, tmp_path / "run", data)
  folder = tmp_path / "other"
  people = dict(tiny.PEOPLE)
  try:
    tiny.PEOPLE["train"] = range(1, 6)
    changed = tiny.write_tracks(folder)
  finally:
    tiny.PEOPLE.update(people)
  with pytest.raises(errors.InputError, match="not those with which this run"):
    setup.prepare(config, tmp_path / "run", changed, jax.devices()[:1])
  # The place of the tracks may change.
  moved = tiny.write_tracks(tmp_path / "moved")
  prepared, _ = setup.prepare(
    config, tmp_path / "run", moved, jax.devices()[:1]
  )
  assert prepared.start == 3


def test_batch_that_does_not_divide_is_refused_first(data, tmp_path):
  config = tiny.config(data, batch_size=12)
  with pytest.raises(
    errors.InputError, match="batch_size=12 does not divide among 8 devices"
  ):
    setup.prepare(config, tmp_path / "run", data, jax.devices())
  assert not (tmp_path / "run").exists()


def test_pictures_are_written_at_evaluations(data, tmp_path):
  small_runs.fit(tiny.config(data, every__pictures=1), tmp_path)
  names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
  assert names == ["first_batch.png", "step_00000003.png", "step_00000006.png"]


def test_pictures_show_as_many_samples_with_small_batches(data, tmp_path):
  heights = []
  for size in (8, 2):
    config = tiny.config(
      data, steps=1, batch_size=size, eval_samples=8, every__pictures=1
    )
    small_runs.fit(config, tmp_path / str(size))
    with Image.open(tmp_path / str(size) / "pictures/step_00000001.png") as x:
      heights.append(x.height)
  assert heights[0] == heights[1] > 8 * config.model.size_px


def test_meta_holds_what_a_resume_needs(data, tmp_path):
  prepared, state = small_runs.fit(tiny.config(data), tmp_path)
  _, meta = prepared.checkpoints.restore(6, state, prepared.mesh)
  assert meta["data_position"] == 6 * 8
  assert meta["curriculum"] == dataclasses.asdict(prepared.progress)
  assert meta["source"] == prepared.source.fingerprint()
  assert configuration.load(tmp_path).steps == 6


def test_a_run_of_hours_says_so_and_names_the_demo(data, tmp_path, caplog):
  config = tiny.config(data, steps=10**8, every__eval=10**7)

  with caplog.at_level("INFO", "facerep_jax"):
    small_runs.fit(config, tmp_path, hook=stop_after(5))
  said = [
    r.getMessage() for r in caplog.records if " hours. " in r.getMessage()
  ]
  assert len(said) == 1
  assert "100000000 steps" in said[0] and "configs/fabnet.py:demo" in said[0]


def test_checkpoints_by_minutes_change_nothing_else(
  data, tmp_path, monkeypatch
):
  minutes = itertools.count()
  clock = types.SimpleNamespace(monotonic=lambda: 60.0 * next(minutes))
  monkeypatch.setattr(preemption, "time", clock)
  config = tiny.config(data, steps=7, every__eval=5, keep=9)
  for name, every in (("without", 0.0), ("with", 2.0)):
    config.every.save_minutes = every
    prepared, _ = small_runs.fit(config, tmp_path / name)
    saved = sorted(
      int(x.name) for x in (tmp_path / name / "checkpoints").iterdir()
    )
    # A minute from question to question; none is asked at evaluations.
    assert saved == ([5, 7] if every == 0 else [2, 4, 5, 7])
  assert small_runs.readings(tmp_path / "without") == small_runs.readings(
    tmp_path / "with"
  )


def test_evaluations_by_epochs(data, tmp_path):
  config = tiny.config(data, steps=1, every__eval=0)
  prepared, _ = setup.prepare(config, tmp_path, data, jax.devices()[:1])
  epoch = prepared.eval_every
  config.every.eval_epochs = 3
  assert prepared.eval_every == 3 * epoch
  config.every.eval = 7
  assert prepared.eval_every == 7
