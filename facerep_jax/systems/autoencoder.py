"""LatentFace stage 1: explains pictures by shape, texture, light and view.

Source: arXiv 2309.08273, section 3.1, and the authors' published code, which
follows Unsup3D (Wu, Rupprecht, Vedaldi, CVPR 2020, arXiv 1911.11130).
"""

import functools
import math

import jax
import jax.numpy as jnp

from facerep_jax.faces import collapse, panels, rendering
from facerep_jax.models import initial
from facerep_jax.ops import image_range
from facerep_jax.systems import (
  autoencoder_loss,
  autoencoder_model,
  autoencoder_reconstruct,
  autoencoder_settings,
  base,
)


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
  model = _model(dtype, settings)
  settings = model.settings
  bind = functools.partial
  return base.System(
    init=bind(_init, model),
    loss_fn=bind(_loss, model),
    eval_fn=bind(_evaluate, model),
    represent=bind(_represent, model),
    pictures=bind(_pictures, model),
    num_frames=settings.num_frames,
    size_px=settings.size_px,
    factors=bind(_factors, model),
    reconstruct=bind(_reconstruct, model),
    faces=base.Faces(
      encode=bind(_features, model),
      decode=bind(autoencoder_model.decode, model),
      formation=settings.formation,
    ),
    diagnose=bind(_diagnose, settings.formation),
  )


def resources(*, dtype: str, **settings) -> base.Resources:
  """Returns the features of the perceptual loss, see `base.Resources`.

  Args:
    dtype: As for `make`.
    **settings: As for `make`.

  Raises:
    InputError: A setting is out of range.
  """
  features = _model(dtype, settings).features
  if features is None:
    return base.Resources()
  if features.read is None:
    return base.Resources(note=features.note)
  return base.Resources(lambda: {"features": features.read()}, features.note)


def _model(dtype, settings):
  """Builds networks for the keyword arguments of `make`."""
  settings = dict(settings)
  weights = autoencoder_settings.Weights(**settings.pop("weights", {}))
  frozen = tuple(settings.pop("frozen", ()))
  return autoencoder_model.make(
    autoencoder_settings.Settings(
      dtype=dtype, weights=weights, frozen=frozen, **settings
    )
  )


@initial.drawn_together
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


def _rows11(batch):
  """Flattens frames [B, T, S, S, 3] uint8 to float32 rows in [-1, 1]."""
  frames = batch["frames"]
  rows = frames.reshape(-1, *frames.shape[2:])
  return image_range.uint8_to_11(rows)


def _loss(model, params, frozen, model_state, batch, control, key):
  variables = base.Variables(params, model_state, frozen)
  num_frames = batch["frames"].shape[1]
  band = [control[end] * num_frames for end in ("band_start", "band_stop")]
  loss, (values, reconstructed) = autoencoder_loss.of_images(
    model, variables, _rows11(batch), num_frames, band, key
  )
  metrics = (
    values | _measurements(model.settings, reconstructed) | {"loss": loss}
  )
  return loss, (model_state, metrics)


def _measurements(settings, reconstructed):
  """What tells a healthy run from a collapsed one."""
  found = reconstructed.prediction
  shading = _first(reconstructed, reconstructed.canonical.shading)
  return collapse.measure(
    found.face.depth,
    found.face.albedo11,
    shading,
    found.face.view[:, :3] * settings.max_angle_deg,
    found.sigma,
  ) | {
    "num_dropped": jnp.sum(reconstructed.images.num_dropped).astype(
      jnp.float32
    ),
    "mask_share": jnp.mean(reconstructed.mask),
  }


def _first(reconstructed, rows):
  """Picks the rows of faces, without those of mirrors beside them."""
  is_pair = reconstructed.is_mirrored is None
  return rendering.unpair(rows)[0] if is_pair else rows


def _diagnose(formation, values):
  """See `base.System.diagnose`."""
  found = [base.Finding(*x) for x in collapse.warnings(values).items()]
  if values.get("num_dropped"):
    text = (
      "the renderer dropped fragments (num_dropped "
      f"{values['num_dropped']:.3g}), so that pictures have holes. Set "
      "config.autoencoder.model.render_capacity above "
      f"{formation.capacity_factor:g}, with another --workdir."
    )
    found.append(base.Finding("num_dropped", text, is_fatal=True))
  return found


def _evaluate(model, variables, batch):
  num_frames = batch["frames"].shape[1]
  images11 = _rows11(batch)
  weight = jnp.repeat(batch["weight"], num_frames)
  reconstructed = autoencoder_reconstruct.for_evaluation(
    model, variables, images11
  )
  mask = reconstructed.mask * weight[:, None, None]
  sums = autoencoder_loss.terms(model, variables, images11, reconstructed)
  values = {name: x.mean(weight) for name, x in sums.items()}
  total = jnp.sum(weight)
  out = {name: (value * total, total) for name, value in values.items()}
  out["loss"] = (
    autoencoder_loss.weighted(model.settings.weights, values) * total,
    total,
  )
  picture = _first(reconstructed, reconstructed.images.colour)
  target01 = image_range.to_01(images11)
  area = jnp.sum(mask)
  share = jnp.sum(mask, axis=(1, 2))[:, None, None, None]
  mean = jnp.sum(target01 * mask[..., None], (1, 2), keepdims=True)
  mean = mean / jnp.maximum(share, 1.0)
  lost = reconstructed.images.num_dropped.reshape(len(weight), -1).sum(axis=1)
  num_dropped = jnp.sum(jnp.where(weight > 0, lost, 0))
  return out | {
    "l1": (_l1(image_range.to_01(picture), target01, mask), area),
    "l1_mean_colour": (_l1(mean, target01, mask), area),
    "mask_share": (jnp.sum(jnp.mean(mask, axis=(1, 2))), total),
    "num_dropped": (num_dropped.astype(jnp.float32), total),
  }


def _l1(a, b, mask):
  """Sums the error of a channel over the mask."""
  return jnp.sum(jnp.mean(jnp.abs(a - b), axis=-1) * mask)


def _features(model, variables, images01, key):
  del key
  return autoencoder_model.encode(model, variables, image_range.to_11(images01))


def _represent(model, variables, images01, key, train=False):
  del train  # Nothing in it depends on the batch.
  features = _features(model, variables, images01, key)
  return features, variables.model_state


def _reconstruct(model, variables, batch):
  images11 = _rows11({"frames": batch["frames"][:, :1]})
  found = autoencoder_model.predict(model, variables, images11)
  formation = model.settings.formation
  shaded = rendering.shade(found.face, formation)
  seen = rendering.render_face(
    found.face.depth, shaded.image11, found.face.view, formation
  )
  target = image_range.to_01(images11)
  mean = jnp.mean(target, axis=(1, 2), keepdims=True)
  # What the face does not explain is grey, not the white that is drawn there.
  picture = image_range.to_01(seen.colour * seen.mask[..., None])
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
  found = autoencoder_model.predict(
    model, variables, image_range.to_11(images01)
  )
  face = found.face
  shaded = rendering.shade(face, settings.formation)
  seen = rendering.render_face(
    face.depth, shaded.image11, face.view, settings.formation
  )
  shift = face.view[:, 3:] * jnp.array([[1.0, 1.0, 0.0]]) * settings.max_shift
  turn = face.view[:, :3] * math.radians(settings.max_angle_deg)
  sure = None if found.sigma is None else found.sigma[..., 0]
  return panels.maps(face, settings.formation) | {
    "depth": seen.depth,
    "mask": seen.mask,
    "reconstruction": image_range.to_01(seen.colour),
    "view": jnp.concatenate([turn, shift], axis=1),
    "light": face.light,
    "confidence": jnp.ones_like(seen.mask) if sure is None else sure,
  }


def _pictures(model, variables, batch):
  images11 = _rows11({"frames": batch["frames"][:, :1]})
  images01 = image_range.to_01(images11)
  factors = _factors(model, variables, images01)
  return panels.columns(
    images01, factors, model.settings.formation, model.settings.use_confidence
  )
