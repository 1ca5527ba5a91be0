"""How much of each factor of an image each feature tells: the leakage matrix.

Source: none of the papers; the idea is that of "completeness" in work on
  disentangled representations: what a linear probe finds, feature by factor.
"""

import math
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import (
  base,
  bootstrap,
  expression,
  linear_probe,
  statistics,
)
from facerep_jax.inference import probe_file

# Continuous factors and their labels; the others have rules of their own.
_CONTINUOUS = {
  "yaw": "yaw_rad",
  "pitch": "pitch_rad",
  "roll": "roll_rad",
  "light": "light",
  "landmarks": "landmarks_ndc",
}
_LABELS = {"identity": "track", "expression": "expression"} | _CONTINUOUS
_LEAST_RANGE = 0.05


def measure(
  parts: dict[str, tuple[base.Part, base.Part]],
  floor: str,
  ceiling: str,
  seed: int = 0,
) -> dict[str, Any]:
  """Measures every factor in every feature.

  Continuous factors (`yaw`, `pitch`, `roll`, `light`, `landmarks`): R2 on the
  test people of a ridge regression. `expression`: 2 AUC - 1, of the mean
  ROC-AUC of one class against the rest, of a logistic regression. `identity`:
  the linear classifier of the test people is fitted to the first half of each
  one's tracks (ridge to one-hot; the strength is chosen likewise on the
  training people) and measured on their other tracks; the share that is right
  is scaled so that guessing has 0. People with one track take no part. So 0 is
  chance and 1 perfect throughout; R2 can be less.

  Scaled values are 0 for what the feature `floor` reaches and 1 for `ceiling`,
  with values under 0 taken for 0 first; None where the two are closer than
  0.05. Factors are measured where there is a label: `track` [N] str (tracks
  sort in order of time), `expression`, `yaw_rad`, `pitch_rad`, `roll_rad`,
  `light`, `landmarks_ndc`.

  Args:
    parts: By feature, its training and test part; labels and people are the
      same for all.
    floor: Key of `parts`, such as random weights.
    ceiling: Key of `parts`, such as a supervised network.
    seed: Of the bootstrap, over test people with linear probes as they are.

  Returns:
    `features` and `factors`, names; `values[feature][factor]`: `value`, `low`,
    `high`, `scaled`, numbers or None where there is none (a factor that does
    not vary in the test part); `floor`, `ceiling`, `num_train`, `num_test`. Can
    be written as JSON.

  Raises:
    InputError: `floor` or `ceiling` is none of the features, parts differ in
      people, or there is no label of a factor.
  """
  factors = _factors(parts, floor, ceiling)
  values = {}
  for name, (train, test) in parts.items():
    found = {factor: _interval(factor, train, test, seed) for factor in factors}
    values[name] = {factor: _number(one) for factor, one in found.items()}
  for factor in factors:
    low, high = (values[name][factor]["value"] for name in (floor, ceiling))
    for row in values.values():
      row[factor]["scaled"] = _scaled(row[factor]["value"], low, high)
  train, test = parts[floor]
  return {
    "features": list(parts),
    "factors": factors,
    "values": values,
    "floor": floor,
    "ceiling": ceiling,
    "num_train": len(train.features),
    "num_test": len(test.features),
  }


def _factors(parts, floor, ceiling):
  """Checks the parts; returns the factors that they have labels of."""
  for name in (floor, ceiling):
    if name not in parts:
      raise errors.InputError(
        f"{name!r} is none of the features {', '.join(parts)}."
      )
  first = parts[floor]
  for name, both in parts.items():
    for part, other in zip(both, first):
      if not np.array_equal(part.group, other.group):
        raise errors.InputError(
          f"{name}: its rows are not those of {floor}. Give all features for "
          "the same images."
        )
  factors = [
    factor
    for factor, label in _LABELS.items()
    if all(label in part.labels for part in first)
  ]
  if not factors:
    raise errors.InputError(
      f"labels: expected one or more of {', '.join(_LABELS.values())}, got "
      f"{', '.join(first[0].labels) or 'none'}."
    )
  return factors


def _number(interval):
  return {
    key: float(value) if math.isfinite(value) else None
    for key, value in interval._asdict().items()
  }


def _scaled(value, low, high):
  if None in (value, low, high):
    return None
  value, low, high = (max(0.0, x) for x in (value, low, high))
  return (value - low) / (high - low) if high - low >= _LEAST_RANGE else None


def _interval(factor, train, test, seed):
  """Fits and measures one factor in one feature."""
  if factor == "identity":
    return _identity(train, test, seed)
  if factor == "expression":
    outputs = expression.fit(train).outputs(test.features)
    statistic = _expression(outputs, test)
  else:
    true = [_continuous(part, _CONTINUOUS[factor]) for part in (train, test)]
    found = linear_probe.ridge(train.features, true[0], train.group)
    statistic = statistics.r2(found.outputs(test.features), true[1])
  return bootstrap.interval(statistic, test.group, seed=seed)


def _continuous(part, name):
  """Returns a label as [N, K]."""
  value = np.asarray(part.labels[name], np.float64)
  value = value.reshape(len(value), -1)
  errors.check_shape(name, value, f"{len(part.features)} K", "One per image.")
  return value


def _expression(outputs, test):
  """Prepares 2 AUC - 1 as a function of weights."""
  true = base.classes(test.labels, "expression", test.features)
  probability = probe_file.probabilities(outputs)
  is_class = true[:, None] == np.arange(probability.shape[1])
  area = statistics.mean_auc(probability, is_class)
  return lambda weights: 2 * area(weights) - 1


def _identity(train, test, seed):
  """Recognises test people on tracks that the classifier has not seen."""
  nothing = bootstrap.Interval(np.nan, np.nan, np.nan)
  divided = [_by_track(part) for part in (train, test)]
  if any(len(np.unique(person)) < 2 for _, person, _ in divided):
    return nothing
  chosen, person, is_later = divided[0]
  strength = linear_probe.ridge_strength(
    train.features[chosen], _one_hot(person), is_later
  )
  chosen, person, is_later = divided[1]
  x, y = test.features[chosen], _one_hot(person)
  found = linear_probe.ridge_at(x[~is_later], y[~is_later], strength)
  is_right = found.outputs(x[is_later]).argmax(axis=1) == person[is_later]
  guess = 1 / y.shape[1]
  return bootstrap.interval(
    (is_right - guess) / (1 - guess), person[is_later], seed=seed
  )


def _one_hot(person):
  return (person[:, None] == np.arange(person.max() + 1)).astype(np.float64)


def _by_track(part):
  """Divides the tracks of each person into earlier and later ones.

  Returns:
    Rows [M] int of people with two tracks or more, the number of the person of
    each, and whether its track is of the later half (the smaller one).
  """
  track = base.label(part.labels, "track", "N", part.features)
  people = np.asarray(part.group)
  is_later, is_used = np.zeros((2, len(people)), bool)
  for one in np.unique(people):
    rows = np.flatnonzero(people == one)
    names = np.unique(track[rows])
    is_used[rows] = len(names) > 1
    is_later[rows] = np.isin(track[rows], names[(len(names) + 1) // 2 :])
  rows = np.flatnonzero(is_used)
  person = np.unique(people[rows], return_inverse=True)[1]
  return rows, person, is_later[rows]
