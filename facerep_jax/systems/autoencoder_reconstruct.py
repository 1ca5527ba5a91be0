"""Takes pictures apart and puts them together again, for the loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax.faces import rendering
from facerep_jax.ops import render
from facerep_jax.systems import autoencoder_model, base


class Reconstruction(NamedTuple):
  """Images and what the model makes of them.

  Attributes:
    prediction: Of the networks; with `light_per` or `cross_frame` the light, or
      shape and texture, of its faces are those of other frames of the track.
    canonical: The faces that are drawn, from the front.
    images: These faces as they are seen.
    mask: [N, S, S] float32, what is seen of all that is drawn for an image; no
      gradient.
    is_mirrored: [N] bool, which images are reconstructed by the mirror of their
      face; None where each image has two rows in `canonical` and `images`, its
      face and then the mirror of it, as `rendering.pair` puts them.
  """

  prediction: autoencoder_model.Prediction
  canonical: rendering.Canonical
  images: render.Rendered
  mask: jax.Array
  is_mirrored: jax.Array | None


def for_training(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
  num_frames: int,
  key: jax.Array,
) -> Reconstruction:
  """Reconstructs images as the settings ask for in a training step.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1]; the frames of a track follow each
      other.
    num_frames: T, frames of a track; N is a multiple of it.
    key: Of what is drawn at random: which images are mirrored, and which
      frame reconstructs a track.

  Returns:
    The reconstruction.
  """
  settings = model.settings
  codes = autoencoder_model.encode(model, variables, images11)
  mirror_key, frame_key = jax.random.split(key)
  face = _faces(model, variables, codes, num_frames, frame_key)
  found = autoencoder_model.prediction(model, variables, images11, codes, face)
  weight = settings.weights.mirror
  if settings.mirror == "both" and weight:
    return _draw_both(settings.formation, found)
  share = weight / (1 + weight)
  is_mirrored = jax.random.bernoulli(mirror_key, share, (len(images11),))
  return _draw(settings.formation, found, is_mirrored if share else None)


def for_evaluation(
  model: autoencoder_model.Model,
  variables: base.Variables,
  images11: jax.Array,
) -> Reconstruction:
  """Reconstructs images by their own faces, and mirrors where these count.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].

  Returns:
    The reconstruction.
  """
  settings = model.settings
  found = autoencoder_model.predict(model, variables, images11)
  if settings.weights.mirror:
    return _draw_both(settings.formation, found)
  return _draw(settings.formation, found, None)


def _draw_both(formation, found):
  """Draws each face and its mirror."""
  both = rendering.with_mirror(found.face)
  shaded, images = _render(formation, both)
  mask = jax.lax.stop_gradient(images.mask[0::2] * images.mask[1::2])
  return Reconstruction(found, shaded, images, mask, None)


def _draw(formation, found, is_mirrored):
  """Draws each face, or its mirror."""
  face = found.face
  if is_mirrored is None:
    is_mirrored = jnp.zeros(len(face.depth), bool)
  else:
    face = rendering.mirrored(face, is_mirrored)
  shaded, images = _render(formation, face)
  mask = jax.lax.stop_gradient(images.mask)
  return Reconstruction(found, shaded, images, mask, is_mirrored)


def _render(formation, face):
  shaded = rendering.shade(face, formation)
  images = rendering.render_face(
    face.depth, shaded.image11, face.view, formation
  )
  return shaded, images


def _faces(model, variables, codes, num_frames, key):
  """Gives frames of a track what was found in others, where wanted."""
  settings = model.settings
  shape = [codes[name] for name in ("albedo_code", "depth_code")]
  kind = settings.cross_frame
  if kind == "one":
    count = len(codes["view"]) // num_frames
    chosen = chosen_frames(count, num_frames, settings.first_share, key)
    shape = [of_frames(x, chosen, num_frames) for x in shape]
  depth, albedo11 = autoencoder_model.decode(model, variables, *shape)
  if kind == "one":  # Decoded once for all frames of a track.
    depth, albedo11 = (
      jnp.repeat(x, num_frames, axis=0) for x in (depth, albedo11)
    )
  if kind == "next":
    depth, albedo11 = (of_next_frame(x, num_frames) for x in (depth, albedo11))
  light = codes["light"]
  if settings.light_per == "track":
    light = of_first_frame(light, num_frames)
  return rendering.Face(depth, albedo11, light, codes["view"])


def chosen_frames(
  num_tracks: int, num_frames: int, first_share: float, key: jax.Array
) -> jax.Array:
  """Draws a frame for each track.

  Args:
    num_tracks: B.
    num_frames: T, at least 2.
    first_share: Probability of the first frame, [0, 1]; the others are alike.
    key: The same key draws the same frames.

  Returns:
    [B] int32, 0 to T - 1.
  """
  first_key, rest_key = jax.random.split(key)
  is_first = jax.random.bernoulli(first_key, first_share, (num_tracks,))
  other = jax.random.randint(rest_key, (num_tracks,), 1, num_frames)
  return jnp.where(is_first, 0, other)


def of_frames(rows: jax.Array, chosen: jax.Array, num_frames: int) -> jax.Array:
  """Picks of the rows [B T, D] of each track that of its chosen [B] frame."""
  tracks = rows.reshape(-1, num_frames, rows.shape[-1])
  return jnp.take_along_axis(tracks, chosen[:, None, None], axis=1)[:, 0]


def of_next_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives each frame what the next of its track has, the last the first's."""
  tracks = rows.reshape(-1, num_frames, *rows.shape[1:])
  return jnp.roll(tracks, -1, axis=1).reshape(rows.shape)


def of_first_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives all frames of a track what its first one has, [N, K]."""
  tracks = rows.reshape(-1, num_frames, rows.shape[-1])
  return jnp.broadcast_to(tracks[:, :1], tracks.shape).reshape(rows.shape)
