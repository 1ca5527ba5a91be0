"""From linear light to a stored picture: lens, sensor, handling, JPEG."""

import dataclasses
import io

import numpy as np
from PIL import Image

from facerep_jax.synthetic import motion

_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class Sensor:
  """How a recording's camera sees, and what was done to its pictures.

  Attributes:
    blur: Weight of each neighbouring pixel; [0, 0.25], negative to sharpen.
    gain: [3] float64, per channel.
    gamma: Exponent from linear light to the picture.
    noise: Deviation of the noise, share of the range.
    quality: Of the JPEG, 1 to 95.
    vignette: Share of the light that the corners lose, [0, 1).
    curve: Strength of an S-shaped tone curve, [-1, 1]; negative flattens.
    black: What black becomes, share of the range.
    white: What white becomes, share of the range.
    saturation: Factor of the colours' distance from grey.
    is_mono: Whether the pictures are grey.
    resolution: Pixels across that the pictures once had; larger than the
      frame: they never were smaller.
    small_quality: JPEG quality at that resolution, 0 for none.
  """

  blur: float
  gain: np.ndarray
  gamma: float
  noise: float
  quality: int
  vignette: float = 0.0
  curve: float = 0.0
  black: float = 0.0
  white: float = 1.0
  saturation: float = 1.0
  is_mono: bool = False
  resolution: float = 1e4
  small_quality: int = 0


def draw(
  rng: np.random.Generator,
  brightness: float,
  max_blur: float,
  max_noise: float,
  qualities: tuple[int, int],
) -> Sensor:
  """Draws a camera that exposes for the face, more or less well.

  Args:
    rng: Where the numbers come from.
    brightness: Linear luminance of the face in this light.
    max_blur: Largest weight of a neighbouring pixel.
    max_noise: Largest deviation of the noise.
    qualities: Lowest and highest JPEG quality.

  Returns:
    The camera of one recording.
  """
  warm, green, exposure = motion.bounded_normal(rng, 3)
  cast = np.exp(0.10 * warm * np.array([1.0, 0.1, -1.1]))
  cast[1] *= np.exp(0.035 * green)
  level = np.exp(0.32 * exposure) * (0.36 / brightness) ** 0.8
  black, white = 0.08 * rng.random() ** 3, 1 - 0.2 * rng.random() ** 3
  low, high = qualities
  curve = rng.uniform(-0.1, 1.0)
  # A steep curve makes colours more vivid by itself.
  vivid = 1.0 - 0.25 * max(curve, 0.0) + 0.18 * motion.bounded_normal(rng)
  return Sensor(
    blur=float(rng.uniform(-0.45, 1.0) * max_blur),
    gain=level * cast,
    gamma=float(rng.uniform(0.40, 0.56)),
    noise=max_noise * float(rng.random()) ** 2,
    # Half of all pictures are among the worst third.
    quality=int(low + (high + 1 - low) * rng.random() ** 1.6),
    vignette=float(0.45 * rng.random() ** 2),
    curve=float(curve),
    black=black,
    white=white,
    saturation=float(max(vivid, 0.25)),
    is_mono=bool(rng.random() < 0.16),
    resolution=float(np.exp(rng.uniform(np.log(40), np.log(260)))),
    small_quality=int(rng.choice([0, 0, rng.integers(30, 85)])),
  )


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
  if sensor.vignette > 0:
    image *= _vignette(*linear.shape[:2], sensor.vignette)[..., None]
  if sensor.blur != 0:
    edge, b = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge"), sensor.blur
    b = np.float32(b)
    edge = edge[1:-1] * (1 - 2 * b) + b * (edge[:-2] + edge[2:])
    image = edge[:, 1:-1] * (1 - 2 * b) + b * (edge[:, :-2] + edge[:, 2:])
  image = _tone(image, sensor)
  small = round(min(sensor.resolution, 1e4))
  size = linear.shape[1], linear.shape[0]
  if small < max(size):
    shape = [max(8, side * small // max(size)) for side in size]
    image = _resize(image, shape)
  # The frame's last pixels are noisy, not those of the scene.
  shape = (*image.shape[:2], 1) if sensor.is_mono else image.shape
  noise = np.float32(sensor.noise) * rng.standard_normal(shape, np.float32)
  image = np.clip(image + noise, 0, 1)
  image = (image * 255 + np.float32(0.5)).astype(np.uint8)
  if small < max(size):
    if sensor.small_quality:
      file = io.BytesIO(encode_jpeg(image, sensor.small_quality))
      image = np.asarray(Image.open(file))
      if sensor.is_mono:  # JPEG may tint grey by a step.
        image = np.repeat(image[..., 1:2], 3, axis=-1)
    image = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
  return np.asarray(image)


def _tone(image, sensor):
  """Gamma, curve, black and white points, colour; [H, W, 3] about [0, 1]."""
  image = np.clip(image, 0, 1.2) ** np.float32(sensor.gamma)
  image = np.minimum(image, 1)
  if sensor.is_mono or sensor.saturation != 1:
    grey = sum(np.float32(w) * image[..., i] for i, w in enumerate(_LUMA))
    grey = grey[..., None]
    share = np.float32(0 if sensor.is_mono else sensor.saturation)
    image = grey + share * (image - grey)
  bend = np.float32(sensor.curve)
  image = image + bend * (image * image * (3 - 2 * image) - image)
  return np.float32(sensor.black) + image * np.float32(
    sensor.white - sensor.black
  )


def _vignette(height, width, strength):
  """Returns the light that arrives, [height, width] float32."""
  y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
  x = np.linspace(-1, 1, width, dtype=np.float32)
  return 1 - np.float32(strength / 2) * (x * x + y * y)


def _resize(image, shape):
  """Shrinks [H, W, 3] float32 to (width, height) by averaging."""
  channels = [
    np.asarray(
      Image.fromarray(np.ascontiguousarray(image[..., i])).resize(
        shape, Image.Resampling.BOX
      )
    )
    for i in range(3)
  ]
  return np.stack(channels, axis=-1)


def halve(image: np.ndarray) -> np.ndarray:
  """Averages blocks of two by two pixels, [2H, 2W, C] to [H, W, C]."""
  rows = image[0::2] + image[1::2]
  return 0.25 * (rows[:, 0::2] + rows[:, 1::2])


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
  """Returns a [H, W, 3] uint8 picture as a JPEG file."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, "JPEG", quality=quality)
  return file.getvalue()
