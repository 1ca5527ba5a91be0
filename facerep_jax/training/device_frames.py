"""Batches of stored frames made into what the network sees, on the devices.

It is a program of its own beside the step: whatever looks at a batch finds the
same `frames`, wherever they were resized.
"""

from collections.abc import Callable

import jax
from jax.sharding import Mesh

from facerep_jax import sharding
from facerep_jax.ops import resample


def make(
  size_px: int, mesh: Mesh
) -> Callable[[dict[str, jax.Array]], dict[str, jax.Array]]:
  """Compiles the resizing of batches.

  Args:
    size_px: S, side of the frames that the network sees.
    mesh: Devices over which the rows of a batch are split.

  Returns:
    A function of a batch as `samples.Samples` reads it with
    `resize_on="device"`, without `record`, that returns `frames`
    [B, T, S, S, 3] uint8, split in the same way.
  """

  def resize(batch):
    return {"frames": frames(batch, size_px)}

  return sharding.jit_by_row(resize, mesh)


def frames(batch: dict[str, jax.Array], size_px: int) -> jax.Array:
  """Cuts, resizes, mirrors and changes the colours of the frames of a batch.

  Args:
    batch: `frames` [B, T, H, W, 3] uint8, `boxes` [B, T, 7] float32, and
      where they are used `is_mirrored` [B] bool and `colour` [B, 3] float32.
    size_px: S.

  Returns:
    [B, T, S, S, 3] uint8.
  """
  stored, boxes = batch["frames"], batch["boxes"]
  count, num_frames = boxes.shape[:2]
  is_mirrored = batch.get("is_mirrored")
  if is_mirrored is not None:
    is_mirrored = is_mirrored.repeat(num_frames)
  out = resample.crop_and_resize(
    stored.reshape(-1, *stored.shape[2:]),
    boxes.reshape(-1, boxes.shape[-1]),
    size_px,
    is_mirrored,
  )
  out = out.reshape(count, num_frames, *out.shape[1:])
  if "colour" in batch:
    out = resample.change_colour(out, batch["colour"])
  return out
