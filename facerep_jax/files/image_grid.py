"""Sheets of pictures: one column per kind, one row per example."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from facerep_jax.files import atomic

_CAPTION_PX = 14
_GAP_PX = 2
# Small pictures are enlarged to about this side, so that they can be seen.
_MIN_SIDE_PX = 96


def sheet(
  columns: dict[str, np.ndarray], row_names: Sequence[str] = ()
) -> np.ndarray:
  """Puts pictures side by side under captions.

  Args:
    columns: Caption to [N, H, W, 3] float, [0, 1], all of one shape.
    row_names: N texts to stand above the rows; none by default.

  Returns:
    [height, width, 3] uint8.
  """
  first = next(iter(columns.values()))
  rows, side = first.shape[:2]
  scale = max(1, round(_MIN_SIDE_PX / side))
  cell = side * scale + _GAP_PX
  high = cell + (_CAPTION_PX if row_names else 0)
  width = cell * len(columns)
  canvas = Image.new("RGB", (width, _CAPTION_PX + high * rows), "white")
  draw = ImageDraw.Draw(canvas)
  for r, name in enumerate(row_names):
    _write(draw, (2, _CAPTION_PX + r * high), name, width - 4)
  for c, (caption, values) in enumerate(columns.items()):
    _write(draw, (c * cell + 2, 1), caption, cell - 4)
    pixels = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    for r in range(rows):
      picture = Image.fromarray(pixels[r]).resize(
        (side * scale, side * scale), Image.Resampling.NEAREST
      )
      canvas.paste(picture, (c * cell, _CAPTION_PX + (r + 1) * high - cell))
  return np.asarray(canvas)


def _write(draw, place, text, width):
  """Writes the end of a text, as much as there is room for."""
  # The font that Pillow brings has few letters beyond ASCII.
  text = text.encode("unicode_escape").decode("ascii")
  shown = text
  while draw.textlength(shown) > width and len(shown) > 3:
    text = text[1:]
    shown = "..." + text
  draw.text(place, shown, fill="black")


def save(path: str | os.PathLike, image: np.ndarray) -> None:
  """Writes a picture [H, W, 3] uint8 as PNG, whole or not at all."""
  with atomic.whole(path) as temporary:
    Image.fromarray(image).save(temporary, format="PNG")
