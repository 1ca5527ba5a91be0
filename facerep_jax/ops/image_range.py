"""The ranges of images, and all conversions between them.

Frames travel as uint8. A system takes images in [0, 1] and gives pictures in
[0, 1]; the 3D-aware autoencoder works in [-1, 1] inside, as published, and
converts once on the way in and once on the way out.
"""

import jax
import jax.numpy as jnp


def uint8_to_01(frames: jax.Array) -> jax.Array:
  """Converts uint8 to float32 in [0, 1]; no mean or deviation."""
  return frames.astype(jnp.float32) / 255


def uint8_to_11(frames: jax.Array) -> jax.Array:
  """Converts uint8 to float32 in [-1, 1]."""
  return frames.astype(jnp.float32) / 127.5 - 1.0


def to_11(images01: jax.Array) -> jax.Array:
  """Converts [0, 1] to [-1, 1]."""
  return 2 * images01 - 1


def to_01(images11: jax.Array) -> jax.Array:
  """Converts [-1, 1] to [0, 1]; what a network paints beyond is clipped."""
  return jnp.clip(images11 / 2 + 0.5, 0.0, 1.0)
