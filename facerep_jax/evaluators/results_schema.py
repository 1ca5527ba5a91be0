"""The JSON schema of results.json, and the check against it."""

import functools
import types
from typing import Any

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


def _one_of(names):
  return {"enum": list(names), "description": f"one of {', '.join(names)}"}


def _list(items, description):
  return {"type": "array", "items": items, "description": description}


def _record(required, optional=None, **more):
  """Returns the schema of a dict with known keys alone."""
  return {
    "type": "object",
    "description": "a dict with str keys",
    "required": list(required),
    "additionalProperties": False,
    "properties": required | (optional or {}),
  } | more


def _dict_of(values, description="a dict with str keys"):
  """Returns the schema of a dict with any keys."""
  return {
    "type": "object",
    "additionalProperties": values,
    "description": description,
  }


# A message says of what is wrong the description of its schema.
_STR = {"type": "string", "description": "a str"}
_BOOL = {"type": "boolean", "description": "True or False"}
_COUNT = {
  "type": "integer",
  "minimum": 0,
  "description": "an int of 0 or more",
}
_NUMBER = {"type": ["number", "null"], "description": "a number or None"}
_NAMES = _list(_STR, "a list of str")
_NUMBERS = _list(_NUMBER, "a list of numbers")
_PAIR = _NUMBERS | {
  "minItems": 2,
  "maxItems": 2,
  "description": "a pair of numbers",
}

_SCORE = _record(
  {
    "value": _NUMBER,
    "low": _NUMBER,
    "high": _NUMBER,
    "unit": _STR,
    "is_higher_better": _BOOL,
  }
)
# Those that the report shows; there may be others.
_DETAILS = {
  "type": "object",
  "description": "a dict with str keys",
  "properties": {
    "confusion": _list(_NUMBERS, "a list of rows of numbers"),
    "classes": _NAMES,
    "per_point": _NUMBERS,
    "per_fold": _NUMBERS,
    "per_class": _dict_of(_NUMBER, "a dict of numbers"),
    "roc": _list(_PAIR, "a list of pairs of numbers"),
  },
}
_IS_RUN = {"required": ["kind"], "properties": {"kind": {"const": "run"}}}
_ENTRY = _record(
  {
    "feature": _STR,
    "kind": _one_of(KINDS),
    "dim": _COUNT,
    "scores": _dict_of(_SCORE),
    "details": _DETAILS,
  }
) | {
  "if": _IS_RUN,
  "then": {
    "properties": {
      "scores": {"minProperties": 1, "description": "one score or more"}
    }
  },
}
_TASK = _record(
  {
    "task": _one_of(TASKS),
    "dataset": _STR,
    "split": _STR,
    "crop": _STR,
    "protocol": _STR,
    "num_train": _COUNT,
    "num_test": _COUNT,
    "num_people": {
      "type": ["integer", "null"],
      "minimum": 1,
      "description": "an int of 1 or more, or None where people are unknown",
    },
    "entries": _list(
      _ENTRY, 'a list of dicts, one of kind "run", which is under evaluation'
    )
    | {"contains": _IS_RUN},
  },
  {"metrics": _NAMES},
)
_LEAKAGE = _record(
  {
    "dataset": _STR,
    "split": _STR,
    "num_train": _COUNT,
    "num_test": _COUNT,
    "factors": _NAMES,
    "features": _NAMES,
    "values": _dict_of(
      _dict_of(
        _record(
          {"value": _NUMBER, "low": _NUMBER, "high": _NUMBER, "scaled": _NUMBER}
        )
      )
    ),
    "floor": _STR,
    "ceiling": _STR,
  },
  type=["object", "null"],
  description="a dict or None",
)
SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | _record(
  {
    "format": {"type": "integer", "const": FORMAT, "description": str(FORMAT)},
    "run": {
      "type": "string",
      "pattern": r"^[^/\\]*$",
      "description": "the name of the run's folder, without its path",
    },
    "step": _COUNT,
    "config": _record({"system": _STR, "preset": _STR}),
    "date": _STR,
    "device": _STR,
    "compare": _NAMES,
    "tasks": _list(_TASK, "a list of dicts"),
    "leakage": _LEAKAGE,
  },
  {"quick": _BOOL},
)


def check(value: Any, *keys: str) -> None:
  """Checks a value against the schema.

  Args:
    value: Plain results, or the part of them that `keys` lead to.
    *keys: Such as "tasks"; none for the whole.

  Raises:
    InputError: A key is missing, unknown, or holds what it must not: the first
      such place is named. Or jsonschema is not installed.
  """
  validator = _validator()
  for key in keys:
    validator = validator.evolve(schema=validator.schema["properties"][key])
  for error in validator.iter_errors(value):
    where = place("results", *keys, *error.absolute_path)
    known = error.schema.get("required", ())
    if error.validator == "required":
      check_keys(where, error.instance, known)
    if error.validator == "additionalProperties":
      check_keys(where, error.instance, known, error.schema["properties"])
    text = repr(error.instance)
    text = text if len(text) <= 40 else text[:37] + "..."
    raise errors.InputError(
      f"{where}: expected {error.schema['description']}, got {text}."
    )


def check_keys(
  where: str,
  value: dict[str, Any],
  required: list[str],
  known: dict[str, Any] | None = None,
) -> None:
  """Checks that a dict has some keys and no others.

  Args:
    where: What the dict is called in a message.
    value: The dict.
    required: Keys that it must have.
    known: Keys that it may have; by default those required.

  Raises:
    InputError: A key is missing or unknown.
  """
  expected = f"expected {', '.join(required)}."
  for key in required:
    if key not in value:
      raise errors.InputError(
        f"{where}: the key {key!r} is missing; {expected}"
      )
  for key in value:
    if key not in (known or required):
      raise errors.InputError(f"{where}: unknown key {key!r}; {expected}")


def place(*parts: str | int) -> str:
  """Returns how a message names a place, such as "results.tasks[0].crop"."""
  first, *others = parts
  return first + "".join(
    f"[{part}]" if isinstance(part, int) else f".{part}" for part in others
  )


def require() -> types.ModuleType:
  """Imports jsonschema.

  Raises:
    InputError: It is not installed.
  """
  return errors.require("jsonschema", "evaluation", "checking results")


@functools.cache
def _validator():
  jsonschema = require()
  draft = jsonschema.Draft202012Validator
  # To a schema 1.0 is an integer too; a step or a count is written without ".".
  checker = draft.TYPE_CHECKER.redefine(
    "integer",
    lambda _, value: isinstance(value, int) and not isinstance(value, bool),
  )
  return jsonschema.validators.extend(draft, type_checker=checker)(SCHEMA)
