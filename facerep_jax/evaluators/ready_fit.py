"""Fits the ready linear probes of a model, and measures them.

They are fitted to the training and validation people of labelled tracks, on
the feature that each task is about, and measured on the test people. Beside
them is a map that whitens a feature, for the distance to these people, where
that distance tells how large errors are.
"""

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.data.labelled import open_set
from facerep_jax.evaluators import (
  action_units,
  base,
  expression,
  feature_roles,
  features,
  landmarks,
  linear_probe,
  pose,
  probe_tasks,
  saved_probes,
)
from facerep_jax.inference import api, ready_probes
from facerep_jax.synthetic import actions

_UNITS = ready_probes.UNITS
# Of each task: what fits and measures it, and its labels.
_TASKS = {
  ready_probes.EXPRESSION: (expression, ("expression",)),
  _UNITS: (action_units, (_UNITS,)),
  ready_probes.LANDMARKS: (landmarks, ("landmarks_ndc",)),
  ready_probes.POSE: (pose, ("yaw_rad", "pitch_rad", "roll_rad")),
}
_COMPONENTS = 64  # Of the distance.
_LEAST_CORRELATION = 0.2  # Of distance and error; below, it tells nothing.


class Fit(NamedTuple):
  """Linear probes and how well they do.

  Attributes:
    fitted: By `saved_probes.key`.
    classes: Names of the classes that they tell apart, likewise.
    about: As `ready_probes.about`.
    measured: By task, on test people.
    num_train: Images that they were fitted to.
    num_test: Images that they were measured on.
  """

  fitted: dict[str, linear_probe.LinearProbe]
  classes: dict[str, list[str]]
  about: dict
  measured: dict[str, base.Measured]
  num_train: int
  num_test: int


def fit(model: api.Representation, text: str) -> Fit:
  """Fits linear probes to a model.

  Args:
    model: The model.
    text: Labelled tracks, as `open_set.open_data` takes them, with the labels
      expression, action_units_sided, landmarks_px and pose, and a test part.

  Returns:
    The linear probes.

  Raises:
    InputError: The data cannot be used, or the model has no feature for a task.
  """
  parts = open_set.open_data(text)
  _check(text, parts)
  cut = {name: features.crop(part, model) for name, part in parts.items()}
  crops, ((train, test),), _ = probe_tasks.divide(cut)
  main = _main(model)
  values = features.of_model(model, crops.pixels, _members(main))
  values = feature_roles.with_joined(values)
  classes = list(crops.source.classes["expression"])
  fitted, known, measured = {}, {}, {}
  for task, (module, _) in _TASKS.items():
    labels, feature = _labels(task, crops.labels), values[main[task]]
    part = probe_tasks.part_of(labels, feature, crops.group, train)
    is_one_class = task == ready_probes.EXPRESSION
    counts = {"num_classes": len(classes)} if is_one_class else {}
    found = module.fit(part, **counts)
    if is_one_class:
      found = even(found, labels["expression"][train])
    tested = {name: value[test] for name, value in labels.items()}
    outputs = found.outputs(feature[test])
    measured[task] = module.measure(outputs, tested, crops.group[test])
    name = f"{model.config.system}: {main[task]}"
    key = saved_probes.key(crops.source.name, task, name)
    fitted[key], known[key] = found, classes if is_one_class else []
    if task == ready_probes.LANDMARKS:
      white = whitening(feature[train])
      error = -measured[task].quality
      if tells_errors(white.outputs(feature[test]), error):
        key = saved_probes.key(crops.source.name, ready_probes.DISTANCE, name)
        fitted[key], known[key] = white, []
  told = f"{crops.source.name}: {len(train)} frames of "
  told += f"{len(np.unique(crops.group[train]))} people"
  about = ready_probes.about(
    tuple(actions.UNITS), _joined(main), model.fingerprint, told
  )
  return Fit(fitted, known, about, measured, len(train), len(test))


def even(
  found: linear_probe.LinearProbe, labels: np.ndarray
) -> linear_probe.LinearProbe:
  """Makes a classifier that takes all classes for equally frequent.

  In the tracks half of the frames are neutral; in other data, who knows.

  Args:
    found: Its outputs are logits, [N, K].
    labels: [M] int, what it was fitted to.

  Returns:
    A linear probe whose logits lack the log of each class's frequency; that of
    a class which never occurred stays -inf.
  """
  counts = np.bincount(labels, minlength=len(found.offset))
  shift = np.log(np.maximum(counts, 1) / counts.sum())
  return dataclasses.replace(found, offset=found.offset - shift)


def whitening(x: np.ndarray) -> linear_probe.LinearProbe:
  """Finds the map whose outputs have mean 0, variance 1 and no covariance.

  Args:
    x: [N, D] float, features.

  Returns:
    A linear probe of up to 64 outputs, along the main components of the
    standardised features.
  """
  x = np.asarray(x, np.float64)
  is_constant = np.ptp(x, axis=0) == 0
  mean, scale = x.mean(axis=0), np.where(is_constant, 1.0, x.std(axis=0))
  z = (x - mean) / scale
  values, vectors = np.linalg.eigh(z.T @ z / len(z))
  main = np.argsort(values)[::-1][:_COMPONENTS]
  main = main[values[main] > 1e-4 * values.max()]
  weights = vectors[:, main] / np.sqrt(values[main])
  return linear_probe.LinearProbe(
    mean, scale, weights, np.zeros(len(main)), strength=0.0
  )


def tells_errors(white: np.ndarray, error: np.ndarray) -> bool:
  """Says whether errors grow with the distance of a face.

  Args:
    white: [N, K] float, outputs of `whitening` on test faces.
    error: [N] float, of these faces.

  Returns:
    Whether their rank correlation is at least 0.2.
  """
  distance = np.mean(white**2, axis=1)
  ranks = [np.argsort(np.argsort(x)) for x in (distance, error)]
  return bool(np.corrcoef(*ranks)[0, 1] >= _LEAST_CORRELATION)


def write(path: str | os.PathLike, done: Fit) -> None:
  """Writes linear probes to a file; weights as float16.

  Args:
    path: Of the file, NAME.npz.
    done: What `fit` returned.

  Raises:
    InputError: A weight is beyond float16.
  """
  saved_probes.save(path, done.fitted, done.classes, done.about, is_small=True)


def _check(text, parts):
  """Refuses data without a test part or some of the labels."""
  if isinstance(parts, labelled_base.Pairs) or not (
    "test" in parts and len(parts) > 1
  ):
    raise errors.InputError(
      f"--data={text}: expected labelled images with a test part and others."
    )
  points = {"landmarks_px": "landmarks_ndc"}
  for part in parts.values():
    there = {points.get(name, name) for name in part.labels}
    needed = {name for _, labels in _TASKS.values() for name in labels}
    if missing := sorted(needed - there):
      raise errors.InputError(
        f"--data={text}: lacks the label {missing[0]}. Make synthetic tracks "
        "with this version: python -m facerep_jax.make_tracks."
      )


def _main(model):
  """Returns the feature of each task."""
  known = feature_roles.main(model.feature_names)
  known[_UNITS] = known.get("action_units")
  for task in _TASKS:
    if not known.get(task):
      raise errors.InputError(
        f"this model has no feature for {task}, only "
        f"{', '.join(model.feature_names)}."
      )
  return {task: known[task] for task in _TASKS}


def _joined(main):
  joined = feature_roles.JOINED
  return {name: joined[name] for name in main.values() if name in joined}


def _members(main):
  """Returns the features of the network that are needed."""
  joined = feature_roles.JOINED
  names = [x for name in main.values() for x in joined.get(name, (name,))]
  return tuple(dict.fromkeys(names))


def _labels(task, labels):
  """Returns a task's labels under the names that its module knows."""
  if task != _UNITS:
    return labels
  sides = labels[_UNITS]
  return {"action_units": sides.reshape(len(sides), -1)}
