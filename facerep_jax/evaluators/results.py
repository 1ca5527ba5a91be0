"""The results of an evaluation as JSON: its keys, checked, and its file."""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import results_schema

FORMAT = results_schema.FORMAT
TASKS, KINDS = results_schema.TASKS, results_schema.KINDS


def plain(value: Any, where: str = "results") -> Any:
  """Turns a value into what JSON can hold.

  Args:
    value: Dicts with str keys, lists, tuples, named tuples (they become dicts),
      NumPy arrays and scalars, str, bool, int, float, None; nested.
    where: What the value is called in a message.

  Returns:
    Dicts, lists, str, bool, int, float, None; a number that is not finite
    becomes None.

  Raises:
    InputError: The value, or a part of it, is of another type.
  """
  if isinstance(value, np.ndarray | np.generic):
    value = value.tolist()
  if hasattr(value, "_asdict"):
    value = value._asdict()
  if isinstance(value, dict):
    for key in value:
      if not isinstance(key, str):
        raise errors.InputError(f"{where}: key {key!r} is not a str.")
    return {key: plain(v, f"{where}.{key}") for key, v in value.items()}
  if isinstance(value, list | tuple):
    return [plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
  if isinstance(value, float):
    return float(value) if math.isfinite(value) else None
  if value is None or isinstance(value, str | bool | int):
    return value
  raise errors.InputError(
    f"{where}: a {type(value).__name__} cannot be written as JSON. Give a "
    f"number, a str, a list or a dict."
  )


def complete(results: dict[str, Any]) -> dict[str, Any]:
  """Makes results plain, names the order of their scores, and checks them.

  Args:
    results: As docs/evaluation.md describes; the first score of a task's own
      entry (kind "run") is its main one.

  Returns:
    The same in plain values. Every task has `metrics`, the names of its scores
    with the main one first, since JSON with sorted keys keeps no order.

  Raises:
    InputError: A key is missing, unknown, or holds what it must not; or
      jsonschema is not installed.
  """
  results = plain(results)
  results_schema.check(results)
  results["tasks"] = _complete_tasks(results["tasks"])
  if results["leakage"] is not None:
    _check_leakage("results.leakage", results["leakage"])
  return results


def complete_tasks(tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """Does what `complete` does, for the tasks of results alone."""
  tasks = plain(list(tasks), "results.tasks")
  results_schema.check(tasks, "tasks")
  return _complete_tasks(tasks)


def own(task: dict[str, Any]) -> dict[str, Any]:
  """Returns a task's own entry: its first one of kind "run"."""
  return next(entry for entry in task["entries"] if entry["kind"] == "run")


def dumps(results: dict[str, Any]) -> str:
  """Returns complete results as JSON text, keys sorted."""
  return json.dumps(results, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read(path: str | os.PathLike) -> dict[str, Any]:
  """Reads a results.json.

  Args:
    path: The file.

  Returns:
    Complete results.

  Raises:
    InputError: It is not there, is no JSON, or is not of this format; or
      jsonschema is not installed.
  """
  path = pathlib.Path(path)
  try:
    read = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise errors.InputError(
      f"{path}: is not there. Evaluate the run first."
    ) from error
  except ValueError as error:
    raise errors.InputError(
      f"{path}: is no JSON ({error}). Evaluate the run again."
    ) from error
  results_schema.require()
  try:
    return complete(read)
  except errors.InputError as error:
    raise errors.InputError(
      f"{path}: {error} Evaluate the run again."
    ) from error


def words(name: str) -> str:
  """Returns the name of a score, a task or a factor for a reader."""
  return name.replace("_", " ")


def heading(task: dict[str, Any]) -> str:
  """Returns a task's name with that of its data, for a reader."""
  return f"{words(task['task'])}: {task['dataset']}, {task['split']}"


def decimals(values: Iterable[float | None]) -> int:
  """Returns how many decimals show the largest of some numbers well."""
  largest = max((abs(v) for v in values if v is not None), default=0.0)
  if largest == 0.0:
    return 2
  return min(6, max(2, 2 - math.floor(math.log10(largest / 2))))


def _complete_tasks(tasks):
  """Adds the names of the scores; checks what the schema does not say."""
  for i, task in enumerate(tasks):
    where = f"results.tasks[{i}]"
    for j, entry in enumerate(task["entries"]):
      _check_confusion(f"{where}.entries[{j}].details", entry["details"])
    names = _metrics(task)
    task.setdefault("metrics", names)
    if task["metrics"] != names or names[0] not in own(task)["scores"]:
      raise errors.InputError(
        f"{where}.metrics: expected the names of the scores, first one of the "
        f"run's own {', '.join(own(task)['scores'])}; got {task['metrics']}."
      )
  return tasks


def _metrics(task):
  """Returns the names of a task's scores, its own entry's first."""
  names = dict.fromkeys(task.get("metrics", []))
  for entry in [own(task), *task["entries"]]:
    names.update(dict.fromkeys(entry["scores"]))
  found = {name for entry in task["entries"] for name in entry["scores"]}
  return [name for name in names if name in found]


def _check_confusion(where, details):
  if "confusion" in details:
    sides = {len(details["confusion"]), *map(len, details["confusion"])}
    sides.add(len(details.get("classes", ())))
    if len(sides) > 1:
      raise errors.InputError(
        f"{where}.confusion: expected a square matrix with a name in "
        f"details.classes for each row."
      )


def _check_leakage(where, leakage):
  features, factors = leakage["features"], leakage["factors"]
  for name in ("floor", "ceiling"):
    if leakage[name] not in features:
      raise errors.InputError(
        f"{where}.{name}: {leakage[name]!r} is none of the features {features}."
      )
  results_schema.check_keys(f"{where}.values", leakage["values"], features)
  for feature, values in leakage["values"].items():
    results_schema.check_keys(f"{where}.values.{feature}", values, factors)
