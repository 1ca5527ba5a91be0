"""Folds of people, for choices and for cross-validation."""

import numpy as np

from facerep_jax import errors


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
