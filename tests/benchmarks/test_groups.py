"""Faces by group: drawn, kept, compared."""

import json
from concurrent import futures

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.benchmarks import group_faces, groups
from facerep_jax.evaluators import group_reader


def test_levels_of_a_factor_show_the_same_recordings():
  glasses = next(x for x in group_faces.FACTORS if x.name == "glasses")
  with futures.ThreadPoolExecutor(1) as pool:
    none, dark = (
      group_faces.draw(glasses.levels[x], 2, 3, pool) for x in ("none", "dark")
    )
  assert none.pixels.shape == (12, 96, 96, 3)
  assert none.person.tolist() == [0] * 6 + [1] * 6
  assert none.track.tolist() == [0, 0, 0, 1, 1, 1] * 2
  for name, value in none.labels.items():
    np.testing.assert_array_equal(value, dark.labels[name])
  differ = (none.pixels != dark.pixels).any(axis=(1, 2, 3))
  assert differ.mean() > 0.5


def test_every_factor_has_a_reference_and_a_name_of_its_own():
  names = [
    group_faces.file_name(x.name, level)
    for x in group_faces.FACTORS
    for level in x.levels
  ]
  assert len(set(names)) == len(names)
  assert "shape_of_the_head_like_a_childs.npz" in names
  assert all(len(x.levels) > 1 for x in group_faces.FACTORS)


def test_frames_are_made_once(tmp_path):
  made = group_faces.Faces(
    np.zeros((2, 4, 4, 3), np.uint8),
    {name: np.arange(2.0) for name in group_faces._LABELS},
    np.arange(2),
    np.zeros(2, int),
  )
  path = tmp_path / "a.npz"
  group_faces.kept(path, lambda: made)
  again = group_faces.kept(path, lambda: pytest.fail("drawn again"))
  np.testing.assert_array_equal(again.person, made.person)
  assert set(again.labels) == set(made.labels)
  np.savez(tmp_path / "b.npz", x=np.zeros(1))
  with pytest.raises(errors.InputError, match="b.npz: holds no frames"):
    group_faces.kept(tmp_path / "b.npz", lambda: made)


def test_tables_tell_values_and_differences():
  person = np.repeat(np.arange(20), 2)
  value = np.random.default_rng(0).random(40)
  measured = {}
  for factor in group_faces.FACTORS:
    for i, level in enumerate(factor.levels):
      of_level = {"found, %": group_reader.Measure(value + i, person)}
      if factor.is_colour:
        of_level["L1"] = group_reader.Measure(value, person, ".3f")
      measured[factor.name, level] = of_level
  whole, part = groups.tables("a model", measured)
  assert whole.title == "a model: found, %" and part.title == "a model: L1"
  assert len(whole.rows) == len(measured) and len(part.rows) == 7
  first, second = whole.rows[:2]
  assert first["group"] == "light" and first["difference"] is None
  assert second["difference"] == "+1.0" and second["is_apart"]
  assert second["difference_interval"] == "[+1.0, +1.0]"
  assert part.rows[1]["difference"] == "+0.000" and not part.rows[1]["is_apart"]


@pytest.mark.slow
def test_the_study_runs_and_goes_on_with_kept_faces(tmp_path, monkeypatch):
  pytest.importorskip("cv2")
  glasses = [x for x in group_faces.FACTORS if x.name == "glasses"]
  monkeypatch.setattr(group_faces, "FACTORS", glasses)
  arguments = [
    *("--people=3", "--probe-people=5", "--seed=1", "--workers=1"),
    *("--detectors=cascade", f"--output={tmp_path}"),
  ]
  groups.main([*arguments, "--models="])
  made = {x.name: x.stat().st_mtime_ns for x in (tmp_path / "faces").iterdir()}
  assert len(made) == 1 + 3
  groups.main([*arguments, "--models=fabnet-synthetic"])
  again = {x.name: x.stat().st_mtime_ns for x in (tmp_path / "faces").iterdir()}
  assert made == again
  found = json.loads((tmp_path / "benchmark.json").read_text())["results"]
  assert len(found["cascade: found, %"]) == 3
  for row in found["fabnet-synthetic: yaw, deg"]:
    assert 0 < row["exact"][0] < 90
