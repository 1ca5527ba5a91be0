"""What one wants to see before a run goes on for hours: sizes, and a batch."""

import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from facerep_jax.files import image_grid
from facerep_jax.systems import base

PICTURE = pathlib.Path("pictures", "first_batch.png")
_NUM_ROWS = 8


def sizes(
  system: base.System,
  params: Any,
  frozen: Any,
  config: ml_collections.ConfigDict,
  mesh: Mesh,
) -> str:
  """Says how large a model and its batches are.

  Args:
    system: What is trained.
    params: Parameters that learn, by network; arrays or their shapes.
    frozen: Those that do not.
    config: The run's config.
    mesh: Devices that share a batch.

  Returns:
    A line.
  """
  counts = {name: _count(tree) for name, tree in params.items()}
  parts = ", ".join(f"{name} {_short(x)}" for name, x in counts.items())
  fixed, num_devices = _count(frozen), mesh.devices.size
  return (
    f"model: {_short(sum(counts.values()))} parameters ({parts})"
    + (f", {_short(fixed)} more are frozen" if fixed else "")
    + f"; batches of {config.batch_size} samples of {system.num_frames} "
    + f"frames, {system.size_px} px, on {num_devices} "
    + ("devices." if num_devices > 1 else "device.")
  )


def save(workdir: pathlib.Path, batch: dict[str, jax.Array]) -> pathlib.Path:
  """Draws samples of a training batch, a row each, as the system sees them.

  Args:
    workdir: The run's folder.
    batch: `frames` [B, T, H, W, 3] uint8, split over the devices; only what
      this process holds is drawn.

  Returns:
    Where the picture is.
  """
  rows = np.asarray(batch["frames"].addressable_shards[0].data)[:_NUM_ROWS]
  columns = {
    f"frame {t + 1}": rows[:, t].astype(np.float32) / 255
    for t in range(rows.shape[1])
  }
  path = workdir / PICTURE
  image_grid.save(path, image_grid.sheet(columns))
  return path


def _count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def _short(count):
  if count < 1_000_000:
    return f"{count:,}"
  return f"{count / 1e6:.2f} million"
