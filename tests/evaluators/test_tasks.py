import dataclasses
import types

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.evaluators import results, task_inputs, tasks
from tests.evaluators import made_up

PROBES = ["landmarks", "pose", "expression", "expression_multilabel"]
PROBES += ["attributes", "action_units"]


def inputs(
  kind="csv:made_up",
  split=("train", "test"),
  drop=(),
  reconstruct=lambda *args: {},
  **changes,
):
  """A set with all labels of tracks, and networks that are not looked at."""
  parts = {}
  for i, name in enumerate(split):
    part = made_up.labelled([i], 2, split=name)
    labels = {k: v for k, v in part.labels.items() if k not in drop}
    labels["track"] = np.zeros(2, int)
    parts[name] = dataclasses.replace(part, labels=labels)
  system = types.SimpleNamespace(factors=None, reconstruct=reconstruct)
  run = types.SimpleNamespace(system=system)
  networks = types.SimpleNamespace(run=run, recipe="steps")
  return task_inputs.Inputs(kind, parts, networks, **changes)


def pairs():
  images = made_up.labelled([0, 1], 2, labels={})
  same, row = np.array([True, False]), np.array([0, 1])
  opened = labelled_base.Pairs(images, row, row + 1, same, row)
  return task_inputs.Inputs("lfw:folder", opened, None)


def fitting(one):
  return [name for name, task in tasks.TASKS.items() if task.fits(one)]


def test_there_is_one_list_of_tasks():
  assert list(tasks.TASKS) == [
    *PROBES,
    *("verification", "verification_supervised"),
    *("reconstruction", "geometry", "leakage"),
  ]
  named = {*results.TASKS, "leakage"} - {"geometry_view", "geometry_albedo"}
  assert named == set(tasks.TASKS)
  assert {task.kind for task in tasks.TASKS.values()} == set(tasks.KINDS)


def test_tasks_are_those_that_are_labelled():
  labelled = [name for name in PROBES if name != "attributes"]
  assert fitting(inputs()) == [*labelled, "leakage"]
  few = inputs(drop=("roll_rad", "expression"))
  assert fitting(few) == ["landmarks", "action_units"]
  assert fitting(pairs()) == ["verification", "verification_supervised"]


def test_the_matrix_needs_a_test_part_and_a_supervised_bound():
  for changes in (
    {"split": ("all",)},
    {"num_folds": 3},
    {"drop": ("light",)},
  ):
    assert "leakage" not in fitting(inputs(**changes))
  one = inputs()
  one.networks.recipe = None
  assert "leakage" not in fitting(one)


def test_tracks_can_be_rebuilt_unless_probes_are_applied():
  assert "reconstruction" in fitting(inputs("tracks:folder"))
  assert "reconstruction" not in fitting(inputs("tracks:folder", saved={}))
  assert "geometry" not in fitting(inputs("tracks:folder"))
  # Not every system rebuilds images.
  assert "reconstruction" not in fitting(
    inputs("tracks:folder", reconstruct=None)
  )


def planned(names, data):
  found, problems = tasks.plan(names, data)
  return [[task.name for task in chosen] for chosen in found], problems


def test_tasks_are_planned_in_their_order_for_the_sets_that_fit():
  data = [inputs(drop=("light",)), pairs()]
  names = ("verification", "pose", "landmarks")
  want = [["landmarks", "pose"], ["verification"]]
  assert planned(names, data) == (want, [])
  both, problems = planned((), data)
  assert len(both[0]) == 5 and len(both[1]) == 2 and not problems


def test_what_is_named_and_not_possible_is_told_as_named():
  found, problems = planned(("geometry", "pose", "attributes"), [inputs()])
  assert found == [["pose"]]
  assert [text.partition(":")[0] for text in problems] == [
    "geometry",
    "attributes",
  ]
  assert "has the labels for geometry, or other" in problems[0]
  assert "has the labels for attributes (attributes), or" in problems[1]


def test_the_matrix_is_of_one_set():
  data = [inputs("csv:a"), inputs("csv:b")]
  found, (problem,) = planned((), data)
  assert found == [[x for x in PROBES if x != "attributes"]] * 2
  assert problem.startswith("leakage: more than one set")
  with pytest.raises(errors.InputError, match="^leakage: more than one set"):
    tasks.plan(("leakage",), data)


def test_nothing_to_do_is_an_error():
  data = [inputs(drop=made_up.labelled([0], 1).labels)]
  with pytest.raises(errors.InputError) as caught:
    tasks.plan((), data)
  assert str(caught.value).count("nothing in csv:made_up has") == 1
  with pytest.raises(errors.InputError, match="^pose: .* verification: "):
    tasks.plan(("pose", "verification"), data)
