"""LatentFace stage 1: explains pictures by shape, texture, light and view.

Source: arXiv 2309.08273, section 3.1, and the authors' published code, which
follows Unsup3D (Wu, Rupprecht, Vedaldi, CVPR 2020, arXiv 1911.11130).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import (
  collapse,
  face_model,
  face_pictures,
  losses,
  perceptual,
)
from facerep_jax.models import unsup3d
from facerep_jax.ops import depth as depth_ops
from facerep_jax.ops import render
from facerep_jax.systems import autoencoder_settings, base

# Shape is compared between frames of a track in cells of this many px of 64:
# an expression moves less than a cell, an identity more.
_SHAPE_CELL = 8
_HALF_DEPTH_RANGE = 0.1


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
    prediction: Of the networks; the light may be shared by a track.
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


def make(*, dtype: str, **settings) -> base.System:
  """Builds the system.

  Args:
    dtype: Compute type of the networks, "float32" or "bfloat16".
    **settings: See `autoencoder_settings.Settings`.

  Returns:
    The system.

  Raises:
    InputError: A setting is out of range.
  """
  settings = dict(settings)
  weights = autoencoder_settings.Weights(**settings.pop("weights", {}))
  frozen = tuple(settings.pop("frozen", ()))
  model = make_model(
    autoencoder_settings.Settings(
      dtype=dtype, weights=weights, frozen=frozen, **settings
    )
  )
  settings, features = model.settings, model.features
  bind = functools.partial
  has_file = features is not None and features.read is not None
  return base.System(
    init=bind(_init, model),
    loss_fn=bind(_loss, model),
    eval_fn=bind(_evaluate, model),
    represent=bind(_represent, model),
    represent_train=bind(_represent_train, model),
    reconstruct=bind(_reconstruct, model),
    pictures=bind(_pictures, model),
    captions=face_pictures.captions(settings.use_confidence),
    num_frames=settings.num_frames,
    size_px=settings.size_px,
    factors=bind(_factors, model),
    read_frozen=(lambda: {"features": features.read()}) if has_file else None,
    warnings=collapse.warnings,
    failures=bind(_failures, settings.formation),
    notes=(features.note,) if features else (),
  )


def make_model(settings: autoencoder_settings.Settings) -> Model:
  """Builds networks, without parameters, for settings."""
  features = perceptual.make(
    settings.perceptual, settings.vgg16_path, settings.dtype
  )
  return Model(settings, _networks(settings), features)


def _networks(settings):
  dtype = jnp.dtype(settings.dtype)
  size = settings.size_px
  coded = functools.partial(
    unsup3d.MapNet, size, settings.width, settings.code_dim, dtype=dtype
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
    ),
  }
  return {name: nets[name] for name in settings.networks}


def _init(model, key):
  size = model.settings.size_px
  images11 = jnp.zeros((1, size, size, 3))
  params = {
    name: net.init(jax.random.fold_in(key, i), images11)["params"]
    for i, (name, net) in enumerate(model.nets.items())
  }
  frozen = {name: params.pop(name) for name in model.settings.frozen}
  if model.features:
    known = model.features.init(jax.random.fold_in(key, len(model.nets)))
    frozen |= {"features": known} if known else {}
  return base.Variables(params, {}, frozen)


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
  params = variables.params | variables.frozen
  out = {
    name: net.apply({"params": params[name]}, images11)
    for name, net in model.nets.items()
  }
  depth_code, depth = out["depth"]
  albedo_code, albedo11 = out["albedo"]
  settings = model.settings
  raw = settings.depth_gain * depth[..., 0] + settings.depth_dome * dome(
    settings.size_px
  )
  face = face_model.Face(
    depth_ops.rescale(raw), albedo11, out["light"], out["view"]
  )
  sigma = out.get("confidence", (None, None))
  return Prediction(albedo_code, depth_code, face, *sigma)


def dome(size_px: int) -> jax.Array:
  """Makes a shape like the front of a head, [1, S, S]: 0 in the middle.

  It is a paraboloid that lies 1 deeper at the middle of each side.
  """
  place = jnp.square(jnp.linspace(-1.0, 1.0, size_px))
  return (place[None, :, None] + place[None, None, :]).astype(jnp.float32)


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
  if model.settings.light_per == "track":
    light = of_first_frame(found.face.light, num_frames)
    found = found._replace(face=found.face._replace(light=light))
  both = face_model.with_mirror(found.face)
  formation = model.settings.formation
  shaded = face_model.shade(both, formation)
  images = face_model.photograph(
    both.depth, shaded.image11, both.view, formation
  )
  mask, mask_mirror = face_model.unpair(images.mask)
  shared_mask = jax.lax.stop_gradient(mask * mask_mirror)
  return Explanation(found, shaded, images, shared_mask)


def of_first_frame(rows: jax.Array, num_frames: int) -> jax.Array:
  """Gives all frames of a track what its first one has, [N, K]."""
  tracks = rows.reshape(-1, num_frames, rows.shape[-1])
  return jnp.broadcast_to(tracks[:, :1], tracks.shape).reshape(rows.shape)


def terms(
  model: Model,
  variables: base.Variables,
  images11: jax.Array,
  explanation: Explanation,
  mask: jax.Array,
) -> dict[str, jax.Array]:
  """Computes the terms of the loss that compare pictures.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1].
    explanation: Of them.
    mask: [N, S, S] float32, weight of each pixel.

  Returns:
    float32 scalars, not weighted yet: `photometric`, `photometric_mirror`, and
    with features `perceptual` and `perceptual_mirror`.
  """
  found = explanation.prediction
  both_masks = face_model.pair(explanation.mask, explanation.mask)
  masked = explanation.images.colour * both_masks[..., None]
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
    num, _SHAPE_CELL, size // _SHAPE_CELL, _SHAPE_CELL, size // _SHAPE_CELL
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


def _rows11(batch):
  """Flattens frames [B, T, S, S, 3] uint8 to float32 rows in [-1, 1]."""
  frames = batch["frames"]
  rows = frames.reshape(-1, *frames.shape[2:])
  return rows.astype(jnp.float32) / 127.5 - 1.0


def _to01(images11):
  return jnp.clip(images11 / 2 + 0.5, 0.0, 1.0)


def loss_of_images(
  model: Model,
  variables: base.Variables,
  images11: jax.Array,
  num_frames: int,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Explanation]]:
  """Computes the loss.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images11: [N, S, S, 3] float32, [-1, 1]; the frames of a track follow each
      other.
    num_frames: T, frames of a track.

  Returns:
    The weighted sum, its terms before they are weighted, and the explanation.
  """
  explained = explain(model, variables, images11, num_frames)
  values = terms(model, variables, images11, explained, explained.mask)
  if num_frames > 1:
    values |= consistency(explained.prediction.face, num_frames)
  values["rough_shape"] = roughness(explained.prediction.face.depth)
  return _weighted(model.settings.weights, values), (values, explained)


def _weighted(weights, values):
  """Sums what `terms` and `consistency` gave."""
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


def _loss(model, params, frozen, model_state, batch, control, key):
  del control, key  # No ranks, and nothing random inside the networks.
  variables = base.Variables(params, model_state, frozen)
  loss, (values, explained) = loss_of_images(
    model, variables, _rows11(batch), batch["frames"].shape[1]
  )
  metrics = values | _measurements(model.settings, explained) | {"loss": loss}
  return loss, (model_state, metrics)


def _measurements(settings, explained):
  """What tells a healthy run from a collapsed one."""
  found = explained.prediction
  shading, _ = face_model.unpair(explained.canonical.shading)
  return collapse.measure(
    found.face.depth,
    found.face.albedo11,
    shading,
    found.face.view[:, :3] * settings.max_angle_deg,
    found.sigma,
  ) | {
    "num_lost": jnp.sum(explained.images.num_lost).astype(jnp.float32),
    "mask_share": jnp.mean(explained.mask),
  }


def _failures(formation, values):
  """Says what makes a step worthless."""
  if not values.get("num_lost"):
    return []
  return [
    f"the renderer ran out of room (num_lost {values['num_lost']:.3g}), so "
    "that pictures have holes. Set config.model.render_room above "
    f"{formation.room:g}, with another --workdir."
  ]


def _evaluate(model, variables, batch):
  num_frames = batch["frames"].shape[1]
  images11 = _rows11(batch)
  weight = jnp.repeat(batch["weight"], num_frames)
  explained = explain(model, variables, images11, num_frames)
  mask = explained.mask * weight[:, None, None]
  values = terms(model, variables, images11, explained, mask)
  total = jnp.sum(weight)
  out = {name: (value * total, total) for name, value in values.items()}
  out["loss"] = (_weighted(model.settings.weights, values) * total, total)
  picture, _ = face_model.unpair(explained.images.colour)
  target01 = _to01(images11)
  area = jnp.sum(mask)
  share = jnp.sum(mask, axis=(1, 2))[:, None, None, None]
  mean = jnp.sum(target01 * mask[..., None], (1, 2), keepdims=True)
  mean = mean / jnp.maximum(share, 1.0)
  num_lost = sum(face_model.unpair(explained.images.num_lost))
  num_lost = jnp.sum(jnp.where(weight > 0, num_lost, 0))
  return out | {
    "l1": (_l1(_to01(picture), target01, mask), area),
    "l1_mean_colour": (_l1(mean, target01, mask), area),
    "mask_share": (jnp.sum(jnp.mean(mask, axis=(1, 2))), total),
    "num_lost": (num_lost.astype(jnp.float32), total),
  }


def _l1(a, b, mask):
  """Sums the error of a channel over the mask."""
  return jnp.sum(jnp.mean(jnp.abs(a - b), axis=-1) * mask)


def _represent(model, variables, images01, key):
  del key
  found = predict(model, variables, 2 * images01 - 1)
  return {
    "albedo_code": found.albedo_code,
    "depth_code": found.depth_code,
    "view": found.face.view,
    "light": found.face.light,
  }


def _represent_train(model, variables, images01, key):
  # Nothing in it depends on the batch.
  return _represent(model, variables, images01, key), variables.model_state


def _reconstruct(model, variables, batch):
  images11 = _rows11({"frames": batch["frames"][:, :1]})
  found = predict(model, variables, images11)
  formation = model.settings.formation
  shaded = face_model.shade(found.face, formation)
  seen = face_model.photograph(
    found.face.depth, shaded.image11, found.face.view, formation
  )
  target = _to01(images11)
  mean = jnp.mean(target, axis=(1, 2), keepdims=True)
  # What the face does not explain is grey, not the white that is drawn there.
  picture = _to01(seen.colour * seen.mask[..., None])
  return {
    "target": target,
    "reconstruction": picture,
    "mean colour": jnp.broadcast_to(mean, target.shape),
  }


def _factors(model, variables, images01):
  """See `System.factors`.

  Returns:
    `canonical_depth`, `depth` (scene units; 1.2 where nothing is seen), `mask`,
    `confidence` (expected error of a pixel, in [-1, 1] units: small where the
    model is sure; 1 everywhere without the network) [N, S, S]; `normal`
    [N, S, S, 3], canonical, away from the camera; `albedo`, `shading` (a white
    face), `canonical`, `reconstruction` (on white) [N, S, S, 3], [0, 1]; `view`
    [N, 6]: turns about x, y, z in radians, shifts along them in scene units;
    `light` [N, 4]: ambient, diffuse and the slopes of its direction, (-1, 1).
  """
  settings = model.settings
  found = predict(model, variables, 2 * images01 - 1)
  face = found.face
  shaded = face_model.shade(face, settings.formation)
  seen = face_model.photograph(
    face.depth, shaded.image11, face.view, settings.formation
  )
  grey = jnp.minimum(shaded.shading, 1.0)[..., None]
  shift = face.view[:, 3:] * jnp.array([[1.0, 1.0, 0.0]]) * settings.max_shift
  turn = face.view[:, :3] * math.radians(settings.max_angle_deg)
  sure = None if found.sigma is None else found.sigma[..., 0]
  return {
    "canonical_depth": face.depth,
    "depth": seen.depth,
    "mask": seen.mask,
    "normal": shaded.normals,
    "albedo": _to01(face.albedo11),
    "shading": jnp.broadcast_to(grey, (*grey.shape[:3], 3)),
    "canonical": _to01(shaded.image11),
    "reconstruction": _to01(seen.colour),
    "view": jnp.concatenate([turn, shift], axis=1),
    "light": face.light,
    "confidence": jnp.ones_like(seen.mask) if sure is None else sure,
  }


def _pictures(model, variables, batch):
  images11 = _rows11({"frames": batch["frames"][:, :1]})
  images01 = _to01(images11)
  factors = _factors(model, variables, images01)
  return face_pictures.columns(
    images01, factors, model.settings.formation, model.settings.use_confidence
  )
