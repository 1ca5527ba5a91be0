"""Verification: do two images show one person?

Source: the protocol of LFW ("image-restricted", ten folds): what is chosen for
  a fold is chosen on the others, and accuracy is the mean over folds. The
  linear rule on |f1 - f2|, |f1 + f2|, |f1 f2| is FaceCycle's.
Differs: the linear rule is fitted to its optimum, with a strength chosen inside
  the other folds, instead of 300 steps of Adam.
"""

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics

_MOST_ROC_POINTS = 200


def cosine(
  left: np.ndarray,
  right: np.ndarray,
  same: np.ndarray,
  fold: np.ndarray,
  seed: int = 0,
  group: np.ndarray | None = None,
) -> base.Measured:
  """Compares features by their cosine, without pair labels but a threshold.

  Args:
    left: [P, D] float, features of the first images (image and mirror already
      added). A vector of zeros has cosine 0 with all others.
    right: [P, D] float, of the second images.
    same: [P] bool.
    fold: [P] int.
    seed: Of the bootstrap.
    group: [P], which pairs are drawn together for intervals; None: each alone.

  Returns:
    As `_measured`; thresholds are cosines.

  Raises:
    InputError: Shapes do not fit, or folds cannot be used.
  """
  left, right, same, fold = _check(left, right, same, fold)
  lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
  score = np.sum(left * right, axis=1) / np.where(lengths > 0, lengths, 1)
  thresholds = np.array(
    [best_threshold(score[fold != k], same[fold != k]) for k in np.unique(fold)]
  )
  return _measured(score, same, fold, thresholds, seed, group)


def pairs_linear(
  left: np.ndarray,
  right: np.ndarray,
  same: np.ndarray,
  fold: np.ndarray,
  seed: int = 0,
  group: np.ndarray | None = None,
) -> base.Measured:
  """Compares features by a logistic regression that learns from pair labels.

  It sees [|l - r|, |l + r|, |l r|] of the pairs of the other folds; its
  strength is chosen there, with whole folds held out. Since it is supervised,
  report it apart from `cosine`.

  Args:
    left: [P, D] float, features of the first images.
    right: [P, D] float, of the second.
    same: [P] bool.
    fold: [P] int; three folds or more.
    seed: Of the bootstrap.
    group: As for `cosine`.

  Returns:
    As `_measured`; scores are log odds, each fold's of its own regression, and
    thresholds 0.

  Raises:
    InputError: Shapes do not fit, or folds cannot be used.
  """
  left, right, same, fold = _check(left, right, same, fold)
  both = np.concatenate(
    [np.abs(left - right), np.abs(left + right), np.abs(left * right)], axis=1
  )
  score, numbers = np.empty(len(fold)), np.unique(fold)
  for k in numbers:
    train = fold != k
    found = linear_probe.multilabel(both[train], same[train, None], fold[train])
    score[~train] = found.outputs(both[~train])[:, 0]
  return _measured(score, same, fold, np.zeros(len(numbers)), seed, group)


def _check(left, right, same, fold):
  left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
  same, fold = np.asarray(same, bool), np.asarray(fold)
  errors.check_shape("left", left, "P D")
  errors.check_shape("right", right, f"{len(left)} {left.shape[1]}")
  errors.check_shape("same", same, str(len(left)))
  errors.check_shape("fold", fold, str(len(left)))
  if not (np.isfinite(left).all() and np.isfinite(right).all()):
    raise errors.InputError("features of pairs: some are not finite.")
  for k in np.unique(fold):
    others = same[fold != k]
    if not others.any() or others.all():
      raise errors.InputError(
        f"fold {k}: the other folds need pairs of both kinds to choose by. "
        "Check the list of pairs."
      )
  return left, right, same, fold


def best_threshold(score: np.ndarray, same: np.ndarray) -> float:
  """Chooses the threshold with the most pairs right.

  Candidates are the lowest score (all are the same), the middles between
  neighbouring scores, and a number over the highest (none is). Of several that
  are equally good the middle one is taken, the lower of two.

  Args:
    score: [P] float.
    same: [P] bool; said of pairs whose score is the threshold or more.

  Returns:
    The threshold.
  """
  values, level = np.unique(score, return_inverse=True)
  middle = (values[:-1] + values[1:]) / 2
  # Between neighbouring floats the middle is rounded to one of them.
  middle = np.where(middle > values[:-1], middle, values[1:])
  candidates = np.concatenate(
    [values[:1], middle, [np.nextafter(values[-1], np.inf)]]
  )
  true, false = (
    np.bincount(level[kind], minlength=len(values)) for kind in (same, ~same)
  )
  # Candidate i accepts the levels from i on.
  right = same.sum() + np.concatenate([[0], np.cumsum(false - true)])
  best = np.flatnonzero(right == right.max())
  return float(candidates[best[(len(best) - 1) // 2]])


def _measured(score, same, fold, thresholds, seed, group):
  """Measures decisions.

  Args:
    score: [P] float, higher for pairs of one person.
    same: [P] bool.
    fold: [P] int.
    thresholds: [F] float, of each fold in order.
    seed: Of the bootstrap.
    group: [P] or None, what it draws: no row has one person.

  Returns:
    Scores, in %: `accuracy`, mean over folds; `auc`, over all pairs;
    `tar_at_far_1e-2` and `tar_at_far_1e-3`, the share of true pairs accepted
    where no more than that share of false ones is. Quality: the distance from
    the threshold on the right side. Details: `per_fold`, accuracies, and their
    `accuracy_deviation` (of a sample) in %, `threshold_by_fold`, and `roc`, at
    most 200 pairs of false and true rates.
  """
  numbers, place = np.unique(fold, return_inverse=True)
  margin = score - thresholds[place]
  is_right = (margin >= 0) == same

  def accuracy(weights):
    size = np.bincount(place, weights, len(numbers))
    right = np.bincount(place, weights * is_right, len(numbers))
    return float(100 * np.mean(right[size > 0] / size[size > 0]))

  percent = lambda function: lambda weights: 100 * function(weights)
  measured = {
    "accuracy": accuracy,
    "auc": percent(statistics.auc(score, same)),
    "tar_at_far_1e-2": percent(statistics.accepted(score, same, 1e-2)),
    "tar_at_far_1e-3": percent(statistics.accepted(score, same, 1e-3)),
  }
  pairs = np.arange(len(score)) if group is None else group
  scores = {
    name: bootstrap.score(statistic, pairs, "%", True, seed)
    for name, statistic in measured.items()
  }
  by_fold = [float(100 * is_right[fold == k].mean()) for k in numbers]
  details = {
    "per_fold": by_fold,
    "accuracy_deviation": float(np.std(by_fold, ddof=1)),
    "threshold_by_fold": thresholds.tolist(),
    "roc": _roc(score, same),
  }
  return base.Measured(
    scores, np.where(same, margin, -margin), details, measured
  )


def _roc(score, same):
  """Returns at most 200 [false rate, true rate], from [0, 0] to [1, 1]."""
  false, true, _ = base.sklearn("metrics").roc_curve(same, score)
  count = min(len(false), _MOST_ROC_POINTS)
  chosen = np.linspace(0, len(false) - 1, count).round().astype(int)
  return np.stack([false, true], axis=1)[chosen].tolist()
