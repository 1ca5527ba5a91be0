import dataclasses

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import base
from tests.data.labelled import tiny


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"names": ()}, "set, all: holds no image."),
    ({"cut": "tight"}, "cut is 'tight', expected one of track, face, photo"),
    ({"labels": {"a": np.zeros(3)}}, r"label a has shape \(3,\) for 4 images"),
    ({"group": np.array(["a"])}, r"label group has shape \(1,\) for 4"),
    (
      {"classes": {"number": ("a", "b")}},
      "number runs from 0 to 3, expected 0",
    ),
    ({"classes": {"x": ("a",)}}, "label x has 2 columns, but 1 names"),
  ],
)
def test_a_set_that_does_not_fit_together_cannot_be_made(changes, message):
  with pytest.raises(errors.InputError, match=message):
    tiny.labelled(**changes)


def test_classes_of_labels_that_are_absent_do_not_matter():
  assert len(tiny.labelled(classes={"other": ("a",)})) == 4


@pytest.mark.parametrize(
  "column, value, message",
  [
    ("left", np.array([0, 4]), "left runs from 0 to 4, but there are 4"),
    ("right", np.array([-1, 1]), "right runs from -1 to 1"),
    ("fold", np.array([0]), r"fold has shape \(1,\), expected \(2,\)"),
    ("left", np.array([], int), "holds no pair"),
  ],
)
def test_pairs_that_do_not_fit_cannot_be_made(column, value, message):
  pair = np.array([0, 1])
  pairs = base.Pairs(tiny.labelled(), pair, pair, pair > 0, pair)
  assert len(pairs) == 2
  with pytest.raises(errors.InputError, match=message):
    dataclasses.replace(pairs, **{column: value})


def test_subset_takes_images_names_labels_and_people_alike():
  part = base.subset(tiny.labelled(), [3, 1])
  assert part.names == ("all3", "all1")
  assert part.labels["number"].tolist() == [3, 1]
  assert part.group.tolist() == ["p1", "p0"]
  assert [part.read(i)[0, 0, 0] for i in range(2)] == [3, 1]
  again = base.subset(part, np.array([1]))
  assert again.read(0)[0, 0, 0] == 1


def test_subset_of_a_set_without_people():
  assert base.subset(tiny.labelled(group=None), [2]).group is None


@pytest.mark.parametrize(
  "indices, message",
  [
    ([0, 4], "from 0 to 4, but there are 4 images"),
    ([-1], "from -1 to -1"),
    ([], "holds no image"),
    (np.array([True, False, True, False]), "bool"),
    ([[0]], "expected a row of whole numbers"),
  ],
)
def test_subset_refuses_what_is_no_position(indices, message):
  with pytest.raises(errors.InputError, match=message):
    base.subset(tiny.labelled(), indices)


def test_concatenate_reads_each_part_where_it_lies():
  parts = [
    tiny.labelled(2, split="train"),
    base.subset(tiny.labelled(4, split="test"), [3, 0, 1]),
  ]
  joined = base.concatenate(parts)
  assert (joined.name, joined.split) == ("set", "train+test")
  assert joined.names == ("train0", "train1", "test3", "test0", "test1")
  values = [int(joined.read(i)[0, 0, 0]) for i in range(5)]
  assert values == [0, 1, 3, 0, 1] == joined.labels["number"].tolist()
  assert joined.group.tolist() == ["p0", "p0", "p1", "p0", "p0"]
  with pytest.raises(IndexError):
    joined.read(5)


def test_concatenate_drops_people_that_one_part_does_not_know():
  parts = [tiny.labelled(), tiny.labelled(group=None)]
  assert base.concatenate(parts).group is None


@pytest.mark.parametrize(
  "changes, what",
  [
    ({"labels": {"number": np.arange(4)}}, "labels"),
    ({"cut": "face"}, "cut"),
    ({"classes": {"y": ("a",)}}, "classes"),
  ],
)
def test_concatenate_refuses_parts_of_different_kinds(changes, what):
  with pytest.raises(errors.InputError, match=f"their {what} differ"):
    base.concatenate([tiny.labelled(), tiny.labelled(**changes)])


def test_concatenate_needs_parts():
  with pytest.raises(errors.InputError, match="at least one"):
    base.concatenate([])


def test_divide_makes_the_splits_in_order():
  parts = base.divide(tiny.labelled(), ["test", "other", "train", "test"])
  assert list(parts) == ["train", "test", "other"]
  assert parts["test"].split == "test"
  assert parts["test"].names == ("all0", "all3")
  assert parts["test"].read(1)[0, 0, 0] == 3
