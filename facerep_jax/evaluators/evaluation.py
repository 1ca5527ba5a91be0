"""Evaluates a trained model beside its baselines."""

import dataclasses
import datetime
import logging
import os
import pathlib
from typing import Any, NamedTuple

import jax

from facerep_jax import errors
from facerep_jax.evaluators import (
  feature_cache,
  features,
  linear_probe,
  quick,
  report,
  results,
  saved_probes,
  studies,
  supervised,
  task_inputs,
  tasks,
  verification_task,
)
from facerep_jax.inference import api, packaged

_log = logging.getLogger(__name__)
BENCHMARK = "synthetic:benchmark"


@dataclasses.dataclass(frozen=True)
class Options:
  """What is measured, on which data, and beside what.

  Attributes:
    tasks: Keys of `tasks.TASKS`; none stands for all that the data allow.
    data: Labelled sets, as `open_set.open_data` takes them.
    features: Those of the run that are measured; none stands for all.
    compare: Other runs, files or models.
    step: Checkpoint of the run; None: the best one.
    crop: One of `labelled.base.CUTS`, how the images are cut; None: as the
      data's kind says.
    detector: As `detect.make_detector` takes it.
    fit_pose: Whether the pose is derived from 68 landmarks where it is not
      labelled.
    folds: Folds of people instead of the data's own split; 0: only where it
      has none.
    probes: File of fitted linear probes to apply; None: they are fitted.
    supervised_steps: Training of the supervised bound; 0: it is left out.
    is_quick: Whether a sample of each set is measured, without the supervised
      bound and tasks on tracks; see `quick.sample`.
    use_cache: Whether features of images are kept for later evaluations, and
      taken from earlier ones.

  Raises:
    InputError: A task is unknown, or a number is out of its range.
  """

  tasks: tuple[str, ...] = ()
  data: tuple[str, ...] = (BENCHMARK,)
  features: tuple[str, ...] = ()
  compare: tuple[str, ...] = ()
  step: int | None = None
  crop: str | None = None
  detector: str | None = None
  fit_pose: bool = False
  folds: int = 0
  probes: str | None = None
  supervised_steps: int = supervised.Recipe.steps
  is_quick: bool = False
  use_cache: bool = True

  def __post_init__(self):
    for task in self.tasks:
      if task not in tasks.TASKS:
        raise errors.InputError(
          f"--tasks={','.join(self.tasks)}: {task!r} is none of "
          f"{', '.join(tasks.TASKS)}."
        )
    if self.supervised_steps < 0:
      raise errors.InputError(
        f"--supervised-steps={self.supervised_steps}: expected 0 or more."
      )
    if self.folds < 0 or self.folds == 1:
      raise errors.InputError(
        f"--folds={self.folds}: expected 2 or more, or 0 for the data's own "
        "split."
      )


class Evaluation(NamedTuple):
  """What an evaluation found.

  Attributes:
    results: As docs/evaluation.md describes, with NumPy values.
    pictures: By number of the task, as `report.write` takes them.
    fitted: Linear probes that were fitted, by `saved_probes.key`.
    classes: Names of the classes that they tell apart, likewise.
    problems: Why what was asked for could not be measured, a text each.
    probes: File of the linear probes that were applied; None: they were fitted.
  """

  results: dict[str, Any]
  pictures: dict[int, dict[str, list]]
  fitted: dict[str, linear_probe.LinearProbe]
  classes: dict[str, list[str]]
  problems: list[str]
  probes: str | None = None


class _Found:
  """Gathers what tasks find; where one cannot be done, the others remain."""

  def __init__(self, problems):
    self.entries, self.pictures, self.leakage = [], {}, None
    self.fitted, self.classes, self.problems = {}, {}, problems

  def add(self, outcome):
    if outcome.pictures:
      self.pictures[len(self.entries)] = outcome.pictures
    self.entries += outcome.entries
    self.fitted |= outcome.fitted
    self.classes |= outcome.classes
    self.leakage = self.leakage or outcome.leakage

  def attempt(self, name, measure):
    """Adds the outcomes that `measure` returns, or else why there are none."""
    try:
      outcomes = measure()
    except errors.InputError as error:
      _log.warning("not measured: %s: %s", name, error)
      self.problems.append(f"{name}: {error}")
      return
    for outcome in outcomes:
      self.add(outcome)


def evaluate(
  place: str | os.PathLike, options: Options | None = None
) -> Evaluation:
  """Evaluates a trained model; the log says what could not be measured.

  Args:
    place: A run's folder, a file or a model's name, as `api.load` takes it.
    options: What is measured; by default all that the benchmark allows.

  Returns:
    What was found, for `write`.

  Raises:
    InputError: What the options name cannot be used, an image of labelled data
      cannot be read, or nothing could be measured.
  """
  options = options or Options()
  saved = saved_probes.load(options.probes) if options.probes else None
  networks = _networks(place, options)
  data = []
  for text in dict.fromkeys(options.data):
    opened = task_inputs.open_data(
      text, crop=options.crop, fit_pose=options.fit_pose
    )
    if options.is_quick:
      opened = quick.sample(opened)
    data.append(
      task_inputs.Inputs(
        text,
        opened,
        networks,
        options.folds,
        saved,
        options.detector,
        options.is_quick,
      )
    )
  planned, problems = tasks.plan(options.tasks, data)
  for problem in problems:
    _log.warning("not measured: %s", problem)
  found = _Found(problems)
  for inputs, chosen in zip(data, planned):
    _measure(inputs, chosen, found)
  if found.problems and not (found.entries or found.leakage):
    raise errors.InputError(" ".join(found.problems))
  return Evaluation(
    _results(place, networks, found) | {"quick": options.is_quick},
    found.pictures,
    found.fitted,
    found.classes,
    found.problems,
    options.probes or None,
  )


def write(folder: str | os.PathLike, done: Evaluation) -> None:
  """Writes the report, the results and the linear probes that were fitted.

  Args:
    folder: Where to; made if it is not there. Linear probes of an earlier
      evaluation that lie there are deleted, but for those that were applied.
    done: What `evaluate` returned.
  """
  report.write(folder, done.results, done.pictures)
  path = pathlib.Path(folder) / saved_probes.FILE
  if done.fitted:
    saved_probes.save(path, done.fitted, done.classes)
  elif pathlib.Path(done.probes or "").resolve() != path.resolve():
    path.unlink(missing_ok=True)  # Of an earlier call.


def _networks(place, options):
  run = api.load(place, step=options.step)
  _log.info("%s, checkpoint of step %d", place, run.step)
  names = [packaged.title_of(path) for path in options.compare]
  for name in names:
    if names.count(name) > 1:
      raise errors.InputError(
        f"--compare={','.join(options.compare)}: two runs are called {name!r}. "
        "Rename a folder or file."
      )
  compared = {name: api.load(x) for name, x in zip(names, options.compare)}
  is_bound = not (options.probes or options.is_quick)
  steps = options.supervised_steps if is_bound else 0
  recipe = supervised.Recipe(steps=steps) if steps else None
  known = features.names(run)
  for name in options.features:
    if name not in known:
      raise errors.InputError(
        f"--features={','.join(options.features)}: {name!r} is none of "
        f"{', '.join(known)}."
      )
  cache = feature_cache.default() if options.use_cache else None
  return studies.Networks(run, compared, recipe, options.features, cache)


def _measure(inputs, chosen, found):
  """Runs the tasks of one labelled set, kind by kind."""
  for kind, measure in _MEASURE.items():
    of_kind = [task for task in chosen if task.kind == kind]
    if of_kind:
      measure(inputs, of_kind, found)


def _on_features(inputs, chosen, found):
  parts, networks = inputs.opened, inputs.networks
  face = task_inputs.find_face(list(parts.values()), inputs.detector)
  study = studies.build(parts, networks, face, inputs.num_folds)
  for task in chosen:
    found.attempt(task.name, lambda task=task: [task.run(inputs, study)])


def _on_pairs(inputs, chosen, found):
  pairs, networks = inputs.opened, inputs.networks
  face = task_inputs.find_face([pairs.images], inputs.detector)

  def measure():
    study = verification_task.build(pairs, networks, face)
    return [task.run(inputs, study) for task in chosen]

  found.attempt(tasks.PAIRS, measure)


def _on_tracks(inputs, chosen, found):
  for task in chosen:
    found.attempt(task.name, lambda task=task: [task.run(inputs, None)])


_MEASURE = {
  tasks.FEATURES: _on_features,
  tasks.PAIRS: _on_pairs,
  tasks.TRACKS: _on_tracks,
}


def _results(place, networks, found):
  """Returns what results.json holds."""
  config, run = networks.run.config, networks.run
  return {
    "format": results.FORMAT,
    "run": packaged.title_of(place),
    "step": int(run.step),
    "config": {"system": config.system, "preset": config.preset},
    "date": datetime.date.today().isoformat(),
    "device": jax.devices()[0].device_kind,
    "compare": sorted(networks.compared),
    "tasks": found.entries,
    "leakage": found.leakage,
  }
