"""What a user imports: a trained run as an object."""

import os
from collections.abc import Sequence

import jax
import ml_collections
import numpy as np

from facerep_jax import (
  checkpoint,
  configuration,
  errors,
  sharding,
  train_state,
)
from facerep_jax.data import transforms
from facerep_jax.systems import base

BATCH_SIZE = 32


class Representation:
  """A trained system that turns faces into features; see `load`.

  Attributes:
    config: Of the run.
    step: Of the checkpoint in use, 0 without.
    size_px: Side of the images that the network sees.
    system: Pure functions of the system.
    variables: Its arrays.
    mesh: Devices in use.
  """

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    system: base.System,
    variables: base.Variables,
    step: int,
    devices: Sequence[jax.Device],
  ):
    self.config = config
    self.step = step
    self.size_px = system.size_px
    self.system = system
    self.variables = variables
    self.mesh = sharding.make_mesh(devices)
    self._crop = transforms.Crop(**config.data.crop)
    self._represent = sharding.jit_on_batch(self._compute, self.mesh)

  def _compute(self, variables, images):
    key = jax.random.key(0)  # The same input gives the same features.
    return self.system.represent(variables, images, key)

  def embed(
    self,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    batch_size: int = BATCH_SIZE,
    is_cut: bool = False,
  ) -> dict[str, np.ndarray]:
    """Computes the features of face images.

    Each image passes the crop with which the run was trained: it should show
    the face as `make_tracks` cuts it, with a margin (a square of 1.6 times the
    face box). `python -m facerep_jax.embed` finds and cuts faces.

    Args:
      images: [N, H, W, 3], or a sequence of [H, W, 3] of any sizes; uint8, or
        float in [0, 1]. Of images that are not square, the central square.
      batch_size: Images at a time; rounded up to the number of devices.
      is_cut: Whether the images went through `crop` or show no more than that
        does; they are only resized.

    Returns:
      Features by name, [N, D] float32.

    Raises:
      InputError: An image has another shape, type or range.
    """
    count = self.mesh.devices.size
    rows = -(-batch_size // count) * count
    parts = [
      self._embed_rows(images[start : start + rows], start, rows, is_cut)
      for start in range(0, max(len(images), 1), rows)
    ]
    return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}

  def _embed_rows(self, images, start, rows, is_cut):
    """Computes the features of up to `rows` images, always at that shape."""
    size = self.size_px
    batch = np.zeros((rows, size, size, 3), np.float32)
    for row, image in enumerate(images):
      out = self.crop(image, start + row, is_cut=is_cut)
      batch[row] = out / np.float32(255) if out.dtype == np.uint8 else out
    sent = sharding.put_batch({"images": batch}, self.mesh)["images"]
    features = jax.device_get(self._represent(self.variables, sent))
    return {name: value[: len(images)] for name, value in features.items()}

  def square(self, *, is_cut: bool = False) -> tuple[float, float, float]:
    """Returns left, top and side of what `crop` takes, of a frame of side 1."""
    if is_cut:
      return 0.0, 0.0, 1.0
    left, top, side = (x / self._crop.frame_px for x in self._crop.middle())
    return left, top, side

  def crop(
    self, image: np.ndarray, number: int = 0, *, is_cut: bool = False
  ) -> np.ndarray:
    """Cuts and resizes an image to what the network sees.

    Args:
      image: [H, W, 3], uint8, or float in [0, 1].
      number: Of the image, for messages.
      is_cut: Whether to keep all of it.

    Returns:
      [size_px, size_px, 3], uint8 or float32 as the image.

    Raises:
      InputError: The image has another shape, type or range.
    """
    image = np.asarray(image)
    is_image = image.ndim == 3 and image.shape[-1] == 3 and image.size
    if not is_image:
      raise errors.InputError(
        f"image {number}: expected shape [H, W, 3] (RGB), got "
        f"{list(image.shape)}."
      )
    if image.dtype != np.uint8:
      if not np.issubdtype(image.dtype, np.floating):
        raise errors.InputError(
          f"image {number}: expected uint8, or float in [0, 1], got "
          f"{image.dtype}."
        )
      if not (image.min() >= 0 and image.max() <= 1):  # Catches NaN too.
        raise errors.InputError(
          f"image {number}: expected floats in [0, 1], got "
          f"{image.min()} to {image.max()}. Divide by 255, or pass uint8."
        )
    square = self.square(is_cut=is_cut)
    return transforms.crop_and_resize(image, square, 1, self.size_px)


def load(
  workdir: str | os.PathLike,
  *,
  step: int | None = None,
  devices: Sequence[jax.Device] | None = None,
) -> Representation:
  """Loads a trained run.

  Args:
    workdir: Folder of the run.
    step: Of the checkpoint; by default the one of least validation loss.
    devices: Which to use; all of this process by default.

  Returns:
    The representation.

  Raises:
    InputError: The folder holds no such checkpoint, or it does not fit.
  """
  config = configuration.load(workdir)
  system = base.build(config)
  devices = jax.local_devices() if devices is None else devices
  checkpoints = checkpoint.Checkpoints(workdir, config.keep, is_alone=True)
  step = checkpoints.best() if step is None else step
  if step is None:
    raise errors.InputError(
      f"{workdir}: holds no checkpoint yet. Train until the first evaluation."
    )
  abstract = jax.eval_shape(system.init, jax.random.key(0))
  variables, _ = checkpoints.restore_inference(
    step, abstract, sharding.make_mesh(devices), has_ema=bool(config.ema_decay)
  )
  checkpoints.close()
  return Representation(config, system, variables, step, devices)


def untrained(config: ml_collections.ConfigDict) -> Representation:
  """Builds the network with its random weights: a floor to compare with.

  Args:
    config: Of a run.

  Returns:
    The representation with the weights from which the run began (without
    `init_from`).
  """
  system = base.build(config)
  devices = jax.local_devices()
  init = sharding.jit_init(system.init, sharding.make_mesh(devices))
  variables = init(train_state.init_key(jax.random.key(config.seed)))
  return Representation(config, system, variables, 0, devices)
