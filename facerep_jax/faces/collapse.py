"""Tells when an explanation of faces by shape, texture, light and view fails.

The picture can come out right while the parts are wrong: a flat relief, one
view for all, or texture or light alone. These numbers show it early.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import errors

_INNER_SHARE = 0.6  # Of the side: the face, without hair and background.


class Rule(NamedTuple):
  """When to warn about one measurement.

  Attributes:
    name: Key of what `measure` returns.
    is_low: Whether values below the limit are bad, or else those above.
    limit: In the unit of the measurement.
    meaning: What that means, and what it comes from.
  """

  name: str
  is_low: bool
  limit: float
  meaning: str


# A face fills about 0.1 scene units; its relief is then about 0.01. Before
# training relief and variety are twice that, and all of it is noise.
RULES = (
  Rule(
    "depth_relief",
    True,
    0.002,
    "the shape is flat; the texture may be painting the picture alone",
  ),
  Rule(
    "depth_variety",
    True,
    2e-4,
    "all faces share one shape; the depth code is not used",
  ),
  Rule(
    "depth_roughness",
    False,
    1.0,
    "the shape is noise; it may be painting the picture with shading",
  ),
  Rule("yaw_std_deg", True, 1.0, "the view is frozen; no face is turned"),
  Rule(
    "shading_std",
    True,
    0.01,
    "shading is constant, so that the albedo explains everything; without "
    "shading the pictures say less about shape",
  ),
  Rule(
    "albedo_share",
    True,
    0.1,
    "light explains everything; the texture is blank",
  ),
  Rule(
    "sigma",
    False,
    1.0,
    "the confidence gives up: the expected error of a pixel is half the range "
    "of the picture",
  ),
)


def measure(
  depth: jax.Array,
  albedo11: jax.Array,
  shading: jax.Array,
  angles_deg: jax.Array,
  sigma: jax.Array | None,
) -> dict[str, jax.Array]:
  """Measures what collapses, over a batch and the inner part of each face.

  Args:
    depth: [N, S, S] float, canonical, scene units.
    albedo11: [N, S, S, C] float, canonical, [-1, 1].
    shading: [N, S, S] float, canonical, factor of the albedo.
    angles_deg: [N, 3] float: pitch, yaw, roll.
    sigma: [N, S, S, 2] float, expected error of the picture and of its
      mirrored explanation; None without a confidence network.

  Returns:
    float32 scalars:
      depth_relief: deviation over the face of the mean depth, scene units.
      depth_variety: deviation between faces of depth less its mean.
      depth_roughness: size of the second differences of depth, as a share of
        its deviation over a face; 2.4 for noise, 0 where depth is constant.
      yaw_std_deg, pitch_std_deg: deviation between pictures.
      shading_std: deviation over a face.
      shading_range: largest less smallest over a face, mean of the faces.
      albedo_share, light_share: share of the variance over a face of the
        brightness of the shaded picture that the albedo, or the shading, can
        predict alone; [0, 1], 0 where one of the two is constant. Both are
        high where they agree.
      sigma, sigma_mirror: means; absent without a confidence.

  Raises:
    InputError: A shape does not fit.
  """
  _check(depth, albedo11, shading, angles_deg, sigma)
  depth, albedo, shading = (
    _inner(x.astype(jnp.float32)) for x in (depth, albedo11, shading)
  )
  albedo = jnp.mean(albedo, axis=-1) / 2 + 0.5
  image = albedo * shading
  form = _centred(depth)
  view_std = jnp.std(angles_deg.astype(jnp.float32), axis=0)
  extent = jnp.max(shading, axis=(1, 2)) - jnp.min(shading, axis=(1, 2))
  out = {
    "depth_relief": jnp.std(jnp.mean(depth, axis=0)),
    "depth_variety": jnp.sqrt(jnp.mean(jnp.var(form, axis=0))),
    "depth_roughness": _roughness(form),
    "pitch_std_deg": view_std[0],
    "yaw_std_deg": view_std[1],
    "shading_std": jnp.sqrt(jnp.mean(jnp.square(_centred(shading)))),
    "shading_range": jnp.mean(extent),
    "albedo_share": _share(image, albedo),
    "light_share": _share(image, shading),
  }
  if sigma is None:
    return out
  means = jnp.mean(sigma.astype(jnp.float32), axis=(0, 1, 2))
  return out | {"sigma": means[0], "sigma_mirror": means[1]}


def warnings(values: Mapping[str, float]) -> dict[str, str]:
  """Says in words which measurements are bad.

  Args:
    values: Some or all of what `measure` returned, on the host; best averaged
      over many steps, and not in the first few hundred.

  Returns:
    A sentence for each rule of `RULES` that is broken, by its name, in their
    order.
  """
  found = {}
  for rule in RULES:
    if rule.name not in values:
      continue
    value = float(values[rule.name])
    if value < rule.limit if rule.is_low else value > rule.limit:
      side = "below" if rule.is_low else "above"
      found[rule.name] = (
        f"{rule.name} is {value:.2g}, {side} {rule.limit:g}: {rule.meaning}."
      )
  return found


def _inner(x):
  """Cuts the inner square out of [N, S, S, ...]."""
  margin = round(x.shape[1] * (1 - _INNER_SHARE) / 2)
  return x[:, margin : x.shape[1] - margin, margin : x.shape[2] - margin]


def _centred(x):
  """Subtracts each picture's mean from [N, h, w]."""
  return x - jnp.mean(x, axis=(1, 2), keepdims=True)


def _roughness(form):
  """Compares second differences of [N, h, w] to its deviation."""
  bends = [jnp.diff(form, n=2, axis=axis) for axis in (1, 2)]
  bend = sum(jnp.mean(jnp.square(x)) for x in bends) / 2
  power = jnp.mean(jnp.square(form))
  # Rounding alone gives depths of 1 a variance of about 1e-14.
  is_constant = power < 1e-12
  share = jnp.sqrt(bend / jnp.where(is_constant, 1, power))
  return jnp.where(is_constant, 0.0, share)


def _share(whole, part):
  """Squared correlation over places, all pictures together; 0 if undefined."""
  whole, part = _centred(whole), _centred(part)
  product = jnp.mean(jnp.square(whole)) * jnp.mean(jnp.square(part))
  # Rounding alone gives a constant a variance of about 1e-15.
  is_constant = product < 1e-14
  share = jnp.square(jnp.mean(whole * part))
  return jnp.where(is_constant, 0.0, share / jnp.where(is_constant, 1, product))


def _check(depth, albedo11, shading, angles_deg, sigma):
  """Refuses arrays that do not belong together."""
  errors.check_shape("depth", depth, "N S S")
  num, size, _ = depth.shape
  errors.check_shape("albedo11", albedo11, f"{num} {size} {size} C")
  errors.check_shape("shading", shading, f"{num} {size} {size}")
  errors.check_shape("angles_deg", angles_deg, f"{num} 3")
  if sigma is not None:
    errors.check_shape("sigma", sigma, f"{num} {size} {size} 2")
