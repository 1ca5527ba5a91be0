"""Sheets of pictures: one column per kind, one row per example."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw

_CAPTION_PX = 14
_GAP_PX = 2
# Small pictures are enlarged to about this side, so that they can be seen.
_MIN_SIDE_PX = 96


def sheet(columns: dict[str, np.ndarray]) -> np.ndarray:
  """Puts pictures side by side under captions.

  Args:
    columns: Caption to [N, H, W, 3] float, [0, 1], all of one shape.

  Returns:
    [height, width, 3] uint8.
  """
  first = next(iter(columns.values()))
  rows, side = first.shape[:2]
  scale = max(1, round(_MIN_SIDE_PX / side))
  cell = side * scale + _GAP_PX
  canvas = Image.new(
    "RGB", (cell * len(columns), _CAPTION_PX + cell * rows), "white"
  )
  draw = ImageDraw.Draw(canvas)
  for c, (caption, values) in enumerate(columns.items()):
    draw.text((c * cell + 2, 1), caption, fill="black")
    pixels = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    for r in range(rows):
      picture = Image.fromarray(pixels[r]).resize(
        (side * scale, side * scale), Image.Resampling.NEAREST
      )
      canvas.paste(picture, (c * cell, _CAPTION_PX + r * cell))
  return np.asarray(canvas)


def save(path: str | os.PathLike, image: np.ndarray) -> None:
  """Writes a picture [H, W, 3] uint8 as PNG, whole or not at all."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_suffix(".tmp")
  Image.fromarray(image).save(temporary, format="PNG")
  os.replace(temporary, path)
