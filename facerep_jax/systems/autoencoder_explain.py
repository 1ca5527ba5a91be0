"""Takes pictures apart and puts them together again, for the loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import face_model
from facerep_jax.ops import render
from facerep_jax.systems import autoencoder_model, base


class Explanation(NamedTuple):
  """Images and what the model makes of them.

  Attributes:
    prediction: Of the networks; with `light_per` or `face_from` the light, or
      shape and texture, of its faces are those of other frames of the track.
    canonical: The faces that are drawn, from the front.
    images: These faces as they are seen.
    mask: [N, S, S] float32, what is seen of all that is drawn for an image; no
      gradient.
    is_mirrored: [N] bool, which images are explained by the mirror of their
      face; None where each image has two rows in `canonical` and `images`, its
      face and then the mirror of it, as `face_model.pair` puts them.
  """

  prediction: autoencoder_model.Prediction
  canonical: face_model.Canonical
  images: render.Rendered
  mask: jax.Array
  is_mirrored: jax.Array | None


def for_training(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
  num_frames: int,
  key: jax.Array,
) -> Explanation:
  """Explains images as the settings ask for in a training step.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1]; the frames of a track follow each
      other.
    num_frames: T, frames of a track; N is a multiple of it.
    key: Of what is drawn at random: which images are mirrored.

  Returns:
    The explanation.
  """
  settings = model.settings
  codes = autoencoder_model.encode(model, variables, images11)
  face = _faces(model, variables, codes, num_frames)
  found = autoencoder_model.prediction(model, variables, images11, codes, face)
  weight = settings.weights.mirror
  if settings.mirror == "both" and weight:
    return _draw_both(settings.formation, found)
  share = weight / (1 + weight)
  is_mirrored = jax.random.bernoulli(key, share, (len(images11),))
  return _draw(settings.formation, found, is_mirrored if share else None)


def for_evaluation(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
) -> Explanation:
  """Explains each image by its own face, and by the mirror where that counts.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].

  Returns:
    The explanation.
  """
  settings = model.settings
  found = autoencoder_model.predict(model, variables, images11)
  if settings.weights.mirror:
    return _draw_both(settings.formation, found)
  return _draw(settings.formation, found, None)


def _draw_both(formation, found):
  """Draws each face and its mirror."""
  both = face_model.with_mirror(found.face)
  shaded, images = _photograph(formation, both)
  mask = jax.lax.stop_gradient(images.mask[0::2] * images.mask[1::2])
  return Explanation(found, shaded, images, mask, None)


def _draw(formation, found, is_mirrored):
  """Draws each face, or its mirror."""
  face = found.face
  if is_mirrored is None:
    is_mirrored = jnp.zeros(len(face.depth), bool)
  else:
    turned = is_mirrored[:, None, None]
    face = face._replace(
      depth=jnp.where(turned, face.depth[:, :, ::-1], face.depth),
      albedo11=jnp.where(
        turned[..., None], face.albedo11[:, :, ::-1], face.albedo11
      ),
    )
  shaded, images = _photograph(formation, face)
  mask = jax.lax.stop_gradient(images.mask)
  return Explanation(found, shaded, images, mask, is_mirrored)


def _photograph(formation, face):
  shaded = face_model.shade(face, formation)
  images = face_model.photograph(
    face.depth, shaded.image11, face.view, formation
  )
  return shaded, images


def _faces(model, variables, codes, num_frames):
  """Gives frames of a track what was found in others, where wanted."""
  settings = model.settings
  names = ("albedo_code", "depth_code")
  shape = [codes[name] for name in names]
  if settings.face_from == "mean":
    shape = [mean_and_own(x, num_frames, settings.own_frames) for x in shape]
  depth, albedo11 = autoencoder_model.decode(model, variables, *shape)
  if settings.face_from == "mean":
    depth, albedo11 = (
      to_frames(x, num_frames, settings.own_frames) for x in (depth, albedo11)
    )
  if settings.face_from == "next":
    depth, albedo11 = (of_next_frame(x, num_frames) for x in (depth, albedo11))
  light = codes["light"]
  if settings.light_per == "track":
    light = of_first_frame(light, num_frames)
  return face_model.Face(depth, albedo11, light, codes["view"])


def mean_and_own(
  codes: jax.Array, num_frames: int, own_frames: int
) -> jax.Array:
  """Averages the codes of each track, and keeps those of its last frames.

  Args:
    codes: [B T, D] float; the frames of a track follow each other.
    num_frames: T.
    own_frames: K, how many of each track are kept, 0 to T - 1.

  Returns:
    [B (1 + K), D]: of each track the mean over its T frames, then the kept.
  """
  tracks = codes.reshape(-1, num_frames, codes.shape[-1])
  mean = jnp.mean(tracks, axis=1, keepdims=True)
  own = tracks[:, num_frames - own_frames :]
  return jnp.concatenate([mean, own], axis=1).reshape(-1, codes.shape[-1])


def to_frames(maps: jax.Array, num_frames: int, own_frames: int) -> jax.Array:
  """Gives the frames of each track what was decoded for them.

  Args:
    maps: [B (1 + K), ...], decoded from what `mean_and_own` returned.
    num_frames: T.
    own_frames: K.

  Returns:
    [B T, ...]: the map of the mean for the first T - K frames of a track, then
    the others.
  """
  tracks = maps.reshape(-1, 1 + own_frames, *maps.shape[1:])
  num_shared = num_frames - own_frames
  shared = jnp.repeat(tracks[:, :1], num_shared, axis=1)
  both = jnp.concatenate([shared, tracks[:, 1:]], axis=1)
  return both.reshape(-1, *maps.shape[1:])


def of_next_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives each frame what the next of its track has, the last the first's."""
  tracks = rows.reshape(-1, num_frames, *rows.shape[1:])
  return jnp.roll(tracks, -1, axis=1).reshape(rows.shape)


def of_first_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives all frames of a track what its first one has, [N, K]."""
  tracks = rows.reshape(-1, num_frames, rows.shape[-1])
  return jnp.broadcast_to(tracks[:, :1], tracks.shape).reshape(rows.shape)
