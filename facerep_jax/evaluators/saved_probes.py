"""A file of fitted linear probes, to apply them to other data later."""

import dataclasses
import os
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import linear_probe
from facerep_jax.inference import probe_file

FILE = "probes.npz"
key = probe_file.key


def save(
  path: str | os.PathLike,
  fitted: dict[str, linear_probe.LinearProbe],
  classes: dict[str, list[str]],
  about: Mapping[str, Any] = types.MappingProxyType({}),
  *,
  is_small: bool = False,
) -> None:
  """Writes linear probes with the names of the classes they tell apart.

  Args:
    path: The file.
    fitted: By `key`.
    classes: By `key`; no names for linear probes of numbers.
    about: What else the file says; can be written as JSON.
    is_small: As for `probe_file.save`.
  """
  meta = {"classes": classes} | dict(about)
  probe_file.save(str(path), fitted, meta, is_small=is_small)


def load(
  path: str | os.PathLike,
) -> dict[str, tuple[linear_probe.LinearProbe, list[str]]]:
  """Reads what `save` wrote: linear probes and class names, by `key`.

  Raises:
    InputError: The file is missing, damaged, or none of linear probes.
  """
  fitted, meta = probe_file.load(str(path))
  known = meta.get("classes") if isinstance(meta, dict) else None
  if not isinstance(known, dict) or not all(
    len(probe_file.apart(x)) == 3 for x in fitted
  ):
    raise errors.InputError(
      f"{path}: its linear probes are not of an evaluation. Give the {FILE} "
      "that facerep_jax.evaluate wrote."
    )
  return {name: (found, known.get(name, [])) for name, found in fitted.items()}


def pick(
  saved: dict[str, tuple[linear_probe.LinearProbe, list[str]]],
  task: str,
  classes: list[str],
) -> dict[str, linear_probe.LinearProbe]:
  """Picks the linear probes of a task and puts their classes in order.

  Args:
    saved: As `load` returns them.
    task: Name of the task.
    classes: Of the data they shall be applied to; empty for numbers.

  Returns:
    By feature, with one column for each of `classes`; a class that a linear
    probe does not know is never predicted.

  Raises:
    InputError: There is none for the task, there are some of several data
      sets, or no class is known.
  """
  found, sets = {}, set()
  for name, (fitted, known) in saved.items():
    dataset, of_task, feature = probe_file.apart(name)
    if of_task == task:
      sets.add(dataset)
      found[feature] = _in_order(fitted, known, classes, task)
  if len(sets) != 1:
    raise errors.InputError(
      f"--probes: expected those of one data set for {task}, found "
      f"{', '.join(sorted(sets)) or 'none'}."
    )
  return found


def _in_order(fitted, known, classes, task):
  """Returns a linear probe whose columns are `classes`."""
  if not classes:
    return fitted
  if not set(known) & set(classes):
    raise errors.InputError(
      f"--probes: those for {task} know {', '.join(known) or 'no class'}, "
      f"but the data has {', '.join(classes)}."
    )
  weights = np.zeros((len(fitted.mean), len(classes)))
  offset = np.full(len(classes), -np.inf)
  for i, name in enumerate(classes):
    if name in known:
      weights[:, i] = fitted.weights[:, known.index(name)]
      offset[i] = fitted.offset[known.index(name)]
  return dataclasses.replace(fitted, weights=weights, offset=offset)
