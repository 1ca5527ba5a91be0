"""The images and the scores by which variants are compared."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.data.labelled import open_set, track_pairs
from facerep_jax.evaluators import (
  base,
  bootstrap,
  expression,
  features,
  landmarks,
  pose,
  probe_tasks,
  results,
  verification,
)
from facerep_jax.inference import api

NUM_PAIRS = 6000
_DIGITS = 4  # Of what is kept of draws.
_NEEDED = ("track", "expression", "yaw_rad", "landmarks_ndc")


class Column(NamedTuple):
  """A score of the table.

  Attributes:
    feature: Which feature of a row.
    task: Key of `_TASKS`.
    title: For the table.
  """

  feature: str
  task: str
  title: str


class Bench(NamedTuple):
  """Labelled images, cut for one run.

  Attributes:
    crops: Of all parts.
    train: [K] int, rows that linear probes are fitted on.
    test: [M] int, rows of other people that they are measured on.
    pairs: Left and right [P] int, rows among `test`; same [P] bool; fold [P].
  """

  crops: features.Crops
  train: np.ndarray
  test: np.ndarray
  pairs: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def open_data(text: str) -> dict[str, labelled_base.Labelled]:
  """Opens labelled tracks with a training and a test part.

  Args:
    text: As for `--data` of `facerep_jax.evaluate`.

  Raises:
    InputError: They are not there, or lack labels.
  """
  parts = open_set.open_data(text)
  is_split = isinstance(parts, dict) and "test" in parts and len(parts) > 1
  labels = set()
  if is_split:
    labels = set.intersection(*(set(part.labels) for part in parts.values()))
    labels |= {"landmarks_ndc"} if "landmarks_px" in labels else set()
  if not is_split or set(_NEEDED) - labels:
    raise errors.InputError(
      f"--data={text}: expected tracks with a training and a test part and the "
      f"labels {', '.join(_NEEDED)}, such as synthetic:benchmark."
    )
  return parts


def cut(
  parts: dict[str, labelled_base.Labelled], model: api.Representation
) -> Bench:
  """Cuts the images for a run, and draws the pairs, the same every time."""
  found = {name: features.crop(part, model) for name, part in parts.items()}
  crops, divisions, _ = probe_tasks.divide(found)
  train, test = divisions[0]
  pairs = track_pairs.draw(parts["test"], NUM_PAIRS)
  return Bench(crops, train, test, pairs)


def measure(
  bench: Bench, row: dict[str, np.ndarray], columns: tuple[Column, ...]
) -> list[dict[str, Any]]:
  """Measures the features of one row of the table.

  Args:
    bench: Images.
    row: [N, D] float32 by name, N all images.
    columns: What to measure.

  Returns:
    A score for each column, as in results.json, and beside it `drawn`, the
    values on the bootstrap's draws of people, which are the same for all rows.
  """
  return [
    _TASKS[column.task](bench, np.asarray(row[column.feature], np.float32))
    for column in columns
  ]


def _verification(bench, values):
  left, right, same, fold = bench.pairs
  rows = values[bench.test]
  person = bench.crops.group[bench.test][left]
  found = verification.cosine(rows[left], rows[right], same, fold, group=person)
  return _score(found, "accuracy", person)


def _expression(bench, values):
  return _read_out(expression, bench, values, "macro_auc")


def _yaw(bench, values):
  return _read_out(pose, bench, values, "mae_yaw")


def _landmarks(bench, values):
  return _read_out(landmarks, bench, values, "error_interocular")


def _read_out(module, bench, values, score):
  """Fits a linear probe to training people, measures it on others."""
  crops = bench.crops
  parts = [
    probe_tasks.part_of(crops.labels, values, crops.group, rows)
    for rows in (bench.train, bench.test)
  ]
  found = module.fit(parts[0])
  measured: base.Measured = module.measure(
    found.outputs(parts[1].features), parts[1].labels, parts[1].group
  )
  return _score(measured, score, parts[1].group)


def _score(measured, name, group):
  _, drawn = bootstrap.drawn(measured.statistics[name], group)
  score = measured.scores[name]._asdict()
  return results.plain(score | {"drawn": drawn.round(_DIGITS)})


_TASKS = {
  "verification": _verification,
  "expression": _expression,
  "yaw": _yaw,
  "landmarks": _landmarks,
}


def thinned(
  parts: dict[str, labelled_base.Labelled], step: int
) -> dict[str, labelled_base.Labelled]:
  """Keeps every `step`-th image of each part."""
  return {
    name: dataclasses.replace(
      labelled_base.subset(part, np.arange(0, len(part.names), step))
    )
    for name, part in parts.items()
  }
