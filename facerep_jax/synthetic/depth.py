"""Depth and mask of a frame: exact geometry beside the picture.

Depth is measured along the camera's axis, from the camera's centre, in units
of 100 mm, at the very centre of each stored pixel. It is that of the skin,
hair included, of head and trunk; lids and lips count as closed, and what is
worn or held before the face is not in it. Mask is how much of the pixel that
skin covers.

As PNG, depth is 16 bits: the unit times `SCALE`, rounded (steps of 0.05 mm), 0
where there is no skin. Mask is 8 bits, 255 for full cover.
"""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from facerep_jax import errors
from facerep_jax.synthetic import frame as frames
from facerep_jax.synthetic import rasterise, recording

SCALE = 2000  # Stored value of a depth of 100 mm; reaches 3.27 m.


def draw(
  settings: recording.Settings,
  made: recording.Recording,
  skin: np.ndarray,
  frame: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Draws depth and mask of one frame.

  Args:
    settings: What set it is of.
    made: The track.
    skin: [V, 3] float, this frame's skin from `head.animate`.
    frame: [0, T).

  Returns:
    Depth [H, W] float32, units of 100 mm, 0 where there is no skin; mask
    [H, W] uint8.
  """
  sight = frames.view(settings, made, frame)
  xy, z = sight.project(sight.pose(skin, made.model.follows))
  faces, size = made.model.chart.faces, settings.size_px
  depth = np.zeros(size * size, np.float32)
  stored = (xy + 0.5) / settings.supersample - 0.5
  raster = rasterise.rasterise(stored, z, faces, size, size)
  depth[raster.pixel] = raster.depth
  fine = settings.supersample
  raster = rasterise.rasterise(xy, z, faces, fine * size, fine * size)
  mask = np.zeros((size, fine, size, fine))
  mask.reshape(-1)[raster.pixel] = 255
  mask = np.rint(mask.mean((1, 3))).astype(np.uint8)
  return depth.reshape(size, size), mask


def encode_depth(depth: np.ndarray) -> bytes:
  """Encodes a depth map.

  Args:
    depth: [H, W] float, units of 100 mm; 0 where there is nothing.

  Returns:
    16-bit PNG.

  Raises:
    InputError: The camera is too far away for 16 bits.
  """
  stored = np.rint(np.asarray(depth, np.float64) * SCALE)
  if stored.max() > 65535:
    raise errors.InputError(
      f"depth {depth.max():.1f}: 16 bits reach {65535 / SCALE:.1f} units of "
      "100 mm; raise min_fov_deg, so that the camera is nearer."
    )
  return _encode(stored.astype(np.uint16))


def encode_mask(mask: np.ndarray) -> bytes:
  """Encodes a mask [H, W] uint8 as an 8-bit PNG."""
  return _encode(mask)


def _encode(values):
  buffer = io.BytesIO()
  Image.fromarray(values).save(buffer, "PNG", compress_level=6)
  return buffer.getvalue()


def decode_depth(data: bytes) -> np.ndarray:
  """Decodes a depth map.

  Args:
    data: What `encode_depth` returned.

  Returns:
    [H, W] float32, units of 100 mm; 0 where there is nothing.

  Raises:
    InputError: It is no 16-bit PNG.
  """
  values = _decode(data, "depth_png", ("I;16", "I"))
  return (values / SCALE).astype(np.float32)


def decode_mask(data: bytes) -> np.ndarray:
  """Decodes a mask.

  Args:
    data: What `encode_mask` returned.

  Returns:
    [H, W] uint8.

  Raises:
    InputError: It is no 8-bit PNG.
  """
  return _decode(data, "mask_png", ("L",))


def _decode(data, name, modes):
  try:
    with Image.open(io.BytesIO(data)) as image:
      if image.mode in modes:
        return np.asarray(image)
      found = f"a picture of mode {image.mode}"
  except UnidentifiedImageError:
    found = "no picture"
  raise errors.InputError(
    f"{name}: is {found}, expected a PNG that the package wrote."
  )
