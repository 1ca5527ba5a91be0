import numpy as np

from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.evaluators import quick


def _labelled(group, split="test"):
  count = len(group) if group is not None else 3000
  return labelled_base.Labelled(
    "made up",
    split,
    tuple(f"{i}.png" for i in range(count)),
    {"number": np.arange(count)},
    group,
    {},
    "face",
    lambda i: np.zeros((4, 4, 3), np.uint8),
  )


def test_people_are_spread_and_chosen_alike_each_time():
  group = np.array([f"p{i % 100}" for i in range(3000)])
  part = quick.sample({"test": _labelled(group)})["test"]
  people, counts = np.unique(part.group, return_counts=True)
  assert len(part) == 504 and len(people) == 63 and set(counts) == {8}
  # Of each person's 30 images, one in four or so.
  own = part.labels["number"][part.group == people[0]] // 100
  assert own[0] == 0 and set(np.diff(own)) <= {3, 4}
  again = quick.sample({"test": _labelled(group)})["test"]
  np.testing.assert_array_equal(again.labels["number"], part.labels["number"])
  assert part.name == "made up (quick)"
  # Not the first ones by name.
  assert set(people) != set(np.unique(group)[:63])


def test_unknown_people_and_small_parts():
  parts = {
    "train": _labelled(None, "train"),
    "test": _labelled(np.array(["a", "b", "b"])),
  }
  found = quick.sample(parts)
  assert len(found["train"]) == 1000 and found["train"].group is None
  numbers = found["train"].labels["number"]
  assert numbers.mean() > 1200  # Of all 3000, not the first.
  assert len(found["test"]) == 3


def test_pairs_keep_their_folds_and_images():
  rng = np.random.default_rng(0)
  images = _labelled(np.array([f"p{i}" for i in range(900)]), "all")
  left, right = rng.integers(0, 900, (2, 4000))
  fold, same = rng.integers(0, 10, 4000), rng.integers(0, 2, 4000) > 0
  pairs = labelled_base.Pairs(images, left, right, same, fold)
  found = quick.sample(pairs)
  assert len(found) == 600
  assert np.bincount(found.fold).tolist() == [60] * 10
  assert found.same.sum() == 300
  number = found.images.labels["number"]
  known = set(zip(left, right, fold, same))
  chosen = zip(number[found.left], number[found.right], found.fold, found.same)
  assert known.issuperset(chosen)
  assert len(found.images) == len(np.union1d(found.left, found.right))
