"""The loss of the 3D-aware autoencoder."""

import functools

import jax
import jax.numpy as jnp

from facerep_jax import face_model, losses
from facerep_jax.systems import autoencoder_model, autoencoder_settings, base

# Shape is compared between frames of a track in this many cells a side: an
# expression moves less than a cell, an identity more.
_NUM_CELLS = 8
_HALF_DEPTH_RANGE = 0.1


def of_images(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
  num_frames: int,
  band: tuple[jax.Array, jax.Array],
) -> tuple[
  jax.Array, tuple[dict[str, jax.Array], autoencoder_model.Explanation]
]:
  """Computes the loss.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1]; the frames of a track follow each
      other.
    num_frames: T, frames of a track.
    band: First rank of N that counts, and the first after it that does not;
      the images are ranked by their loss, easiest first.

  Returns:
    The weighted sum, its terms before they are weighted, and the explanation.

  Differs: the published loss has no ranks, as with a band of all of them.
  """
  explained = autoencoder_model.explain(model, variables, images11, num_frames)
  sums = terms(model, variables, images11, explained)
  weights = model.settings.weights
  each = weighted(weights, {name: x.each() for name, x in sums.items()})
  keep = losses.in_band(each, *band)
  values = {name: x.mean(keep) for name, x in sums.items()}
  if num_frames > 1:
    values |= consistency(explained.prediction.face, num_frames)
  values["rough_shape"] = roughness(explained.prediction.face.depth)
  return weighted(weights, values), (values, explained)


def terms(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
  explanation: autoencoder_model.Explanation,
) -> dict[str, losses.Sums]:
  """Computes the terms of the loss that compare pictures.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].
    explanation: Of them.

  Returns:
    Of each image, not weighted yet: `photometric`, `photometric_mirror`, and
    with features `perceptual` and `perceptual_mirror`.
  """
  found, mask = explanation.prediction, explanation.mask
  masked = explanation.images.colour * face_model.pair(mask, mask)[..., None]
  pictures = face_model.unpair(masked)
  ends = ("", "_mirror")
  out = {}
  for i, end in enumerate(ends):
    sigma = None if found.sigma is None else found.sigma[..., i]
    out["photometric" + end] = losses.photometric(
      pictures[i], images11, sigma, mask
    )
  if model.features is None:
    return out
  apply = functools.partial(
    model.features.apply, variables.frozen.get("features", {})
  )
  wanted, made = apply(images11), face_model.unpair(apply(masked))
  for i, end in enumerate(ends):
    quarter = found.sigma_quarter
    sigma = None if quarter is None else quarter[..., i]
    out["perceptual" + end] = losses.perceptual(made[i], wanted, sigma, mask)
  return out


def consistency(face: face_model.Face, num_frames: int) -> dict[str, jax.Array]:
  """Measures how far the frames of a track disagree about the person.

  Args:
    face: N faces; the frames of a track follow each other.
    num_frames: T.

  Returns:
    float32 scalars, 0 where all frames agree: `same_albedo`, mean distance of
    the albedo from the mean of its track, [-1, 1]; `same_shape`, likewise of
    the depth averaged over cells, in units of half its range, so that an
    expression may differ.
  """
  num, size = face.depth.shape[0], face.depth.shape[1]
  cells = face.depth.reshape(
    num, _NUM_CELLS, size // _NUM_CELLS, _NUM_CELLS, size // _NUM_CELLS
  )
  shape = jnp.mean(cells, axis=(2, 4)) / _HALF_DEPTH_RANGE
  return {
    "same_albedo": _spread(face.albedo11, num_frames),
    "same_shape": _spread(shape, num_frames),
  }


def roughness(depth: jax.Array) -> jax.Array:
  """Averages the second differences of depth [N, S, S] along both axes.

  In units of half its range; 0 for planes.
  """
  bends = [jnp.abs(jnp.diff(depth, n=2, axis=axis)) for axis in (1, 2)]
  return sum(map(jnp.mean, bends)) / (2 * _HALF_DEPTH_RANGE)


def _spread(x, num_frames):
  """Mean absolute distance from the mean over the frames of a track."""
  x = x.reshape(-1, num_frames, *x.shape[1:])
  return jnp.mean(jnp.abs(x - jnp.mean(x, axis=1, keepdims=True)))


def weighted(
  weights: autoencoder_settings.Weights, values: dict[str, jax.Array]
) -> jax.Array:
  """Sums terms by their weights.

  Args:
    weights: Of the terms.
    values: Any of the terms by name.

  Returns:
    float32 scalar.
  """
  mirror, features = weights.mirror, weights.perceptual
  factors = {
    "photometric": 1.0,
    "photometric_mirror": mirror,
    "perceptual": features,
    "perceptual_mirror": features * mirror,
    "same_albedo": weights.same_albedo,
    "same_shape": weights.same_shape,
    "rough_shape": weights.rough_shape,
  }
  return sum(factors[name] * value for name, value in values.items())
