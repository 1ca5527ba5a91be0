"""From the raw output of the depth network to a depth map."""

import jax
import jax.numpy as jnp

from facerep_jax import errors
from facerep_jax.ops import precision

NEAR, FAR = 0.9, 1.1  # Of canonical depth, scene units; Unsup3D's.
_BORDER_PX = 2


def rescale(
  raw: jax.Array, *, low: float = NEAR, high: float = FAR, border: float = 1.04
) -> jax.Array:
  """Centres a map, squashes it to a range, and fixes its sides.

  The mean of each image is subtracted first, so that the face stays about the
  middle of the range: its distance cannot be told from its size. The sides are
  fixed because a depth map that ends in mid-air has no shape that the picture
  could tell.

  Source: Unsup3D, `Unsup3D.forward` (canonical depth); the border is 0.7 of
  `high` and 0.3 of `low` there.

  Args:
    raw: [N, H, W] float, unbounded.
    low: Smallest depth, scene units.
    high: Largest depth, scene units.
    border: Depth of the two left-most and the two right-most columns.

  Returns:
    [N, H, W] float32 or wider, scene units.

  Raises:
    InputError: The shape does not fit, or no column is left inside the border.
  """
  errors.check_shape("raw", raw, "N H W", "Drop the channel axis.")
  width = raw.shape[2]
  if width <= 2 * _BORDER_PX:
    raise errors.InputError(
      f"raw: {width} columns are all border; use a map of at least "
      f"{2 * _BORDER_PX + 1}."
    )
  raw = precision.at_least_float32(raw)
  centred = jnp.tanh(raw - jnp.mean(raw, axis=(1, 2), keepdims=True))
  depth = (1 + centred) * (high / 2) + (1 - centred) * (low / 2)
  column = jnp.arange(width)[None, None, :]
  is_inside = (column >= _BORDER_PX) & (column < width - _BORDER_PX)
  return jnp.where(is_inside, depth, border)
