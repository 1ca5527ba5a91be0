"""The 3D-aware autoencoder's networks, and what they say of pictures."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax.faces import rendering
from facerep_jax.models import unsup3d
from facerep_jax.ops import depth as depth_ops
from facerep_jax.systems import autoencoder_settings, base, perceptual

_NUM_LIGHT, _NUM_VIEW = 4, 6


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
  face: rendering.Face
  sigma: jax.Array | None
  sigma_quarter: jax.Array | None


class Model(NamedTuple):
  """The networks and the settings that go with them."""

  settings: autoencoder_settings.Settings
  nets: dict[str, object]
  features: perceptual.Features | None


def make(settings: autoencoder_settings.Settings) -> Model:
  """Builds networks, without parameters, and features for settings."""
  features = None
  if settings.weights.perceptual:
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
    decoder_kind=settings.decoder,
  )
  vector = functools.partial(
    unsup3d.VectorNet,
    size,
    settings.vector_width,
    hidden_dim=settings.hidden_dim,
    dtype=dtype,
  )
  nets = {
    "depth": coded(out_channels=1, use_tanh=False, resampled_from_px=size // 2),
    "albedo": coded(out_channels=3, use_tanh=True),
    "light": vector(num_out=_NUM_LIGHT),
    "view": vector(num_out=_NUM_VIEW),
    autoencoder_settings.JOINT: vector(num_out=_NUM_LIGHT + _NUM_VIEW),
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
  face = rendering.Face(depth, albedo11, codes["light"], codes["view"])
  return prediction(model, variables, images11, codes, face)


def prediction(
  model: Model,
  variables: base.Variables,
  images11: jax.Array,
  codes: dict[str, jax.Array],
  face: rendering.Face,
) -> Prediction:
  """Adds to codes and faces how far they are to be trusted.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].
    codes: What `encode` says of them.
    face: N faces that explain them.

  Returns:
    All that the networks say.
  """
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
  if autoencoder_settings.JOINT in model.nets:
    both = apply(autoencoder_settings.JOINT, images11)
    light, view = both[:, :_NUM_LIGHT], both[:, _NUM_LIGHT:]
  else:
    light, view = apply("light", images11), apply("view", images11)
  return {
    "albedo_code": apply("albedo", images11, method="encode"),
    "depth_code": apply("depth", images11, method="encode"),
    "view": view,
    "light": light,
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
  start = settings.depth_prior * dome(
    settings.size_px, settings.depth_prior_upright
  )
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
