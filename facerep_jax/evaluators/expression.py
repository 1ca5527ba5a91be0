"""Expression, one class for each image, from a linear probe.

Source: the protocol of FaceCycle (ICCV 2021): a linear classifier on the frozen
  feature.
Differs: see `linear_probe`; classes are not thinned, and macro measures stand
  beside accuracy.
"""

from collections.abc import Sequence

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics
from facerep_jax.inference import probe_file


def fit(
  train: base.Part, num_classes: int | None = None
) -> linear_probe.LinearProbe:
  """Fits a multinomial logistic regression.

  Args:
    train: With the label `expression` [N] int, class numbers from 0.
    num_classes: K; by default one more than the highest number.

  Returns:
    The linear probe; its outputs are logits.

  Raises:
    InputError: The label is missing or does not fit.
  """
  true = base.classes(train.labels, "expression", train.features)
  if num_classes is None:
    num_classes = int(true.max(initial=0)) + 1
  return linear_probe.logistic(train.features, true, train.group, num_classes)


def measure(
  outputs: np.ndarray,
  labels: dict[str, np.ndarray],
  group: np.ndarray,
  seed: int = 0,
  names: Sequence[str] | None = None,
) -> base.Measured:
  """Measures predicted classes.

  Args:
    outputs: [M, K] float, logits. A class beyond them is never predicted.
    labels: With `expression` [M] int.
    group: [M], the person of each row.
    seed: Of the bootstrap.
    names: By number; by default the numbers.

  Returns:
    Scores, in %: `accuracy`; `macro_f1`, `macro_auc` (one class against the
    rest) and `balanced_accuracy`, means over the classes that `labels` holds.
    Quality: the probability of the true class. Details: `confusion`, counts
    with the true class by row; `classes`, their names; `largest_class`, the
    accuracy, in %, of always choosing the most frequent class.

  Raises:
    InputError: Labels or outputs do not fit, or a class has no name.
  """
  errors.check_shape("outputs", outputs, "M K", "Give logits.")
  true = base.classes(labels, "expression", outputs)
  count = max(int(true.max(initial=0)) + 1, outputs.shape[1])
  unknown = np.full((len(true), count - outputs.shape[1]), -np.inf)
  probability = probe_file.probabilities(
    np.concatenate([outputs, unknown], axis=1)
  )
  names = names or [str(k) for k in range(count)]
  if len(names) < count:
    raise errors.InputError(
      f"names: {len(names)} names for {count} classes. Name each."
    )
  chosen = probability.argmax(axis=1)
  matrix = statistics.confusion(true, chosen, count)
  one_hot = true[:, None] == np.arange(count)
  area = statistics.mean_auc(probability, one_hot)
  balanced = statistics.balanced_accuracy
  measured = {
    "accuracy": 100.0 * (chosen == true),
    "macro_f1": lambda w: 100 * statistics.macro_f1(matrix(w)),
    "macro_auc": lambda w: 100 * area(w),
    "balanced_accuracy": lambda w: 100 * balanced(matrix(w)),
  }
  scores = {
    name: bootstrap.score(statistic, group, "%", True, seed)
    for name, statistic in measured.items()
  }
  details = {
    "confusion": matrix(np.ones(len(true))).astype(int).tolist(),
    "classes": list(names[:count]),
    "largest_class": float(100 * np.bincount(true).max() / len(true)),
  }
  quality = probability[np.arange(len(true)), true]
  return base.Measured(scores, quality, details, measured)
