"""Small labelled sets for the tests."""

import io

import numpy as np
from PIL import Image

from facerep_jax.data.labelled import base


def write_image(path, value=0, width=32, height=32):
  """Writes a picture of one grey value, without loss where it is PNG."""
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.full((height, width, 3), value, np.uint8)
  Image.fromarray(pixels).save(path)
  return path


def jpeg(pixels):
  """Encodes a picture."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
  return buffer.getvalue()


def face_points(width=60.0, height=50.0, corner=(20.0, 30.0)):
  """68 points whose box has the given place and size."""
  rng = np.random.default_rng(0)
  points = rng.uniform(0, 1, (68, 2))
  points[:2] = (0, 0), (1, 1)
  return points * (width, height) + corner


def labelled(count=4, name="set", split="all", **changes):
  """A set whose image i is grey of value i, label `number` i."""
  fields = {
    "name": name,
    "split": split,
    "names": tuple(f"{split}{i}" for i in range(count)),
    "labels": {"number": np.arange(count), "x": np.ones((count, 2))},
    "group": np.array([f"p{i // 2}" for i in range(count)]),
    "classes": {},
    "cut": "track",
    "read": lambda i: np.full((16, 16, 3), i, np.uint8),
  }
  return base.Labelled(**fields | changes)
