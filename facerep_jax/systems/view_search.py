"""Finds how far faces are turned by trial, where gradients are blind.

A gradient tells how a picture gets better when a face turns by a pixel. Before
eyes and noses are in place, that says next to nothing about a face that is
turned by 40 degrees. Drawing it at several turns and looking which one fits
best does, if not for each picture, then on average: and the average is what a
network learns that is trained towards what was found.
"""

import jax
import jax.numpy as jnp

from facerep_jax import losses
from facerep_jax.faces import rendering
from facerep_jax.ops import contrast_features

YAW = 1  # Its place in a view.
_FEATURES, _FEATURE_WEIGHT = "pyramid", 0.3
_REACH = 0.5  # Of the tries, to both sides; 1 is the greatest turn.
_MAX_VIEW = 0.95  # Where tanh still has a slope.


def best_yaw(
  face: rendering.Face,
  images11: jax.Array,
  formation: rendering.Formation,
  num_tries: int,
  key: jax.Array,
) -> jax.Array:
  """Tries turns on both sides of those of faces, at half the side.

  Args:
    face: N faces; no gradient flows into them.
    images11: [N, S, S, 3] float32, [-1, 1], that they explain.
    formation: How pictures are made of them.
    num_tries: Turns that are tried beside the face's own, one at random in each
      of so many equal parts of half the range, with the own in the middle.
    key: Of these.

  Returns:
    [N] float32: of the view's numbers, (-1, 1), the yaw that fits best.
  """
  face = jax.lax.stop_gradient(face)
  shaded = rendering.shade(face, formation)
  small = formation._replace(
    camera=formation.camera._replace(size_px=formation.camera.size_px // 2)
  )
  depth = _halve(face.depth[..., None])[..., 0]
  colour, target = _halve(shaded.image11), _halve(images11)
  wanted = contrast_features.features(target, _FEATURES)
  count = len(images11)
  place = jnp.arange(num_tries, dtype=jnp.float32)[:, None]
  place = place + jax.random.uniform(key, (num_tries, count))
  own = face.view[None, :, YAW]
  tries = own + _REACH * (2 * place / num_tries - 1)
  tries = jnp.clip(tries, -_MAX_VIEW, _MAX_VIEW)
  tries = jnp.concatenate([tries, own])

  def misfit(yaw):
    view = face.view.at[:, YAW].set(yaw)
    seen = rendering.render_face(depth, colour, view, small)
    return _misfit(seen, target, wanted)

  chosen = jnp.argmin(jax.lax.map(misfit, tries), axis=0)
  return jnp.take_along_axis(tries, chosen[None], axis=0)[0]


def _misfit(seen, target11, wanted):
  """Compares what is seen of faces with pictures, [N]."""
  mask = seen.mask
  picture = seen.colour * mask[..., None]
  area = jnp.mean(mask, axis=(1, 2))
  # Bands are summed over all pixels: without the area a face would shrink from
  # the picture by turning away.
  bands = losses.laplacian(picture, target11, mask).each() / area
  found = contrast_features.features(picture, _FEATURES)
  features = losses.perceptual(found, wanted, None, mask).each()
  pixels = losses.photometric(picture, target11, None, mask).each()
  return pixels + bands + _FEATURE_WEIGHT * features


def _halve(x):
  """Averages [N, S, S, C] over blocks of 2 x 2."""
  num, size, _, channels = x.shape
  blocks = x.reshape(num, size // 2, 2, size // 2, 2, channels)
  return jnp.mean(blocks, axis=(2, 4))
