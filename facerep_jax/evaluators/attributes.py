"""Attributes, any number for each image, from a linear probe.

Source: the protocol of FAb-Net (arXiv:1808.06882): one sigmoid for each
  expression or action unit, ROC-AUC of each and their mean.
Differs: see `linear_probe`.
"""

from collections.abc import Sequence

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap, linear_probe, statistics


def expression_multilabel(
  expression: np.ndarray, num_classes: int
) -> np.ndarray:
  """Turns class numbers [N] into columns [N, num_classes] of 0 and 1.

  For the multi-label protocol of expression: one sigmoid per class.

  Raises:
    InputError: A number is no class.
  """
  expression = np.asarray(expression)
  columns = expression[:, None] == np.arange(num_classes)
  if not columns.any(axis=1).all():
    raise errors.InputError(
      f"expression: expected class numbers from 0 to {num_classes - 1}, got "
      f"{expression.min()} to {expression.max()}. Drop the others."
    )
  return columns.astype(np.int64)


def fit(train: base.Part) -> linear_probe.LinearProbe:
  """Fits a logistic regression to each attribute.

  Args:
    train: With the label `attributes` [N, K] of 0 and 1.

  Returns:
    The linear probe; its outputs are logits.

  Raises:
    InputError: The label is missing or does not fit.
  """
  true = base.label(train.labels, "attributes", "N K", train.features)
  return linear_probe.multilabel(train.features, true, train.group)


def measure(
  outputs: np.ndarray,
  labels: dict[str, np.ndarray],
  group: np.ndarray,
  seed: int = 0,
  names: Sequence[str] | None = None,
) -> base.Measured:
  """Measures predicted attributes.

  Args:
    outputs: [M, K] float, logits.
    labels: With `attributes` [M, K] of 0 and 1.
    group: [M], the person of each row.
    seed: Of the bootstrap.
    names: Of the attributes; by default their numbers.

  Returns:
    Scores, in %: `mean_auc`, the mean ROC-AUC over attributes. Quality: the
    probability of the true value, mean over attributes. Details: `per_class`,
    the ROC-AUC by name, in %; `left_out`, the attributes that have one value
    throughout.

  Raises:
    InputError: Labels or outputs do not fit, or no attribute varies.
  """
  true = base.label(labels, "attributes", "N K", outputs)
  errors.check_shape("outputs", outputs, f"N {true.shape[1]}", "Give logits.")
  names = list(names or map(str, range(true.shape[1])))
  if len(names) != true.shape[1]:
    raise errors.InputError(
      f"names: {len(names)} for {true.shape[1]} attributes. Name each."
    )
  is_on = true > 0
  used = np.flatnonzero(is_on.any(axis=0) & ~is_on.all(axis=0))
  if not len(used):
    raise errors.InputError(
      "attributes: none has both values among the test images. Use more."
    )
  both = outputs[:, used], is_on[:, used]
  mean = statistics.mean_auc(*both)
  ones = np.ones(len(true))
  by_name = {
    names[k]: 100 * statistics.auc(outputs[:, k], is_on[:, k])(ones)
    for k in used
  }
  details = {
    "per_class": by_name,
    "left_out": [name for name in names if name not in by_name],
  }
  scores = {
    "mean_auc": bootstrap.score(
      lambda weights: 100 * mean(weights), group, "%", True, seed
    )
  }
  # The sigmoid of either sign, without overflow.
  signed = np.where(is_on, outputs, -outputs)
  quality = np.exp(-np.logaddexp(0, -signed)).mean(axis=1)
  return base.Measured(scores, quality, details)
