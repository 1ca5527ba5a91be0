"""Evaluates a trained run beside its baselines, and writes a report.

python -m facerep_jax.evaluate --workdir=RUN --output=DIR

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import dataclasses
import datetime
import logging
import pathlib
import sys
from typing import Any, NamedTuple

import jax

from facerep_jax import cli, errors
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.data.labelled import landmark_pose, open_set
from facerep_jax.evaluators import (
  features,
  geometry_task,
  leakage_task,
  linear_probe,
  probe_tasks,
  reconstruction_task,
  report,
  results,
  saved_probes,
  studies,
  supervised,
  verification_task,
)
from facerep_jax.files import outputs
from facerep_jax.inference import api, crop_choice, model_choice, packaged

_log = logging.getLogger(__name__)
BENCHMARK = "synthetic:benchmark"
TASKS = (
  *probe_tasks.TASKS,
  *verification_task.TASKS,
  "reconstruction",
  "geometry",
  "leakage",
)


class Found(NamedTuple):
  """What an evaluation gathers on its way.

  Attributes:
    tasks: Entries of results.json.
    pictures: By number of the task, as `report.write` takes them.
    leakage: Of results.json.
    fitted: Read-outs by (data set, task, feature).
    classes: Names of the outputs of those that tell classes apart, likewise.
    problems: Why what was asked for could not be measured, a text each.
  """

  tasks: list[dict[str, Any]]
  pictures: dict[int, dict[str, list]]
  leakage: list[dict[str, Any]]
  fitted: dict[str, linear_probe.Readout]
  classes: dict[str, list[str]]
  problems: list[str]


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used; or, at the
      end, some of the tasks that were named could not be done.
  """
  options = _parser().parse_args(arguments)
  place = model_choice.place_of(options)
  tasks = _tasks(options.tasks)
  if options.supervised_steps < 0:
    raise errors.InputError(
      f"--supervised-steps={options.supervised_steps}: expected 0 or more."
    )
  if options.folds < 0 or options.folds == 1:
    raise errors.InputError(
      f"--folds={options.folds}: expected 2 or more, or 0 for the data's own "
      "split."
    )
  outputs.check_folder(options.output, "--output")
  saved = saved_probes.load(options.readouts) if options.readouts else None
  networks = _networks(place, options)
  data = {x: _open_data(x, options) for x in options.data or [BENCHMARK]}
  impossible = _impossible(tasks, data, options, networks)
  for problem in impossible.values():
    _log.warning("not measured: %s", problem)
  tasks = [task for task in tasks if task not in impossible]
  found = Found([], {}, [], {}, {}, list(impossible.values()))
  for text, opened in data.items():
    _on_data(text, opened, tasks, options, networks, saved, found)
  if found.problems and not (found.tasks or found.leakage):
    raise errors.InputError(" ".join(found.problems))
  for line in report.lines(found.tasks):
    print(line)
  _write(place, options, networks, found)
  print(f"{options.output}: report.html and results.json")
  if found.problems:
    raise errors.InputError(
      f"{options.output}: holds the rest, but not measured: "
      f"{' '.join(found.problems)}"
    )


def _parser():
  parser = cli.Parser("python -m facerep_jax.evaluate", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="folder of the report")
  add("--step", type=int, help="checkpoint to use; default: the best one")
  add(
    "--tasks",
    default="",
    help=f"separated by commas, of {', '.join(TASKS)}; default: all that the "
    "data has labels for",
  )
  add(
    "--data",
    action="append",
    help=f"labelled data, see docs/labelled.md; default {BENCHMARK}; may be "
    "given several times",
  )
  add(
    "--features",
    default="",
    help="which of the run's, separated by commas; default: all",
  )
  add(
    "--compare",
    default="",
    help="other runs, files or models, separated by commas",
  )
  add(
    "--crop",
    choices=labelled_base.CUTS,
    help="how the images are cut, where that is not as the data's kind says",
  )
  add("--detector", help="model file (.onnx) for cv2.FaceDetectorYN")
  add(
    "--fit-pose",
    action="store_true",
    help="derive the pose from 68 landmarks where it is not labelled",
  )
  add(
    "--folds",
    type=int,
    default=0,
    help="cross-validate over this many folds of people instead of the data's "
    "own split; 0: only where it has none",
  )
  add("--readouts", help="apply the readouts.npz of another evaluation")
  add(
    "--supervised-steps",
    type=int,
    default=supervised.Recipe.steps,
    help="training of the supervised upper bound; 0: leave it out",
  )
  return parser


def _tasks(text):
  tasks = text.split(",") if text else TASKS
  for task in tasks:
    if task not in TASKS:
      raise errors.InputError(
        f"--tasks={text}: {task!r} is none of {', '.join(TASKS)}."
      )
  return tasks


def _networks(place, options):
  run = api.load(place, step=options.step)
  _log.info("%s, checkpoint of step %d", place, run.step)
  paths = options.compare.split(",") if options.compare else []
  names = [packaged.title_of(path) for path in paths]
  for name in names:
    if names.count(name) > 1:
      raise errors.InputError(
        f"--compare={options.compare}: two runs are called {name!r}. Rename "
        "a folder or file."
      )
  compared = {name: api.load(path) for name, path in zip(names, paths)}
  steps = 0 if options.readouts else options.supervised_steps
  recipe = supervised.Recipe(steps=steps) if steps else None
  only = tuple(options.features.split(",")) if options.features else ()
  known = features.names(run)
  for name in only:
    if name not in known:
      raise errors.InputError(
        f"--features={options.features}: {name!r} is none of "
        f"{', '.join(known)}."
      )
  return studies.Networks(run, compared, recipe, only)


def _open_data(text, options):
  """Opens one labelled set, cut and labelled as the options say."""
  opened = open_set.open_data(text)
  if isinstance(opened, labelled_base.Pairs):
    images = _recut(opened.images, options.crop)
    return dataclasses.replace(opened, images=images)
  opened = {k: _recut(v, options.crop) for k, v in opened.items()}
  has_points = all("landmarks_px" in x.labels for x in opened.values())
  if options.fit_pose and has_points:
    opened = {k: landmark_pose.add(v) for k, v in opened.items()}
  return opened


def _impossible(tasks, data, options, networks):
  """Says of tasks why no set, or no single set, is fit for them."""
  offered = [
    _offered(text, opened, options, networks) for text, opened in data.items()
  ]
  known = set().union(*offered)
  # Those that are named must be there, of all that there are one.
  lacking = [task for task in tasks if task not in known]
  if not (options.tasks or not known):
    lacking = []
  problems = {task: _lack(task, data) for task in lacking}
  if "leakage" in tasks and sum("leakage" in one for one in offered) > 1:
    problems["leakage"] = (
      "leakage: more than one set has all labels of its matrix; give one set "
      "of --data, or leave it out of --tasks."
    )
  if len(problems) == len(tasks):
    texts = list(problems.values())
    raise errors.InputError(" ".join(texts if options.tasks else texts[:1]))
  return problems


def _lack(task, data):
  """Says what a task would need."""
  needed = probe_tasks.TASKS[task][1] if task in probe_tasks.TASKS else ()
  names = f" ({', '.join(needed)})" if needed else ""
  return (
    f"{task}: nothing in {', '.join(data)} has the labels for {task}{names}, "
    "or other options leave it out; see docs/evaluation.md."
  )


def _offered(text, opened, options, networks):
  """Returns the tasks for which a set has all that they need."""
  if isinstance(opened, labelled_base.Pairs):
    return set(verification_task.TASKS)
  labels = set.intersection(*(set(part.labels) for part in opened.values()))
  if "landmarks_px" in labels:
    labels.add("landmarks_ndc")
  offered = set(probe_tasks.allowed(labels))
  if options.readouts:
    return offered
  folder = open_set.folder(text)
  if folder and reconstruction_task.is_possible(networks):
    offered.add("reconstruction")
  if folder and geometry_task.is_possible(networks, folder):
    offered.add("geometry")
  is_split = "test" in opened and len(opened) > 1 and not options.folds
  if is_split and options.supervised_steps and not leakage_task.NEEDED - labels:
    offered.add("leakage")
  return offered


def _on_data(text, opened, tasks, options, networks, saved, found):
  """Evaluates on one labelled set."""
  if isinstance(opened, labelled_base.Pairs):
    if set(verification_task.TASKS).intersection(tasks):
      face = _find_face([opened.images], options)
      found.tasks.extend(
        _attempt(
          found, "pairs", verification_task.run, opened, networks, face, tasks
        )
        or ()
      )
    return
  folder = open_set.folder(text)
  offered = _offered(text, opened, options, networks).intersection(tasks)
  if offered.intersection((*probe_tasks.TASKS, "leakage")):
    _on_features(opened, tasks, options, networks, saved, found)
  if "reconstruction" in offered:
    task = _attempt(
      found, "reconstruction", reconstruction_task.run, networks, folder
    )
    found.tasks.extend([task] if task else [])
  if "geometry" in offered:
    task = _attempt(found, "geometry", geometry_task.run, networks, folder)
    found.tasks.extend(task or [])


def _attempt(found, name, run, *args):
  """Runs one task; where it cannot be done, the others remain."""
  try:
    return run(*args)
  except errors.InputError as error:
    _log.warning("not measured: %s: %s", name, error)
    found.problems.append(f"{name}: {error}")
    return None


def _on_features(opened, tasks, options, networks, saved, found):
  """Runs the tasks that read features of one labelled set out."""
  face = _find_face(list(opened.values()), options)
  study = studies.build(opened, networks, face, options.folds)
  for task in probe_tasks.allowed(study.crops.labels):
    if task in tasks:
      _attempt(found, task, _on_task, study, task, saved, found)
  if leakage_task.is_possible(study) and "leakage" in tasks and not saved:
    matrix = _attempt(found, "leakage", leakage_task.run, study)
    found.leakage.extend([matrix] if matrix else [])


def _recut(labelled, cut):
  return dataclasses.replace(labelled, cut=cut or labelled.cut)


def _find_face(parts, options):
  """Returns what cuts the face out of a set's photos, where that is needed."""
  if parts[0].cut != "photo":
    return None
  places = [(part, i) for part in parts for i in range(len(part))]

  def read(number):
    part, i = places[number]
    return part.read(i)

  name = parts[0].name
  return crop_choice.choose("auto", name, len(places), read, options.detector)


def _on_task(study, task, saved, found):
  """Runs one task that reads features out."""
  classes = probe_tasks.classes_of(study, task)
  fitted = saved_probes.pick(saved, task, classes) if saved else {}
  result, pictures, made = probe_tasks.run(study, task, fitted)
  found.pictures[len(found.tasks)] = pictures
  found.tasks.append(result)
  for name, value in made.items():
    key = saved_probes.key(study.crops.source.name, task, name)
    found.fitted[key] = value
    found.classes[key] = classes


def _write(place, options, networks, found):
  """Writes the report, the results and the read-outs."""
  config, run = networks.run.config, networks.run
  measured = {
    "format": results.FORMAT,
    "run": packaged.title_of(place),
    "step": int(run.step),
    "config": {"system": config.system, "preset": config.preset},
    "date": datetime.date.today().isoformat(),
    "device": jax.devices()[0].device_kind,
    "compare": sorted(networks.compared),
    "tasks": found.tasks,
    "leakage": found.leakage[0] if found.leakage else None,
  }
  report.write(options.output, measured, found.pictures)
  path = pathlib.Path(options.output) / saved_probes.FILE
  if found.fitted:
    saved_probes.save(path, found.fitted, found.classes)
  elif pathlib.Path(options.readouts or "").resolve() != path.resolve():
    path.unlink(missing_ok=True)  # Of an earlier call.


if __name__ == "__main__":
  sys.exit(cli.run(main))
