"""Lambert's shading of an albedo by one distant light and an ambient one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.ops import precision


class Light(NamedTuple):
  """The light of each image.

  Attributes:
    ambient: [N] float, the share that reaches every place.
    diffuse: [N] float, the share that a surface facing the light adds.
    direction: [N, 3] float, unit length, the way that light travels: x right,
      y down, z away from the camera. (0, 0, 1) is a flash at the camera.
  """

  ambient: jax.Array
  diffuse: jax.Array
  direction: jax.Array


def light_from_vector(raw: jax.Array) -> Light:
  """Scales the output of the light network to a light.

  Source: Unsup3D, `Unsup3D.forward` (predict lighting).

  Args:
    raw: [N, 4] float, (-1, 1): ambient, diffuse, and the slopes of the
      direction along x and y.

  Returns:
    The light, float32 or wider; shares in (0, 1), direction within 45 degrees
    of the optical axis in x and in y.

  Raises:
    InputError: The shape does not fit.
  """
  errors.check_shape("raw", raw, "N 4")
  raw = precision.at_least_float32(raw)
  slope = jnp.concatenate([raw[:, 2:], jnp.ones_like(raw[:, :1])], axis=1)
  # At least one under the root: no singular point.
  norm = jnp.sqrt(jnp.sum(slope**2, axis=1, keepdims=True))
  return Light(raw[:, 0] / 2 + 0.5, raw[:, 1] / 2 + 0.5, slope / norm)


def lambert(normals: jax.Array, light: Light) -> jax.Array:
  """Computes how much light every pixel sends back.

  Source: Unsup3D, `Unsup3D.forward` (shading): a + b max(0, n . d).

  Args:
    normals: [N, H, W, 3] float, pointing away from the camera, as of
      `normals.from_depth`.
    light: Of the same N.

  Returns:
    [N, H, W] float32 or wider, not below the ambient share.

  Raises:
    InputError: A shape does not fit.
  """
  errors.check_shape("normals", normals, "N H W 3", "Use NHWC.")
  num, hint = normals.shape[0], "Give one light per image."
  errors.check_shape("light.ambient", light.ambient, f"{num}", hint)
  errors.check_shape("light.diffuse", light.diffuse, f"{num}", hint)
  errors.check_shape("light.direction", light.direction, f"{num} 3", hint)
  normals = precision.at_least_float32(normals)
  cosine = jnp.sum(normals * light.direction[:, None, None, :], axis=-1)
  diffuse = light.diffuse[:, None, None] * jax.nn.relu(cosine)
  return light.ambient[:, None, None] + diffuse


def shade(albedo11: jax.Array, normals: jax.Array, light: Light) -> jax.Array:
  """Lights an albedo.

  Source: Unsup3D, `Unsup3D.forward` (canonical image).

  Args:
    albedo11: [N, H, W, 3] float, [-1, 1].
    normals: [N, H, W, 3] float, as of `normals.from_depth`.
    light: Of the same N.

  Returns:
    [N, H, W, 3] float32 or wider: -1 is black; above 1 where the shares of the
    light add up to more than one.

  Raises:
    InputError: A shape does not fit.
  """
  shading = lambert(normals, light)
  errors.check_shape("albedo11", albedo11, " ".join(map(str, normals.shape)))
  albedo01 = precision.at_least_float32(albedo11) / 2 + 0.5
  return albedo01 * shading[..., None] * 2 - 1
