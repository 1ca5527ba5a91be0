"""LatentFace stage 2: separates the identity of a face from its expression.

Source: arXiv 2309.08273, section 3.2, and the authors' published code.
"""

import functools

import jax
import jax.numpy as jnp

from facerep_jax import losses
from facerep_jax.faces import rendering
from facerep_jax.ops import diffusion, image_range, ranking
from facerep_jax.systems import (
  base,
  diffusion_model,
  diffusion_pictures,
  diffusion_settings,
)

# What evaluation draws at random is the same every time.
_EVALUATION_KEY = 0


def make(*, dtype: str, **settings) -> base.System:
  """Builds the system.

  Args:
    dtype: Compute type of the networks, "float32" or "bfloat16".
    **settings: See `diffusion_settings.Settings`.

  Returns:
    The system.

  Raises:
    InputError: A setting is out of range.
  """
  model = diffusion_model.make(
    diffusion_settings.Settings(dtype=dtype, **settings)
  )
  first, bind = model.first, functools.partial
  return base.System(
    init=bind(diffusion_model.init, model),
    loss_fn=bind(_loss, model),
    eval_fn=bind(_evaluate, model),
    represent=bind(_represent, model),
    pictures=bind(diffusion_pictures.columns, model),
    num_frames=model.settings.num_frames,
    size_px=first.size_px,
    reconstruct=_with_first(first.reconstruct),
    factors=_with_first(first.factors),
    faces=base.Faces(
      encode=bind(diffusion_model.encode_with_neutral, model),
      decode=_with_first(first.faces.decode),
      formation=first.faces.formation,
    ),
    encode=bind(_encode, model),
  )


def _with_first(function):
  """Makes a function of the stage before take this stage's variables."""
  return lambda variables, *rest: function(
    diffusion_model.of_first(variables), *rest
  )


def _encode(model, frozen, frames):
  """Codes of both networks, [N, 2 D], of frames [N, S, S, 3] uint8."""
  variables = base.Variables({}, {}, frozen)
  images01 = image_range.uint8_to_01(frames)
  found = diffusion_model.encode(model, variables, images01)
  return jnp.concatenate(
    [found[name] for name in diffusion_model.code_names(model)], axis=-1
  )


def _codes(model, frozen, batch):
  """Returns standardised codes of a batch by network, [B, T, D]."""
  codes = batch.get("codes")
  if codes is None:
    frames = batch["frames"]
    rows = _encode(model, frozen, frames.reshape(-1, *frames.shape[2:]))
    codes = rows.reshape(*frames.shape[:2], -1)
  parts = jnp.split(codes, len(model.nets), axis=-1)
  return {
    name: diffusion_model.standardise(frozen, name, part)
    for name, part in zip(model.nets, parts)
  }


def _loss(model, params, frozen, model_state, batch, control, key):
  metrics = {}
  for i, (name, codes) in enumerate(_codes(model, frozen, batch).items()):
    per_track = _track_losses(
      model, params, name, codes, jax.random.fold_in(key, i)
    )
    metrics[f"loss_{name}"] = losses.band_mean(
      per_track, control["band_start"], control["band_stop"]
    )
  loss = sum(metrics.values())
  return loss, (model_state, metrics | {"loss": loss})


def _track_losses(model, params, name, codes, key):
  """Measures how well one network denoises the mean codes of tracks.

  Args:
    model: Networks and settings.
    params: Their parameters.
    name: Which network.
    codes: [B, T, D] float32, standardised.
    key: Of steps and noise; every frame has its own.

  Returns:
    [B] float32.
  """
  settings, size = model.settings, codes.shape[-1]
  rows = codes.reshape(-1, size)
  clean = jnp.broadcast_to(jnp.mean(codes, 1, keepdims=True), codes.shape)
  clean = clean.reshape(-1, size)
  step_key, noise_key = jax.random.split(key)
  step = jax.random.randint(step_key, (len(rows),), 0, settings.num_train_steps)
  noise = jax.random.normal(noise_key, rows.shape)
  alpha_bar = jnp.asarray(model.alpha_bars)[step]
  noisy = diffusion.add_noise(clean, noise, alpha_bar)
  found = model.nets[name].apply({"params": params[name]}, noisy, rows, step)
  wanted = diffusion.target(clean, noise, alpha_bar, settings.prediction)
  weight = diffusion.weight(
    alpha_bar, settings.prediction, settings.weighting, settings.gamma
  )
  error = weight * jnp.mean(jnp.square(found - wanted), axis=-1)
  return jnp.mean(error.reshape(codes.shape[:2]), axis=1)


def _evaluate(model, variables, batch):
  """Compares denoised codes with the mean codes of their tracks.

  Returns:
    `error`: their mean squared distance, both networks added; `error_raw`: that
    of the codes as they are; `within_identity`: that of denoised codes from
    their own mean over the track, 0 if all frames of a person say the same;
    `diffusion_loss`: what training minimises; all in standardised units.
    `verification` and `verification_raw`: of pairs of the first frame of one
    sample and the last of another, the area under the ROC curve of the cosine
    of denoised codes, or of codes, [0, 1]. `loss`: what `select_by` names.
  """
  key = jax.random.key(_EVALUATION_KEY)
  weight = batch["weight"]
  total = jnp.sum(weight)
  names = ("error", "error_raw", "within_identity", "diffusion_loss")
  sums = dict.fromkeys(names, 0.0)
  found, raw = [], []
  for i, (name, codes) in enumerate(
    _codes(model, variables.frozen, batch).items()
  ):
    keys = jax.random.split(jax.random.fold_in(key, i))
    clean = _denoised(model, variables, name, codes, keys[0])
    found.append(clean)
    raw.append(codes)
    mean = jnp.mean(codes, axis=1, keepdims=True)
    own_mean = jnp.mean(clean, axis=1, keepdims=True)
    for what, distance in (
      ("error", clean - mean),
      ("error_raw", codes - mean),
      ("within_identity", clean - own_mean),
    ):
      per_track = jnp.mean(jnp.square(distance), axis=(1, 2))
      sums[what] += jnp.sum(weight * per_track)
    per_track = _track_losses(model, variables.params, name, codes, keys[1])
    sums["diffusion_loss"] += jnp.sum(weight * per_track)
  out = {name: (value, total) for name, value in sums.items()}
  if len(weight) < 2:  # One sample has nobody to be told from.
    return out | {"loss": out["error"]}
  for end, codes in (("", found), ("_raw", raw)):
    joined = jnp.concatenate(codes, axis=-1)
    out["verification" + end] = ranking.pair_auc(
      joined[:, 0], joined[:, -1], weight
    )
  wins, comparisons = out["verification"]
  by_rank = (comparisons - wins, comparisons)
  is_rank = model.settings.select_by == "verification"
  return out | {"loss": by_rank if is_rank else out["error"]}


def _denoised(model, variables, name, codes, key):
  """Samples clean codes [B, T, D] of standardised ones, standardised."""
  known = variables.frozen["statistics"][name]
  raw = codes * known["deviation"][None, None] + known["mean"][None, None]
  rows = raw.reshape(-1, raw.shape[-1])
  found = diffusion_model.denoise(model, variables, name, rows, key)
  found = diffusion_model.standardise(variables.frozen, name, found)
  return found.reshape(codes.shape)


def _represent(model, variables, images01, key, train=False):
  """See `base.System.represent`.

  Source: arXiv 2309.08273, section 4; the authors' evaluation code.

  Returns:
    `identity` [N, 2 D]: denoised albedo and depth codes. `expression` [N, 2 D]:
    codes less these. `fer` [N, 4 D]: of albedo, then of depth, code less
    denoised code, and code. `verification` [N, 8 D]: of albedo, then of depth,
    denoised code and code; of the image and then of its mirror image.
    `identity_wccn` [N, 2 D], with `wccn`: `diffusion_model.normalise_within`.
    `albedo_code`, `depth_code` [N, D], `view` [N, 6], `light` [N, 4]. And the
    model_state.
  """
  del train  # Nothing in it depends on the batch.
  both = rendering.pair(images01, images01[:, :, ::-1])
  found = diffusion_model.encode_with_neutral(model, variables, both, key)
  sides = [rendering.unpair(x) for x in found.values()]
  image, mirror = (dict(zip(found, side)) for side in zip(*sides))
  identity, expression, fer = [], [], []
  for name in model.nets:
    code, neutral = image[f"{name}_code"], image[f"neutral_{name}_code"]
    identity.append(neutral)
    expression.append(code - neutral)
    fer += [code - neutral, code]
  verification = [
    side[f"{prefix}{name}_code"]
    for side in (image, mirror)
    for name in model.nets
    for prefix in ("neutral_", "")
  ]
  joined = {
    "identity": identity,
    "expression": expression,
    "fer": fer,
    "verification": verification,
  }
  out = {k: jnp.concatenate(parts, axis=-1) for k, parts in joined.items()}
  if model.settings.wccn:
    out["identity_wccn"] = diffusion_model.normalise_within(
      model, variables, image, mirror
    )
  plain = (*diffusion_model.code_names(model), "view", "light")
  features = out | {name: image[name] for name in plain}
  return features, variables.model_state
