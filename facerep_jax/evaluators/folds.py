"""Folds of people, for choices and for cross-validation."""

from collections.abc import Callable

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base


def by_group(group: np.ndarray, num_folds: int, seed: int = 0) -> np.ndarray:
  """Deals people into folds of about equally many rows.

  People come in an order drawn from `seed`, those with most rows first; each
  goes to the fold with the fewest rows so far.

  Args:
    group: [N], the person of each row.
    num_folds: How many.
    seed: Of the order.

  Returns:
    [N] int64, the fold of each row, from 0; all rows of a person have the same.

  Raises:
    InputError: There are fewer people than folds.
  """
  people, person, sizes = np.unique(
    np.asarray(group), return_inverse=True, return_counts=True
  )
  if len(people) < num_folds:
    raise errors.InputError(
      f"{num_folds} folds need as many people or more, got {len(people)}."
    )
  order = np.random.default_rng(seed).permutation(len(people))
  order = order[np.argsort(-sizes[order], kind="stable")]
  fold, rows = np.zeros(len(people), np.int64), np.zeros(num_folds, np.int64)
  for one in order:
    fold[one] = np.argmin(rows)
    rows[fold[one]] += sizes[one]
  return fold[person]


def take(part: base.Part, rows: np.ndarray) -> base.Part:
  """Returns some rows of a part.

  Args:
    part: N rows.
    rows: [N] bool, or [M] int.

  Returns:
    The same, of those rows alone.
  """
  labels = {k: np.asarray(v)[rows] for k, v in part.labels.items()}
  return base.Part(part.features[rows], labels, np.asarray(part.group)[rows])


def cross_validated(
  fit: Callable, part: base.Part, num_folds: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Predicts each row with a linear probe fitted to people of the other folds.

  Args:
    fit: Takes a `Part` and returns a `linear_probe.LinearProbe`.
    part: N rows, without a split of their own.
    num_folds: How many.
    seed: Of the folds.

  Returns:
    [N, K] float64, the outputs; and [N] int64, the fold of each row.

  Raises:
    InputError: There are fewer people than folds.
  """
  fold = by_group(part.group, num_folds, seed)
  outputs = None
  for k in range(num_folds):
    test = fold == k
    found = fit(take(part, ~test)).outputs(part.features[test])
    if outputs is None:
      outputs = np.empty((len(fold), found.shape[1]))
    outputs[test] = found
  return outputs, fold
