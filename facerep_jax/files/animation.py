"""Short films as GIF or MP4."""

import fractions
import math
import os
import pathlib

import numpy as np
from PIL import Image

from facerep_jax import errors
from facerep_jax.files import atomic

FORMATS = ("gif", "mp4")
_FRAMES_PER_S = 12.5  # GIF counts in hundredths of a second.
_PALETTE_PIXELS = 100_000


def library() -> object:
  """Imports what writes MP4.

  Raises:
    InputError: It is not installed.
  """
  return errors.require("av", "video", "writing MP4")


def save(
  path: str | os.PathLike,
  frames01: np.ndarray,
  frames_per_s: float = _FRAMES_PER_S,
) -> None:
  """Writes a film, which a GIF repeats without end.

  Args:
    path: File to write, .gif or .mp4; its folder is made if it does not exist.
    frames01: [F, H, W, 3] float, [0, 1]; H and W even, as MP4 wants them.
    frames_per_s: How fast they are shown; GIF rounds to hundredths of a second.

  Raises:
    InputError: The kind of file is unknown, or the library that writes it is
      not installed.
  """
  path = pathlib.Path(path)
  kind = path.suffix[1:].lower()
  if kind not in FORMATS:
    raise errors.InputError(
      f"{path}: expected a name that ends in .{' or .'.join(FORMATS)}."
    )
  frames = np.rint(np.clip(frames01, 0.0, 1.0) * 255).astype(np.uint8)
  with atomic.whole(path) as temporary:
    write = {"gif": _write_gif, "mp4": _write_mp4}[kind]
    write(temporary, frames, frames_per_s)


def _write_gif(path, frames, frames_per_s):
  # One palette for all frames: with one each, colours flicker. That of some of
  # the pixels of a large film is nearly the same, and found much faster.
  step = max(1, math.isqrt(frames[..., 0].size // _PALETTE_PIXELS))
  some = np.ascontiguousarray(frames[:, ::step, ::step])
  rows = Image.fromarray(some.reshape(-1, *some.shape[2:]))
  palette = rows.quantize(256, Image.Quantize.MEDIANCUT)
  first, *others = (
    Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    for frame in frames
  )
  first.save(
    path,
    format="GIF",
    save_all=True,
    append_images=others,
    duration=round(1000 / frames_per_s),
    loop=0,
  )


def _write_mp4(path, frames, frames_per_s):
  av = library()
  with av.open(str(path), "w", format="mp4") as container:
    stream = container.add_stream(
      "libx264", rate=fractions.Fraction(frames_per_s).limit_denominator(1001)
    )
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": "18"}
    for frame in frames:
      picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
      container.mux(stream.encode(picture))
    container.mux(stream.encode(None))
