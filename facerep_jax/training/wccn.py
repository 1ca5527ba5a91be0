"""The linear map of codes in which a person's frames lie close together."""

import numpy as np

from facerep_jax import errors

# Of the mean variance, in place of the measured one. Half: what varies little
# among frames of few people is no proof of who someone is. Chosen among 0.02
# to 0.5 by verification of unseen synthetic people.
SHRINKAGE = 0.5


def fit(codes: np.ndarray, person: np.ndarray) -> dict[str, np.ndarray]:
  """Measures within-class covariance normalisation (WCCN).

  Source: Hatch, Kajarekar, Stolcke, Within-class covariance normalization for
    SVM-based speaker recognition, Interspeech 2006.
  Differs: the covariance is shrunk towards a multiple of the identity.

  Args:
    codes: [N, K] float, of frames.
    person: [N], whose frame it is. The mean over all frames of a person, in
      whatever recordings, stands for the person.

  Returns:
    `mean` [K] and `map` [K, K] float32: of (code - mean) @ map, the variance
    within people is about 1 in every direction, and cosines tell people apart.

  Raises:
    InputError: Nobody has two frames that differ.
  """
  codes = np.asarray(codes, np.float64)
  _, number = np.unique(person, return_inverse=True)
  count = np.bincount(number)
  sums = np.zeros((len(count), codes.shape[1]))
  np.add.at(sums, number, codes)
  off = codes - (sums / count[:, None])[number]
  # Each person has one mean that was fitted.
  free = len(codes) - len(count)
  covariance = off.T @ off / max(free, 1)
  variance = np.trace(covariance) / len(covariance)
  if not variance > 0:
    raise errors.InputError(
      "config.diffusion.model.wccn: expected people with several frames "
      "that differ; there is none in the training tracks."
    )
  shrunk = (1 - SHRINKAGE) * covariance
  shrunk += SHRINKAGE * variance * np.eye(len(covariance))
  whitening = np.linalg.cholesky(np.linalg.inv(shrunk))
  return {
    "mean": codes.mean(axis=0).astype(np.float32),
    "map": whitening.astype(np.float32),
  }
