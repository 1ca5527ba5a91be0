import dataclasses

import numpy as np
import pytest

from facerep_jax.evaluators import features, leakage_task, probe_tasks
from tests.evaluators import made_up


@pytest.fixture
def study():
  source = made_up.labelled(range(10), 8)
  rows = np.arange(len(source))
  pixels = np.stack([source.read(i) for i in rows])
  labels = source.labels | {
    "landmarks_ndc": source.labels["landmarks_px"] / 20 - 1,
    # Two tracks of each person.
    "track": np.array(
      [f"{p}/{i % 8 // 4}" for i, p in enumerate(source.group)]
    ),
  }
  crops = features.Crops(source, pixels, labels)
  rng = np.random.default_rng(0)
  yaw = labels["yaw_rad"][:, None].astype(np.float32)
  noise = rng.normal(size=(80, 3)).astype(np.float32)
  table = [
    probe_tasks.Feature("net: code", "run", np.hstack([noise, 0.5 * yaw])),
    probe_tasks.Feature("random weights: code", "random", noise),
    probe_tasks.Feature("random weights: more", "random", noise[:, :2]),
    probe_tasks.Feature("pixels (PCA)", "pixels", None),
    probe_tasks.Feature(
      "supervised: code", "supervised", np.hstack([noise, yaw])
    ),
  ]
  return probe_tasks.Study(crops, [(rows[:48], rows[48:])], "test", table, 4)


def test_a_matrix_needs_all_labels_a_split_and_both_bounds(study):
  assert leakage_task.is_possible(study)
  without = lambda **changes: dataclasses.replace(study, **changes)
  assert not leakage_task.is_possible(without(divisions=study.divisions * 2))
  for kind in ("random", "supervised"):
    table = [feature for feature in study.table if feature.kind != kind]
    assert not leakage_task.is_possible(without(table=table))
  for label in ("track", "expression", "yaw_rad", "light", "landmarks_ndc"):
    crops = study.crops.take(np.arange(80))
    del crops.labels[label]
    assert not leakage_task.is_possible(without(crops=crops)), label


def test_the_matrix_is_between_random_weights_and_labels(study, monkeypatch):
  made_up.hurry(monkeypatch, 0.1)
  seen, fit = [], features.Pixels.fit
  monkeypatch.setattr(
    features.Pixels,
    "fit",
    lambda pixels, width: seen.append(pixels) or fit(pixels, width),
  )
  found = leakage_task.run(study)
  # Components are those of the training images.
  [fitted] = seen
  np.testing.assert_array_equal(fitted, study.crops.pixels[:48])
  assert found["floor"] == "random weights: code"
  assert found["ceiling"] == "supervised: code"
  assert found["features"] == [feature.name for feature in study.table]
  assert found["dataset"] == "made up" and found["split"] == "test"
  assert (found["num_train"], found["num_test"]) == (48, 32)
  yaw = {name: row["yaw"] for name, row in found["values"].items()}
  assert yaw["net: code"]["value"] > 0.99 > 0.5 > yaw[found["floor"]]["value"]
  assert yaw["net: code"]["scaled"] == pytest.approx(1, abs=1e-3)
  # Where the blob is, pixels tell.
  assert yaw["pixels (PCA)"]["value"] > 0.5
