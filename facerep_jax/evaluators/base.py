"""What the evaluators share: labelled features, scores, measurements."""

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import errors

# Values [N], whose mean is meant; or a function of weights [N], how often each
# row counts, that returns a number.
Statistic = np.ndarray | Callable[[np.ndarray], float]


class Part(NamedTuple):
  """Features of one part of a labelled set.

  Attributes:
    features: [N, D] float, of a frozen representation; or, for fits,
      `linear_probe.Rows` of them, which share what does not depend on labels.
    labels: Arrays [N, ...] by name.
    group: [N], the person of each row, or its own number where people are
      unknown. People are never divided.
  """

  features: np.ndarray
  labels: dict[str, np.ndarray]
  group: np.ndarray


class Score(NamedTuple):
  """One number of a report.

  Attributes:
    value: On the whole test part.
    low: Lower end of the 95 % bootstrap interval over people; NaN where none
      can be given.
    high: Upper end, likewise.
    unit: "%", "deg", "dB", "px", or "" for a pure number.
    is_higher_better: Which way is better.
  """

  value: float
  low: float
  high: float
  unit: str
  is_higher_better: bool


class Measured(NamedTuple):
  """What an evaluator found.

  Attributes:
    scores: By name; the first is the one to quote.
    quality: [M] float, how well each test example did; higher is better.
    details: What else is worth keeping; can be written as JSON.
    statistics: What scores are values of, by name, where two representations
      are to be compared on the same draws of people.
  """

  scores: dict[str, Score]
  quality: np.ndarray
  details: dict[str, Any]
  statistics: Mapping[str, Statistic] = types.MappingProxyType({})


def label(
  labels: dict[str, np.ndarray], name: str, spec: str, outputs: np.ndarray
) -> np.ndarray:
  """Looks up a label and checks that it fits its features or outputs.

  Args:
    labels: Arrays by name.
    name: Which.
    spec: Its shape as in `errors.check_shape`, such as "N 5 2".
    outputs: [N, ...], what the label belongs to.

  Returns:
    The array, [N, ...].

  Raises:
    InputError: The label is missing, or its shape or length does not fit.
  """
  if name not in labels:
    raise errors.InputError(
      f"labels: {name!r} is missing, found {', '.join(labels) or 'none'}. Use "
      "a set that carries it."
    )
  value = np.asarray(labels[name])
  errors.check_shape(name, value, spec)
  if len(value) != len(outputs):
    raise errors.InputError(
      f"{name}: {len(value)} labels for {len(outputs)} images. Give one each."
    )
  return value


def classes(labels: dict[str, np.ndarray], name: str, outputs: np.ndarray):
  """Looks up a label of class numbers; as `label`, and from 0, as int64."""
  value = label(labels, name, "N", outputs)
  if value.dtype.kind not in "iu" or (value.size and value.min() < 0):
    raise errors.InputError(
      f"{name}: expected class numbers from 0, got {value.dtype} from "
      f"{value.min() if value.size else 'no rows'}. Drop rows without a class."
    )
  return value.astype(np.int64)


def sklearn(module: str) -> types.ModuleType:
  """Imports a module of scikit-learn, such as "linear_model".

  Raises:
    InputError: scikit-learn is not installed.
  """
  return errors.require(f"sklearn.{module}", "evaluation", "this evaluation")
