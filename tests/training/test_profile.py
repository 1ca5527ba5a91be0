import logging

import jax
import jax.numpy as jnp
import pytest

from facerep_jax.training import profile


@pytest.fixture
def calls(monkeypatch):
  """What the profiler was told, beside the steps."""
  seen = []
  monkeypatch.setattr(
    jax.profiler, "start_trace", lambda folder: seen.append(("start", folder))
  )
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: seen.append("stop"))
  return seen


def go(folder, num_recorded, num_run, calls):
  with profile.steps(folder, num_recorded) as after_step:
    for i in range(num_run):
      calls.append(i)
      after_step(jnp.zeros(1))


def test_steps_after_the_first_are_recorded(tmp_path, calls, caplog):
  caplog.set_level(logging.INFO)
  go(tmp_path, 2, 14, calls)
  skipped = list(range(profile.NUM_SKIPPED))
  assert calls == [*skipped, ("start", tmp_path), 10, 11, "stop", 12, 13]
  assert f"profile: 2 steps, in {tmp_path}" in caplog.text


def test_a_run_that_ends_earlier_keeps_what_there_is(tmp_path, calls):
  with pytest.raises(KeyError), profile.steps(tmp_path, 100) as after_step:
    for _ in range(12):
      after_step(jnp.zeros(1))
    raise KeyError
  assert calls == [("start", tmp_path), "stop"]


def test_without_steps_nothing_is_recorded(tmp_path, calls):
  go(tmp_path, 0, 30, calls)
  assert calls == list(range(30))


def test_a_record_of_the_profiler(tmp_path):
  add = jax.jit(lambda x: x + 1)
  with profile.steps(tmp_path / "profile", 3) as after_step:
    x = jnp.zeros(8)
    for _ in range(20):
      x = add(x)
      after_step(x)
  files = [x for x in (tmp_path / "profile").rglob("*.xplane.pb")]
  assert len(files) == 1 and files[0].stat().st_size > 0
