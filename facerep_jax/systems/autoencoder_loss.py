"""The loss of the 3D-aware autoencoder."""

import functools

import jax
import jax.numpy as jnp

from facerep_jax import losses
from facerep_jax.faces import rendering
from facerep_jax.ops import depth as depth_ops
from facerep_jax.systems import (
  autoencoder_model,
  autoencoder_reconstruct,
  autoencoder_settings,
  base,
  view_search,
)

# Shape is compared between frames of a track in this many cells a side: an
# expression moves less than a cell, an identity more.
_NUM_CELLS = 8
_HALF_DEPTH_RANGE = (depth_ops.FAR - depth_ops.NEAR) / 2


def of_images(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
  num_frames: int,
  band: tuple[jax.Array, jax.Array],
  key: jax.Array,
) -> tuple[
  jax.Array, tuple[dict[str, jax.Array], autoencoder_reconstruct.Reconstruction]
]:
  """Computes the loss of a training step.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1]; the frames of a track follow each
      other.
    num_frames: T, frames of a track.
    band: First rank of N that counts, and the first after it that does not;
      the images are ranked by their loss, easiest first.
    key: Of which images are reconstructed by mirrored faces.

  Returns:
    The weighted sum, its terms before they are weighted, and the
    reconstruction. Terms whose weight is 0 are not computed.

  Differs: the published loss has no ranks, as with a band of all of them.
  """
  reconstruct_key, search_key = jax.random.split(key)
  reconstructed = autoencoder_reconstruct.for_training(
    model, variables, images11, num_frames, reconstruct_key
  )
  sums = terms(model, variables, images11, reconstructed)
  weights = model.settings.weights
  each = weighted(weights, {name: x.each() for name, x in sums.items()})
  keep = losses.in_band(each, *band)
  values = {name: x.mean(keep) for name, x in sums.items()}
  if weights.albedo_consistency or weights.shape_consistency:
    values |= consistency(reconstructed.prediction.face, num_frames)
  if weights.view_search:
    values["view_search"] = _view_error(
      model.settings, reconstructed, images11, num_frames, search_key
    )
  if weights.depth_smoothness:
    values["depth_smoothness"] = roughness(reconstructed.prediction.face.depth)
  return weighted(weights, values), (values, reconstructed)


def _view_error(settings, reconstructed, images11, num_frames, key):
  """Compares yaws of the last frames of samples with those found by trial."""
  last = slice(num_frames - 1, None, num_frames)
  face = rendering.Face(*(x[last] for x in reconstructed.prediction.face))
  if reconstructed.is_mirrored is not None:
    face = rendering.mirrored(face, reconstructed.is_mirrored[last])
  found = view_search.best_yaw(
    face, images11[last], settings.formation, settings.view_tries, key
  )
  return jnp.mean(jnp.square(face.view[:, view_search.YAW] - found))


def terms(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
  reconstructed: autoencoder_reconstruct.Reconstruction,
) -> dict[str, losses.Sums]:
  """Computes the terms of the loss that compare pictures.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].
    reconstructed: Their reconstruction.

  Returns:
    Of each image, not weighted yet: `photometric`, and where they have a weight
    `perceptual` and `laplacian`; with `_mirror` at the end of the name those of
    the mirrored faces, where each image is reconstructed by both.
  """
  mask, weights = reconstructed.mask, model.settings.weights
  sides = _sides(reconstructed)
  out = {}
  for end, (picture11, sigma, _) in sides.items():
    out["photometric" + end] = losses.photometric(
      picture11, images11, sigma, mask
    )
    if weights.laplacian:
      out["laplacian" + end] = losses.laplacian(picture11, images11, mask)
  if model.features is None or not weights.perceptual:
    return out
  apply = functools.partial(
    model.features.apply, variables.frozen.get("features", {})
  )
  wanted = apply(images11)
  for end, (picture11, _, sigma) in sides.items():
    out["perceptual" + end] = losses.perceptual(
      apply(picture11), wanted, sigma, mask
    )
  return out


def _sides(reconstructed):
  """Returns masked pictures, and their expected errors, by end of the name."""
  found, mask = reconstructed.prediction, reconstructed.mask[..., None]
  sigmas = (found.sigma, found.sigma_quarter)
  if reconstructed.is_mirrored is None:
    pictures = rendering.unpair(reconstructed.images.colour)
    return {
      end: (
        pictures[i] * mask,
        *(None if x is None else x[..., i] for x in sigmas),
      )
      for i, end in enumerate(("", "_mirror"))
    }
  turned = reconstructed.is_mirrored[:, None, None]
  chosen = (
    None if x is None else jnp.where(turned, x[..., 1], x[..., 0])
    for x in sigmas
  )
  return {"": (reconstructed.images.colour * mask, *chosen)}


def consistency(face: rendering.Face, num_frames: int) -> dict[str, jax.Array]:
  """Measures how far the frames of a track disagree about the person.

  Args:
    face: N faces; the frames of a track follow each other.
    num_frames: T.

  Returns:
    float32 scalars, 0 where all frames agree: `albedo_consistency`, mean
    distance of the albedo from the mean of its track, [-1, 1];
    `shape_consistency`, likewise of the depth averaged over cells, in units of
    half its range, so that an expression may differ.
  """
  num, size = face.depth.shape[0], face.depth.shape[1]
  cells = face.depth.reshape(
    num, _NUM_CELLS, size // _NUM_CELLS, _NUM_CELLS, size // _NUM_CELLS
  )
  shape = jnp.mean(cells, axis=(2, 4)) / _HALF_DEPTH_RANGE
  return {
    "albedo_consistency": _spread(face.albedo11, num_frames),
    "shape_consistency": _spread(shape, num_frames),
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
    "laplacian": weights.laplacian,
    "laplacian_mirror": weights.laplacian * mirror,
    "albedo_consistency": weights.albedo_consistency,
    "shape_consistency": weights.shape_consistency,
    "depth_smoothness": weights.depth_smoothness,
    "view_search": weights.view_search,
  }
  return sum(factors[name] * value for name, value in values.items())
