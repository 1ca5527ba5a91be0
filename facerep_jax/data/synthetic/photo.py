"""From linear light to a stored picture: lens, sensor, JPEG."""

import dataclasses
import io

import numpy as np
from PIL import Image


@dataclasses.dataclass(frozen=True)
class Sensor:
  """How a recording's camera sees.

  Attributes:
    blur: Weight of each neighbouring pixel, [0, 0.25].
    gain: [3] float64, per channel.
    gamma: Exponent from linear light to the picture.
    noise: Deviation of the noise, share of the range.
    quality: Of the JPEG, 1 to 95.
  """

  blur: float
  gain: np.ndarray
  gamma: float
  noise: float
  quality: int


def expose(
  linear: np.ndarray, sensor: Sensor, rng: np.random.Generator
) -> np.ndarray:
  """Turns linear light into a picture.

  Args:
    linear: [H, W, 3] float32, at least 0.
    sensor: The camera.
    rng: For the noise.

  Returns:
    [H, W, 3] uint8.
  """
  image = linear * sensor.gain.astype(np.float32)
  if sensor.blur > 0:
    edge, b = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge"), sensor.blur
    b = np.float32(b)
    edge = edge[1:-1] * (1 - 2 * b) + b * (edge[:-2] + edge[2:])
    image = edge[:, 1:-1] * (1 - 2 * b) + b * (edge[:, :-2] + edge[:, 2:])
  image = image ** np.float32(sensor.gamma)
  image += np.float32(sensor.noise) * rng.standard_normal(
    image.shape, np.float32
  )
  return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def halve(image: np.ndarray) -> np.ndarray:
  """Averages blocks of two by two pixels, [2H, 2W, C] to [H, W, C]."""
  rows = image[0::2] + image[1::2]
  return 0.25 * (rows[:, 0::2] + rows[:, 1::2])


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
  """Returns a [H, W, 3] uint8 picture as a JPEG file."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, "JPEG", quality=quality)
  return file.getvalue()
