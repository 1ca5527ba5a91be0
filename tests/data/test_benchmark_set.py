import dataclasses
import json

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import benchmark_set, cache
from facerep_jax.synthetic import generator
from facerep_jax.tracks import splits


def _pinned(number):
  got = benchmark_set.measure(number)
  wrong = benchmark_set.differences(benchmark_set.PINS[number], got)
  assert not wrong, (
    f"{wrong}; if labels were meant to change, raise generator.VERSION and "
    f"set benchmark_set.PINS[{number}] = {got!r}"
  )


def test_labels_of_the_first_people_are_the_pinned_ones():
  _pinned(12)


@pytest.mark.slow
def test_labels_of_all_people_are_the_pinned_ones():
  _pinned(benchmark_set.NUM_PEOPLE)


def _disturbed(monkeypatch, name, amount):
  """Measures with one label of one track shifted by `amount`."""
  draw = generator.draw_labels

  def shifted(settings, person, track):
    labels = draw(settings, person, track)
    if (person, track) == (1, 1):
      labels[name] = labels[name].copy()
      labels[name].flat[3] += amount
    return labels

  with monkeypatch.context() as patch:
    patch.setattr(generator, "draw_labels", shifted)
    return benchmark_set.measure(2)


@pytest.mark.parametrize(
  ("name", "large", "tiny"),
  [
    ("yaw_rad", 2e-3, 1e-12),
    ("action_units", 2e-3, 1e-12),
    ("expression", 1, 0),
    ("landmarks_px", 0.2, 1e-3),
  ],
)
def test_pin_sees_one_changed_number_and_forgives_rounding(
  monkeypatch, name, large, tiny
):
  want = benchmark_set.measure(2)
  same = _disturbed(monkeypatch, name, tiny)
  assert benchmark_set.differences(want, same) == []
  other = _disturbed(monkeypatch, name, large)
  [said] = benchmark_set.differences(want, other)
  assert said.split()[0] == ("landmarks" if "px" in name else "drawn")


def test_drawn_labels_keep_clear_of_rounding_edges():
  settings = generator.Settings(
    seed=benchmark_set.SEED,
    num_people=benchmark_set.NUM_PEOPLE,
    num_frames=benchmark_set.NUM_FRAMES,
  )
  for person in range(12):
    labels = generator.draw_labels(settings, person, 0)
    for name in benchmark_set._ROUNDED:
      steps = np.asarray(labels[name]) / benchmark_set._STEP
      edge = np.abs(steps - np.floor(steps) - 0.5)
      assert edge.min() > 1e-8, name  # 1e-11 of the label: 1e5 roundings.


def test_another_machine_is_told_so(monkeypatch):
  pin = dataclasses.replace(benchmark_set.PINS[12], drawn="0")
  monkeypatch.setitem(benchmark_set.PINS, 12, pin)
  with pytest.raises(errors.InputError, match="other labels") as caught:
    benchmark_set.check([12])
  assert "\n" not in str(caught.value)


def test_cache_makes_the_benchmark_and_splits_by_person(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path))
  monkeypatch.setattr(cache.os, "cpu_count", lambda: 1)
  # Ten people, of two frames, small; all else as it is.
  monkeypatch.setattr(benchmark_set, "NUM_PEOPLE", 10)
  monkeypatch.setattr(benchmark_set, "NUM_FRAMES", 2)
  monkeypatch.setattr(benchmark_set, "SIZE_PX", 16)
  checked = []
  monkeypatch.setattr(benchmark_set, "check", lambda: checked.append(1))
  folder = cache.benchmark()
  assert folder == str(tmp_path / f"synthetic-benchmark-v{generator.VERSION}")
  assert cache.benchmark() == folder and checked == [1]
  with open(f"{folder}/manifest.json") as file:
    manifest = json.load(file)
  people = [manifest["splits"][name]["people"] for name in splits.NAMES]
  assert people == [6, 1, 3]
  assert manifest["settings"]["seed"] == benchmark_set.SEED
  assert list(manifest["sources"]) == ["synthetic:benchmark"]
