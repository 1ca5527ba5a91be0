"""Colour codes for maps that are no images."""

import jax
import jax.numpy as jnp


def flow_to_rgb(flow_ndc: jax.Array, max_ndc: float = 0.25) -> jax.Array:
  """Shows a flow field as colour: direction as hue, length as saturation.

  Args:
    flow_ndc: [..., 2] float, x before y, in units of half an image.
    max_ndc: Length at which the colour is full.

  Returns:
    [..., 3] float32, [0, 1]; white where nothing moves.
  """
  flow = flow_ndc.astype(jnp.float32)
  length = jnp.sqrt(jnp.sum(flow**2, axis=-1, keepdims=True))
  hue = jnp.arctan2(flow[..., 1:], flow[..., :1]) / (2 * jnp.pi)
  offset = jnp.array([0.0, 2.0, 1.0], jnp.float32) / 3
  offset = offset.reshape((1,) * (flow.ndim - 1) + (3,))
  distance = jnp.abs((hue + offset) % 1.0 * 6.0 - 3.0) - 1.0
  pure = jnp.clip(distance, 0.0, 1.0)
  strength = jnp.minimum(length / max_ndc, 1.0)
  return 1.0 - strength * (1.0 - pure)
