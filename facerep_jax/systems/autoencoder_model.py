"""The 3D-aware autoencoder's networks, and what they make of pictures."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import face_model, perceptual
from facerep_jax.models import unsup3d
from facerep_jax.ops import depth as depth_ops
from facerep_jax.ops import render
from facerep_jax.systems import autoencoder_settings, base


class Prediction(NamedTuple):
  """What the networks say about N images.

  Attributes:
    albedo_code: [N, D] float32, not negative.
    depth_code: Likewise.
    face: Canonical shape and texture, light and view.
    sigma: [N, S, S, 2] float32, expected error of each pixel of the picture,
      and of its mirrored explanation; None without a confidence network.
    sigma_quarter: [N, S / 4, S / 4, 2], likewise of the features.
  """

  albedo_code: jax.Array
  depth_code: jax.Array
  face: face_model.Face
  sigma: jax.Array | None
  sigma_quarter: jax.Array | None


class Explanation(NamedTuple):
  """Images and what the model makes of them, for the loss.

  Attributes:
    prediction: Of the networks; with `light_per` or `face_from` the light, or
      shape and texture, of its faces are those of other frames of the track.
    canonical: Each face and its mirror from the front, 2 N rows.
    images: Each face and its mirror as they are seen, 2 N rows.
    mask: [N, S, S] float32, what both show; no gradient.
  """

  prediction: Prediction
  canonical: face_model.Canonical
  images: render.Rendered
  mask: jax.Array


class Model(NamedTuple):
  """The networks and the settings that go with them."""

  settings: autoencoder_settings.Settings
  nets: dict[str, object]
  features: perceptual.Features | None


def make(settings: autoencoder_settings.Settings) -> Model:
  """Builds networks, without parameters, and features for settings."""
  features = perceptual.make(
    settings.perceptual, settings.vgg16_path, settings.dtype
  )
  return Model(settings, _networks(settings), features)


def _networks(settings):
  dtype = jnp.dtype(settings.dtype)
  size = settings.size_px
  coded = functools.partial(
    unsup3d.MapNet,
    size,
    settings.width,
    settings.code_dim,
    dtype=dtype,
    num_groups=settings.num_groups,
  )
  vector = functools.partial(
    unsup3d.VectorNet,
    size,
    settings.vector_width,
    hidden_dim=settings.hidden_dim,
    dtype=dtype,
  )
  nets = {
    "depth": coded(out_channels=1, use_tanh=False),
    "albedo": coded(out_channels=3, use_tanh=True),
    "light": vector(num_out=4),
    "view": vector(num_out=6),
    "confidence": unsup3d.ConfidenceNet(
      size,
      settings.confidence_width,
      settings.confidence_code_dim,
      dtype=dtype,
      num_groups=settings.num_groups,
    ),
  }
  return {name: nets[name] for name in settings.networks}


def predict(
  model: Model, variables: base.Variables, images11: jax.Array
) -> Prediction:
  """Applies the networks.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].

  Returns:
    What they say; each image has its own light.
  """
  codes = encode(model, variables, images11)
  depth, albedo11 = decode(
    model, variables, codes["albedo_code"], codes["depth_code"]
  )
  face = face_model.Face(depth, albedo11, codes["light"], codes["view"])
  sigma = (None, None)
  if "confidence" in model.nets:
    sigma = _apply(model, variables, "confidence", images11)
  return Prediction(codes["albedo_code"], codes["depth_code"], face, *sigma)


def encode(
  model: Model, variables: base.Variables, images11: jax.Array
) -> dict[str, jax.Array]:
  """Finds what pictures are made of.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].

  Returns:
    `albedo_code`, `depth_code` [N, D] float32, not negative; `view` [N, 6] and
    `light` [N, 4] float32, (-1, 1).
  """
  apply = functools.partial(_apply, model, variables)
  return {
    "albedo_code": apply("albedo", images11, method="encode"),
    "depth_code": apply("depth", images11, method="encode"),
    "view": apply("view", images11),
    "light": apply("light", images11),
  }


def decode(
  model: Model,
  variables: base.Variables,
  albedo_code: jax.Array,
  depth_code: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Makes canonical maps of codes.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    albedo_code: [N, D] float32.
    depth_code: Likewise.

  Returns:
    Depth [N, S, S] float32, scene units, and albedo [N, S, S, 3] float32,
    [-1, 1].
  """
  depth = _apply(model, variables, "depth", depth_code, method="decode")
  albedo11 = _apply(model, variables, "albedo", albedo_code, method="decode")
  settings = model.settings
  start = settings.depth_dome * dome(settings.size_px, settings.dome_upright)
  raw = settings.depth_gain * depth[..., 0] + start
  return depth_ops.rescale(raw), albedo11


def _apply(model, variables, name, x, method=None):
  """Applies one network."""
  params = (variables.params | variables.frozen)[name]
  return model.nets[name].apply({"params": params}, x, method=method)


def dome(size_px: int, upright: float) -> jax.Array:
  """Makes a shape like the front of a head, [1, S, S]: 0 in the middle.

  Args:
    size_px: S.
    upright: Depth at the middle of the top and the bottom.

  Returns:
    A paraboloid, float32, whose left and right side are 1 deep in the middle.
  """
  place = jnp.square(jnp.linspace(-1.0, 1.0, size_px))
  down = upright * place[None, :, None]
  return (down + place[None, None, :]).astype(jnp.float32)


def explain(
  model: Model,
  variables: base.Variables,
  images11: jax.Array,
  num_frames: int,
) -> Explanation:
  """Takes images apart, and puts them and their mirrors together again.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1]; the frames of a track follow each
      other.
    num_frames: T, frames of a track; N is a multiple of it.

  Returns:
    The explanation.
  """
  found = predict(model, variables, images11)
  found = found._replace(face=_share(model.settings, found.face, num_frames))
  both = face_model.with_mirror(found.face)
  formation = model.settings.formation
  shaded = face_model.shade(both, formation)
  images = face_model.photograph(
    both.depth, shaded.image11, both.view, formation
  )
  mask, mask_mirror = face_model.unpair(images.mask)
  shared_mask = jax.lax.stop_gradient(mask * mask_mirror)
  return Explanation(found, shaded, images, shared_mask)


def _share(settings, face, num_frames):
  """Explains frames of a track by what was found in others, where wanted."""
  if settings.light_per == "track":
    face = face._replace(light=of_first_frame(face.light, num_frames))
  if settings.face_from == "next":
    face = face._replace(
      depth=of_next_frame(face.depth, num_frames),
      albedo11=of_next_frame(face.albedo11, num_frames),
    )
  return face


def of_next_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives each frame what the next of its track has, the last the first's."""
  tracks = rows.reshape(-1, num_frames, *rows.shape[1:])
  return jnp.roll(tracks, -1, axis=1).reshape(rows.shape)


def of_first_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives all frames of a track what its first one has, [N, K]."""
  tracks = rows.reshape(-1, num_frames, rows.shape[-1])
  return jnp.broadcast_to(tracks[:, :1], tracks.shape).reshape(rows.shape)
