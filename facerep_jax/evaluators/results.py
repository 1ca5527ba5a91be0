"""The results of an evaluation as JSON: its keys, checked, and its file."""

import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from facerep_jax import errors

FORMAT = 1  # It changes when a key changes its meaning.
TASKS = (
  "landmarks",
  "pose",
  "expression",
  "expression_multilabel",
  "attributes",
  "action_units",
  "verification",
  "verification_supervised",
  "reconstruction",
  "geometry",
  "geometry_view",
  "geometry_albedo",
)
# "baseline": a rule without a network, such as copying the source frame.
KINDS = (
  "run",
  "random",
  "pixels",
  "hog",
  "supervised",
  "compare",
  "baseline",
)


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
    InputError: A key is missing, unknown, or holds what it must not.
  """
  results = plain(results)
  _keys("results", results, _RESULTS, {})
  results["tasks"] = complete_tasks(results["tasks"])
  if results["leakage"] is not None:
    _check_leakage("results.leakage", results["leakage"])
  return results


def complete_tasks(tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """Does what `complete` does, for the tasks of results alone."""
  tasks = plain(list(tasks), "results.tasks")
  for i, task in enumerate(tasks):
    where = f"results.tasks[{i}]"
    _keys(where, task, _TASK, {"metrics": _NAMES})
    for j, entry in enumerate(task["entries"]):
      _check_entry(f"{where}.entries[{j}]", entry)
    task.setdefault("metrics", _metrics(where, task))
    names = _metrics(where, task)
    if task["metrics"] != names or names[0] not in own(task)["scores"]:
      raise errors.InputError(
        f"{where}.metrics: expected the names of the scores, first one of the "
        f"run's own {', '.join(own(task)['scores'])}; got {task['metrics']}."
      )
  return tasks


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
    InputError: It is not there, is no JSON, or is not of this format.
  """
  path = pathlib.Path(path)
  try:
    return complete(json.loads(path.read_text(encoding="utf-8")))
  except FileNotFoundError as error:
    raise errors.InputError(
      f"{path}: is not there. Evaluate the run first."
    ) from error
  except ValueError as error:  # InputError is one too.
    raise errors.InputError(f"{path}: {error}") from error


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


def _metrics(where, task):
  """Returns the names of a task's scores, its own entry's first."""
  if not any(entry["kind"] == "run" for entry in task["entries"]):
    raise errors.InputError(
      f'{where}.entries: none is of kind "run", the one under evaluation.'
    )
  known = task.get("metrics", [])
  names = dict.fromkeys(name for name in known)
  for entry in [own(task), *task["entries"]]:
    names.update(dict.fromkeys(entry["scores"]))
  found = {name for entry in task["entries"] for name in entry["scores"]}
  return [name for name in names if name in found]


def _check_entry(where, entry):
  _keys(where, entry, _ENTRY, {})
  if entry["kind"] == "run" and not entry["scores"]:
    raise errors.InputError(f"{where}.scores: is empty. Give one or more.")
  for name, score in entry["scores"].items():
    _keys(f"{where}.scores.{name}", score, _SCORE, {})
  details = entry["details"]
  for name in sorted(details.keys() & _DETAILS.keys()):
    _value(f"{where}.details.{name}", details[name], *_DETAILS[name])
  if "confusion" in details:
    sides = {len(details["confusion"]), *map(len, details["confusion"])}
    sides.add(len(details.get("classes", ())))
    if len(sides) > 1:
      raise errors.InputError(
        f"{where}.details.confusion: expected a square matrix with a name in "
        f"details.classes for each row."
      )


def _check_leakage(where, leakage):
  _keys(where, leakage, _LEAKAGE, {})
  for name in ("floor", "ceiling"):
    if leakage[name] not in leakage["features"]:
      raise errors.InputError(
        f"{where}.{name}: {leakage[name]!r} is none of the features "
        f"{leakage['features']}."
      )
  by_feature = dict.fromkeys(leakage["features"], _DICT)
  by_factor = dict.fromkeys(leakage["factors"], _DICT)
  _keys(f"{where}.values", leakage["values"], by_feature, {})
  for feature, values in leakage["values"].items():
    _keys(f"{where}.values.{feature}", values, by_factor, {})
    for factor, value in values.items():
      _keys(f"{where}.values.{feature}.{factor}", value, _LEAKAGE_VALUE, {})


def _keys(where, value, required, optional):
  """Checks the keys of a dict and what each holds."""
  _value(where, value, *_DICT)
  for key in required:
    if key not in value:
      raise errors.InputError(
        f"{where}: the key {key!r} is missing; expected {', '.join(required)}."
      )
  known = required | optional
  for key, item in value.items():
    if key not in known:
      raise errors.InputError(
        f"{where}: unknown key {key!r}; expected {', '.join(required)}."
      )
    _value(f"{where}.{key}", item, *known[key])


def _value(where, value, is_right, expected):
  if not is_right(value):
    text = repr(value)
    text = text if len(text) <= 40 else text[:37] + "..."
    raise errors.InputError(f"{where}: expected {expected}, got {text}.")


def _is_int(value):
  return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
  return value is None or isinstance(value, float) or _is_int(value)


def _is_list(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
  return lambda value: isinstance(value, list) and all(map(is_right, value))


_is_names = _is_list(lambda name: isinstance(name, str))
_is_numbers = _is_list(_is_number)

# What a key may hold: a test, and the words for it in a message.
_STR = (lambda value: isinstance(value, str), "a str")
_BOOL = (lambda value: isinstance(value, bool), "True or False")
_COUNT = (lambda value: _is_int(value) and value >= 0, "an int of 0 or more")
_NUMBER = (_is_number, "a number or None")
_DICT = (lambda value: isinstance(value, dict), "a dict with str keys")
_NAMES = (_is_names, "a list of str")
_CONFIG = (
  lambda value: (
    isinstance(value, dict)
    and value.keys() == {"system", "preset"}
    and _is_names(list(value.values()))
  ),
  'a dict of "system" and "preset", each a str',
)


def _one_of(names):
  return lambda value: value in names, f"one of {', '.join(names)}"


_RESULTS = {
  "format": (lambda value: _is_int(value) and value == FORMAT, str(FORMAT)),
  "run": (
    lambda value: isinstance(value, str) and not set(value) & set("/\\"),
    "the name of the run's folder, without its path",
  ),
  "step": _COUNT,
  "config": _CONFIG,
  "date": _STR,
  "device": _STR,
  "compare": _NAMES,
  "tasks": (_is_list(lambda task: isinstance(task, dict)), "a list of dicts"),
  "leakage": (
    lambda value: value is None or isinstance(value, dict),
    "a dict or None",
  ),
}
_TASK = {
  "task": _one_of(TASKS),
  "dataset": _STR,
  "split": _STR,
  "crop": _STR,
  "protocol": _STR,
  "num_train": _COUNT,
  "num_test": _COUNT,
  "num_people": (
    lambda value: value is None or (_is_int(value) and value > 0),
    "an int of 1 or more, or None where people are unknown",
  ),
  "entries": (
    _is_list(lambda entry: isinstance(entry, dict)),
    "a list of dicts",
  ),
}
_ENTRY = {
  "feature": _STR,
  "kind": _one_of(KINDS),
  "dim": _COUNT,
  "scores": _DICT,
  "details": _DICT,
}
_SCORE = {
  "value": _NUMBER,
  "low": _NUMBER,
  "high": _NUMBER,
  "unit": _STR,
  "is_higher_better": _BOOL,
}
_LEAKAGE = {
  "dataset": _STR,
  "split": _STR,
  "num_train": _COUNT,
  "num_test": _COUNT,
  "factors": _NAMES,
  "features": _NAMES,
  "values": _DICT,
  "floor": _STR,
  "ceiling": _STR,
}
_LEAKAGE_VALUE = {
  "value": _NUMBER,
  "low": _NUMBER,
  "high": _NUMBER,
  "scaled": _NUMBER,
}
# Of the details, those that the report shows; there may be others.
_DETAILS = {
  "confusion": (_is_list(_is_numbers), "a list of rows of numbers"),
  "classes": _NAMES,
  "per_point": (_is_numbers, "a list of numbers"),
  "per_fold": (_is_numbers, "a list of numbers"),
  "per_class": (
    lambda value: (
      isinstance(value, dict) and all(map(_is_number, value.values()))
    ),
    "a dict of numbers",
  ),
  "roc": (
    _is_list(lambda point: _is_numbers(point) and len(point) == 2),
    "a list of pairs of numbers",
  ),
}
