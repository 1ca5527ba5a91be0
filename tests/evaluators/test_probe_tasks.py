import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import features, probe_tasks
from tests.evaluators import made_up


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
  made_up.hurry(monkeypatch, 1e-3)


def crops(people, count=8, **changes):
  """The whole images, no larger than they are."""
  source = made_up.labelled(people, count, **changes)
  pixels = np.stack([source.read(i) for i in range(len(source))])
  ndc = (source.labels["landmarks_px"] + 0.5) * 2 / made_up.SIZE_PX - 1
  labels = source.labels | {"landmarks_ndc": ndc}
  return features.Crops(source, pixels, labels)


def knowing(all_crops, noise=0.0):
  """Features that hold the labels, and noise."""
  labels = all_crops.labels
  ndc = labels["landmarks_ndc"]
  known = [labels[f"{name}_rad"] for name in ("yaw", "pitch", "roll")]
  known += list((labels["expression"][:, None] == np.arange(4)).T)
  known += list(ndc.reshape(len(ndc), -1)[:, :2].T)
  values = np.stack(known, axis=1).astype(np.float32)
  rng = np.random.default_rng(0)
  return values + noise * rng.normal(size=values.shape).astype(np.float32)


def study(parts, num_folds=0, noise=0.0, width=4):
  whole, divisions, split = probe_tasks.divide(parts, num_folds)
  table = [
    probe_tasks.Feature("net: embedding", "run", knowing(whole, noise)),
    probe_tasks.Feature("pixels (PCA)", "pixels", None),
  ]
  return probe_tasks.Study(whole, divisions, split, table, width)


def split_parts():
  return {
    "train": crops(range(4), split="train"),
    "validation": crops(range(4, 6), split="validation"),
    "test": crops(range(6, 10), split="test"),
  }


def test_a_sets_own_split_is_kept_and_validation_joins_training():
  whole, divisions, split = probe_tasks.divide(split_parts())
  assert split == "test" and len(whole) == 80
  ((train, test),) = divisions
  np.testing.assert_array_equal(train, np.arange(48))
  np.testing.assert_array_equal(test, np.arange(48, 80))


@pytest.mark.parametrize(
  ("parts", "num_folds", "want"),
  [
    (lambda: {"all": crops(range(7))}, 0, 5),
    (lambda: {"test": crops(range(7))}, 0, 5),
    (split_parts, 3, 3),
  ],
)
def test_folds_divide_people_and_measure_each_row_once(parts, num_folds, want):
  whole, divisions, split = probe_tasks.divide(parts(), num_folds)
  assert split == f"{want} folds" and len(divisions) == want
  rows = np.concatenate([test for _, test in divisions])
  np.testing.assert_array_equal(np.sort(rows), np.arange(len(whole)))
  for train, test in divisions:
    assert len(test) and len(train) + len(test) == len(whole)
    assert not set(whole.group[train]) & set(whole.group[test])


def test_more_folds_than_people_are_refused():
  with pytest.raises(errors.InputError, match="5 folds need as many people"):
    probe_tasks.divide({"all": crops(range(4))})


@pytest.mark.parametrize("num_folds", [0, 4])
def test_what_features_know_is_read_out_of_the_row_it_belongs_to(num_folds):
  made = study(split_parts(), num_folds)
  result, _, fitted = probe_tasks.run(made, "pose", {})
  assert result["num_test"] == (80 if num_folds else 32)
  assert result["num_people"] == (10 if num_folds else 4)
  assert len(made.test) == result["num_test"] == len(set(made.test))
  # The weakest ridge shrinks by about 1e-5.
  assert result["entries"][0]["scores"]["mae_mean"].value < 0.01
  # There is no single linear probe of several folds.
  assert list(fitted) == ([] if num_folds else [x.name for x in made.table])


def test_components_of_pixels_are_those_of_training_images(monkeypatch):
  seen, fit = [], features.Pixels.fit
  monkeypatch.setattr(
    features.Pixels,
    "fit",
    lambda pixels, width: seen.append(pixels) or fit(pixels, width),
  )
  made = study({"all": crops(range(6), 4)}, 3)
  probe_tasks.run(made, "pose", {})
  for pixels, (train, _) in zip(seen, made.divisions, strict=True):
    np.testing.assert_array_equal(pixels, made.crops.pixels[train])


def test_intervals_are_over_people():
  parts = {"train": crops(range(3)), "test": crops([3], split="test")}
  made = study(parts, noise=0.5)
  result, _, _ = probe_tasks.run(made, "pose", {})
  for entry in result["entries"]:
    low = entry["scores"]["mae_mean"].low
    assert np.isnan(low), entry["feature"]


@pytest.mark.parametrize("task", ["expression", "expression_multilabel"])
def test_classes_keep_their_order_and_names(task):
  made = study(split_parts())
  result, pictures, fitted = probe_tasks.run(made, task, {})
  assert probe_tasks.classes_of(made, task) == list(made_up.CLASSES)
  assert fitted["net: embedding"].weights.shape[1] == len(made_up.CLASSES)
  # Four of them never occur.
  assert (fitted["net: embedding"].offset[4:] == -np.inf).all()
  score = result["entries"][0]["scores"]
  assert next(iter(score.values())).value == 100
  truth = dict(zip(made.crops.source.names, made.crops.labels["expression"]))
  for picture in pictures["best"]:
    name = made_up.CLASSES[truth[picture.caption.split(":")[0]]]
    assert picture.caption.endswith(f": {name}, read {name}")


def test_a_fold_that_lacks_the_last_class_is_measured():
  all_crops = crops(range(6))
  # The last class of those that occur is one person's alone.
  last = all_crops.labels["expression"] == 3
  alone = all_crops.group == "p05"
  all_crops.labels["expression"][last & ~alone] = 2
  result, _, _ = probe_tasks.run(study({"all": all_crops}, 3), "expression", {})
  found = result["entries"][0]["details"]["confusion"]
  counts = np.bincount(
    all_crops.labels["expression"], minlength=len(made_up.CLASSES)
  )
  # The features tell the class; only the last one is unknown where it is
  # asked for, and never chosen elsewhere.
  np.testing.assert_array_equal(np.sum(found, axis=1), counts)
  assert counts.tolist() == [12, 12, 22, 2, 0, 0, 0, 0]
  np.testing.assert_array_equal(np.diag(found)[:4], [12, 12, 22, 0])


@pytest.mark.parametrize("task", ["landmarks", "pose", "expression"])
def test_saved_probes_measure_the_same(task):
  made = study(split_parts(), noise=0.2)
  first, _, fitted = probe_tasks.run(made, task, {})
  again, _, nothing = probe_tasks.run(made, task, fitted)
  assert nothing == {} and again["num_train"] == 0
  assert again["protocol"] == first["protocol"] + "; fitted elsewhere"
  for a, b in zip(first["entries"], again["entries"]):
    assert a["feature"] == b["feature"]
    for name, score in a["scores"].items():
      # Pixels: one matrix instead of two, the first in float32.
      np.testing.assert_allclose(b["scores"][name].value, score.value, 1e-4)


def test_only_features_that_were_fitted_are_measured_again():
  made = study(split_parts())
  _, _, fitted = probe_tasks.run(made, "pose", {})
  one = {"pixels (PCA)": fitted["pixels (PCA)"]}
  again, _, _ = probe_tasks.run(made, "pose", one)
  assert [entry["kind"] for entry in again["entries"]] == ["pixels"]
  with pytest.raises(errors.InputError, match="holds none for pose"):
    probe_tasks.run(made, "pose", {"other": fitted["pixels (PCA)"]})


def test_pictures_are_those_of_the_best_and_the_worst():
  made = study(split_parts(), noise=0.5)
  _, pictures, fitted = probe_tasks.run(made, "pose", {})
  found = fitted["net: embedding"].outputs(made.table[0].values[made.test])
  labels = made.crops.labels
  true = np.stack([labels[f"{a}_rad"] for a in ("yaw", "pitch", "roll")], 1)
  order = np.argsort(np.abs(found - true[made.test]).mean(axis=1))
  names = np.array(made.crops.source.names)[made.test]
  for which, ranks in [("best", order[:6]), ("worst", order[::-1][:6])]:
    shown = [picture.caption.split(":")[0] for picture in pictures[which]]
    assert shown == names[ranks].tolist()
    np.testing.assert_array_equal(
      pictures[which][0].image, made.crops.pixels[made.test[ranks[0]]]
    )


def test_landmarks_are_drawn_in_pixels():
  made = study(split_parts())
  _, pictures, _ = probe_tasks.run(made, "landmarks", {})
  for picture in pictures["worst"]:
    row = made.crops.source.names.index(picture.caption)
    true = made.crops.labels["landmarks_px"][row]
    np.testing.assert_array_equal(picture.true_points, true)
    # The features determine the points, which are read out nearly exactly.
    np.testing.assert_allclose(picture.predicted_points, true, atol=0.1)
