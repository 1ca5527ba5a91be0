"""All tasks of an evaluation: what each needs, and how it is run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from facerep_jax import errors
from facerep_jax.evaluators import (
  geometry_task,
  leakage_task,
  linear_probe,
  probe_tasks,
  reconstruction_task,
  saved_probes,
  task_inputs,
  verification_task,
)

# What tasks run on, in the order in which they are run.
FEATURES, PAIRS, TRACKS = KINDS = ("features", "pairs", "tracks")


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a task found.

  Attributes:
    entries: Its entries of results.json.
    pictures: Of the first entry, as `report.write` takes them.
    fitted: Linear probes by `saved_probes.key`.
    classes: Names of the classes that linear probes tell apart, likewise.
    leakage: `leakage` of results.json; None from all other tasks.
  """

  entries: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  pictures: dict[str, list] = dataclasses.field(default_factory=dict)
  fitted: dict[str, linear_probe.LinearProbe] = dataclasses.field(
    default_factory=dict
  )
  classes: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  leakage: dict[str, Any] | None = None


# What is computed of a labelled set once for all tasks of a kind.
Study = probe_tasks.Study | verification_task.PairStudy | None


@dataclasses.dataclass(frozen=True)
class Task:
  """A task of an evaluation.

  Attributes:
    name: As `--tasks` and messages call it.
    kind: What it runs on, one of `KINDS`.
    run: Maps the inputs, and the features of their images or pairs (None where
      it runs on tracks), to what it found; raises `InputError`.
    labels: Those that it reads out; every image must have them.
    is_possible: Tells whether the inputs have what it needs beside them.
    is_single: Whether results hold one of it, so that one set alone has it.
  """

  name: str
  kind: str
  run: Callable[[task_inputs.Inputs, Study], Outcome]
  labels: tuple[str, ...] = ()
  is_possible: Callable[[task_inputs.Inputs], bool] = lambda inputs: True
  is_single: bool = False

  def fits(self, inputs: task_inputs.Inputs) -> bool:
    """Tells whether a set has all that the task needs."""
    return (
      inputs.is_pairs == (self.kind == PAIRS)
      and inputs.labels.issuperset(self.labels)
      and self.is_possible(inputs)
    )


def _probe(name):
  """Returns the task that reads labels out by a linear probe."""

  def run(inputs, study):
    classes = probe_tasks.classes_of(study, name)
    saved = inputs.saved
    fitted = saved_probes.pick(saved, name, classes) if saved else {}
    entry, pictures, made = probe_tasks.run(study, name, fitted)
    dataset = study.crops.source.name
    made = {saved_probes.key(dataset, name, k): v for k, v in made.items()}
    return Outcome([entry], pictures, made, {key: classes for key in made})

  return Task(name, FEATURES, run, probe_tasks.PROBES[name].labels)


def _verification(name):
  """Returns the task that verifies pairs by one rule."""
  return Task(
    name,
    PAIRS,
    lambda inputs, study: Outcome([verification_task.run(study, name)]),
  )


def _reconstruction(inputs, study):
  del study
  task = reconstruction_task.run(inputs.networks, inputs.folder)
  return Outcome([task])


def _geometry(inputs, study):
  del study
  return Outcome(geometry_task.run(inputs.networks, inputs.folder))


def _leakage(inputs, study):
  del inputs
  is_possible = leakage_task.is_possible(study)
  return Outcome(leakage=leakage_task.run(study) if is_possible else None)


def _has_tracks(inputs):
  """Tells whether networks can be run on tracks; saved probes are alone."""
  is_open = inputs.saved is None and not inputs.is_quick
  return is_open and inputs.folder is not None


def _has_reconstruction(inputs):
  return _has_tracks(inputs) and reconstruction_task.is_possible(
    inputs.networks
  )


def _has_geometry(inputs):
  return _has_tracks(inputs) and geometry_task.is_possible(
    inputs.networks, inputs.folder
  )


def _has_factors(inputs):
  """Tells whether there is a supervised bound, and labels for the matrix."""
  is_bound = inputs.networks.recipe is not None and inputs.is_split
  return is_bound and inputs.labels >= leakage_task.NEEDED


_LIST = (
  *(_probe(name) for name in probe_tasks.PROBES),
  *(_verification(name) for name in verification_task.RULES),
  Task(
    "reconstruction", TRACKS, _reconstruction, is_possible=_has_reconstruction
  ),
  Task("geometry", TRACKS, _geometry, is_possible=_has_geometry),
  Task("leakage", FEATURES, _leakage, is_possible=_has_factors, is_single=True),
)
TASKS = {task.name: task for task in _LIST}


def plan(
  names: Sequence[str], data: Sequence[task_inputs.Inputs]
) -> tuple[list[list[Task]], list[str]]:
  """Decides which tasks are run on which set.

  Args:
    names: Keys of `TASKS`; none stands for all that the sets allow.
    data: The sets, at least one.

  Returns:
    The tasks of each set, in the order of `TASKS`; and for each task that was
    named, or that several sets claim, and cannot be run, the reason.

  Raises:
    InputError: No task can be run.
  """
  offered = [[x for x in TASKS.values() if x.fits(one)] for one in data]
  counts = {
    name: sum(task in x for x in offered) for name, task in TASKS.items()
  }
  wanted = names or list(TASKS)
  problems = {}
  if names or not any(counts.values()):
    lacking = [name for name in wanted if not counts[name]]
    problems = {name: _lack(TASKS[name], data) for name in lacking}
  for name in wanted:
    if TASKS[name].is_single and counts[name] > 1:
      problems[name] = (
        f"{name}: more than one set has all labels of its matrix; give one set "
        "of --data, or leave it out of --tasks."
      )
  if len(problems) == len(wanted):
    texts = list(problems.values())
    raise errors.InputError(" ".join(texts if names else texts[:1]))
  chosen = set(wanted) - set(problems)
  planned = [[task for task in x if task.name in chosen] for x in offered]
  return planned, list(problems.values())


def _lack(task, data):
  """Says what a task would need."""
  labels = f" ({', '.join(task.labels)})" if task.labels else ""
  return (
    f"{task.name}: nothing in {', '.join(one.text for one in data)} has the "
    f"labels for {task.name}{labels}, or other options leave it out; see "
    "docs/evaluation.md."
  )
