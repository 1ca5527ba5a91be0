"""Cropping and resizing frames on the device, as Pillow does on the host.

`data.transforms.crop_and_resize` is the other form; `data.transforms` also says
what the numbers of a box are.
"""

import jax
import jax.numpy as jnp

from facerep_jax import errors


def crop_and_resize(
  frames: jax.Array,
  boxes: jax.Array,
  size_px: int,
  is_mirrored: jax.Array | None = None,
) -> jax.Array:
  """Cuts a square out of each frame and resizes it, in one resampling.

  Two products of matrices a frame, along rows and then along columns, with
  Pillow's weights; Pillow rounds to levels between them, too. The pixels differ
  from Pillow's by at most 1 level of 255: where a sum is halfway between two
  levels, and where Pillow takes columns first, as some versions do of boxes
  that touch more rows than columns.

  Args:
    frames: [N, H, W, 3] uint8.
    boxes: [N, 7] float32, a `transforms.Box` each, pixels of the frame.
    size_px: S, side of the result in pixels.
    is_mirrored: [N] bool, which are mirrored left to right; None for none.

  Returns:
    [N, S, S, 3] uint8.
  """
  errors.check_shape("frames", frames, "N H W 3")
  errors.check_shape("boxes", boxes, "N 7")
  left, top, side, column, row, right, bottom = boxes.T
  height, width = frames.shape[1:3]
  across = _weights(left, side, column, right, width, size_px)
  down = _weights(top, side, row, bottom, height, size_px)
  if is_mirrored is not None:
    turned = is_mirrored[:, None, None]
    across = jnp.where(turned, across[:, ::-1], across)
  x = _round(_product("nsw,nhwc->nhsc", across, frames.astype(jnp.float32)))
  x = _round(_product("nth,nhsc->ntsc", down, x))
  return x.astype(jnp.uint8)


def _weights(start, side, low, high, in_px, out_px):
  """Returns [N, out_px, in_px]: what each pixel adds to one of the result."""
  step = (side / out_px)[:, None]
  number = jnp.arange(out_px, dtype=jnp.float32)[None]
  centre = start[:, None] + (number + 0.5) * step
  place = jnp.arange(in_px, dtype=jnp.float32)[None, None] + 0.5
  # A triangle, wider where the image shrinks.
  reach = jnp.maximum(step, 1.0)[..., None]
  weight = jnp.maximum(1.0 - jnp.abs(place - centre[..., None]) / reach, 0.0)
  is_inside = (place > low[:, None, None]) & (place < high[:, None, None])
  weight = jnp.where(is_inside, weight, 0.0)
  return weight / jnp.sum(weight, axis=-1, keepdims=True)


def _product(axes, weights, frames):
  # Less would round the weights to 8 bits on some devices.
  return jnp.einsum(axes, weights, frames, precision=jax.lax.Precision.HIGHEST)


def _round(x):
  """Rounds halves up, as Pillow's integers do."""
  return jnp.floor(x + 0.5)


def change_colour(frames: jax.Array, factors: jax.Array) -> jax.Array:
  """Changes brightness, contrast and saturation; see `transforms`.

  Args:
    frames: [B, T, H, W, 3] uint8.
    factors: [B, 3] float32, the three factors of the frames of a sample.

  Returns:
    [B, T, H, W, 3] uint8.
  """
  luma = jnp.array([0.299, 0.587, 0.114], jnp.float32).reshape(1, 1, 1, 1, 3)
  factors = factors[:, :, None, None, None, None]
  brightness, contrast, saturation = jnp.unstack(factors, axis=1)
  x = frames.astype(jnp.float32) * brightness
  mean = jnp.mean(
    jnp.sum(x * luma, -1, keepdims=True), (1, 2, 3), keepdims=True
  )
  x = (x - mean) * contrast + mean
  grey = jnp.sum(x * luma, -1, keepdims=True)
  x = (x - grey) * saturation + grey
  return jnp.clip(jnp.rint(x), 0, 255).astype(jnp.uint8)
