import itertools

import numpy as np
import pytest
from scipy.cluster import hierarchy

from facerep_jax import errors
from facerep_jax.inference import same_person


def brute_force(features, threshold, apart=()):
  """Merges the two nearest of all clusters, as long as they are near."""
  unit = features / np.linalg.norm(features, axis=1, keepdims=True)
  distance = 1 - unit @ unit.T
  for a, b in apart:
    distance[a, b] = distance[b, a] = np.inf
  clusters = [[i] for i in range(len(features))]
  while len(clusters) > 1:
    pairs = itertools.combinations(range(len(clusters)), 2)
    mean = {
      (i, j): distance[np.ix_(clusters[i], clusters[j])].mean()
      for i, j in pairs
    }
    (i, j), least = min(mean.items(), key=lambda item: item[1])
    if least > threshold:
      break
    clusters[i] += clusters.pop(j)
  labels = np.empty(len(features), int)
  for number, rows in enumerate(sorted(map(sorted, clusters))):
    labels[rows] = number
  return labels


def draw(seed, count=24):
  rng = np.random.default_rng(seed)
  centres = rng.normal(size=(5, 6))
  return centres[rng.integers(0, 5, count)] + rng.normal(0, 0.5, (count, 6))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.3, 0.8])
def test_clusters_are_those_of_brute_force(seed, threshold):
  features = draw(seed)
  pairs = np.random.default_rng(seed).integers(0, 24, (seed, 2))
  apart = [(int(a), int(b)) for a, b in pairs if a != b]
  found = same_person.group(features, threshold, apart)
  want = brute_force(features, threshold, apart)
  np.testing.assert_array_equal(found, want)
  assert all(found[a] != found[b] for a, b in apart)


def test_clusters_are_those_of_scipy():
  features = draw(100, 150)
  found = same_person.group(features, 0.2)
  tree = hierarchy.linkage(features, "average", metric="cosine")
  want = hierarchy.fcluster(tree, 0.2, "distance")
  np.testing.assert_array_equal(found[:, None] == found, want[:, None] == want)
  firsts = [np.flatnonzero(found == i)[0] for i in range(found.max() + 1)]
  assert firsts == sorted(firsts)


def test_equal_rows_and_rows_without_length():
  features = np.zeros((5, 3))
  features[:3] = 1
  assert same_person.group(features, 0.5).tolist() == [0, 0, 0, 1, 2]
  assert same_person.group(features[:1], 0.5).tolist() == [0]
  assert same_person.group(features[:0], 0.5).tolist() == []
  same = np.ones((300, 4), np.float32)
  assert not same_person.group(same, 1e-6).any()


def test_rows_that_are_not_finite_are_alone():
  features = np.ones((5, 2))
  features[1], features[3] = np.nan, np.inf
  with np.errstate(invalid="ignore"):
    found = same_person.group(features, 0.5)
  assert found.tolist() == [0, 1, 0, 2, 0]


def test_one_row_a_track_is_expected():
  with pytest.raises(errors.InputError, match="features: expected"):
    same_person.group(np.zeros(3), 0.1)
