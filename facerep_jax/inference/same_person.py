"""Groups tracks by how alike their identity features are."""

import collections
from collections.abc import Iterable

import numpy as np

from facerep_jax import errors

_ROUNDING = 1e-12  # Distances that differ by less are equal.


def group(
  features: np.ndarray,
  threshold: float,
  apart: Iterable[tuple[int, int]] = (),
) -> np.ndarray:
  """Clusters rows by average linkage of cosine distances.

  Clusters are merged, the nearest first, while the mean distance between the
  rows of the one and those of the other is at most the threshold. It takes
  memory for the rows, not for all pairs: the mean of the distances of unit
  vectors follows from their sums.

  Args:
    features: [N, D] float, a row a track. A row that is not finite is alone.
    threshold: Greatest distance of two clusters that are one: one minus the
      cosine, 0 to 2.
    apart: Pairs of rows that are never in one cluster.

  Returns:
    int64 [N], number of the cluster of each row, from 0, in order of their
    first rows.

  Raises:
    InputError: The features have another shape.

  Source: the chain of nearest neighbours, Murtagh, The Computer Journal 1983.
  It ends in the same clusters, since a merged cluster is never nearer to a
  third one than the nearer of its parts was.
  """
  errors.check_shape("features", features, "N D")
  clusters = _Clusters(features, apart)
  chain, steps = [], []
  while chain or clusters.is_any_open():
    if not chain:
      chain, steps = [clusters.first_open()], [np.inf]
    distances = clusters.distances(chain[-1])
    best = int(np.argmin(distances))
    least = distances[best]
    if least > threshold:
      # Nor does it come nearer to anything later.
      clusters.close(chain.pop())
      steps.pop()
    elif len(chain) > 1 and least >= steps[-1] - _ROUNDING:
      clusters.merge(chain.pop(), chain.pop())
      del steps[-2:]
    else:
      chain.append(best)
      steps.append(least)
  return clusters.labels()


class _Clusters:
  """Clusters, named by one of their rows, by the sums of their unit vectors."""

  def __init__(self, features, apart):
    rows = np.asarray(features, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    self._sums = rows / np.where(lengths > 0, lengths, 1)
    self._sizes = np.ones(len(rows))
    self._members = [[i] for i in range(len(rows))]
    self._is_open = np.ones(len(rows), bool)
    self._apart = collections.defaultdict(set)
    for a, b in apart:
      self._apart[a].add(b)
      self._apart[b].add(a)

  def is_any_open(self):
    """Tells whether a cluster may still be merged."""
    return bool(self._is_open.any())

  def first_open(self):
    """Returns a cluster that may still be merged."""
    return int(np.argmax(self._is_open))

  def distances(self, cluster):
    """Returns [N] mean distances to others; infinite to what it cannot join."""
    mean = self._sums @ self._sums[cluster]
    distances = 1 - mean / (self._sizes * self._sizes[cluster])
    distances[~self._is_open | np.isnan(distances)] = np.inf
    distances[[cluster, *self._apart[cluster]]] = np.inf
    return distances

  def close(self, cluster):
    """Takes a cluster out that is near to no other."""
    self._is_open[cluster] = False

  def merge(self, gone, kept):
    """Makes one cluster of two."""
    self._sums[kept] += self._sums[gone]
    self._sizes[kept] += self._sizes[gone]
    self._members[kept] += self._members[gone]
    self._members[gone] = []
    self._is_open[gone] = False
    for other in self._apart.pop(gone, ()):
      self._apart[other].discard(gone)
      self._apart[other].add(kept)
      self._apart[kept].add(other)

  def labels(self):
    """Returns [N] numbers of the clusters, in order of their first rows."""
    found = sorted(sorted(x) for x in self._members if x)
    labels = np.empty(len(self._sizes), np.int64)
    for number, rows in enumerate(found):
      labels[rows] = number
    return labels
