"""What a user imports: a trained model as an object."""

import copy
import functools
import os
from collections.abc import Callable, Sequence

import jax
import ml_collections
import numpy as np

from facerep_jax import errors, sharding
from facerep_jax.data import transforms
from facerep_jax.inference import (
  face_methods,
  packaged,
  ready_probes,
  weight_file,
)
from facerep_jax.runs import checkpoint, configuration, stages, train_state
from facerep_jax.systems import base

BATCH_SIZE = sharding.BATCH_SIZE


class Representation(face_methods.FaceMethods):
  """A trained system that turns faces into features; see `load`.

  What takes faces apart and makes pictures of them comes from `faces`.

  Attributes:
    config: Of the run.
    step: Of the checkpoint in use, 0 without.
    size_px: Side of the images that the network sees.
    system: Pure functions of the system.
    variables: Its arrays.
    mesh: Devices in use.
    file: Of the weights; None for a run.
    fingerprint: Of the weights of a file; "" for a run.
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
    self.file, self.fingerprint = None, ""
    self._crop = transforms.Crop(**config.data.crop)
    self._represent = sharding.jit_on_batch(self._compute, self.mesh)

  def _compute(self, variables, batch):
    key = jax.random.key(0)  # The same input gives the same features.
    return self.system.represent(variables, batch["images"], key)[0]

  @functools.cached_property
  def feature_names(self) -> tuple[str, ...]:
    """Names of the features, in the order of `embed`; nothing is computed."""
    shape = (1, self.size_px, self.size_px, 3)
    batch = {"images": jax.ShapeDtypeStruct(shape, np.float32)}
    return tuple(jax.eval_shape(self._compute, self.variables, batch))

  def embed(
    self,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    batch_size: int = BATCH_SIZE,
    is_cropped: bool = False,
  ) -> dict[str, np.ndarray]:
    """Computes the features of face images.

    Each image passes the crop with which the run was trained: it should show
    the face as `make_tracks` cuts it, with a margin (a square of 1.6 times the
    face box). `python -m facerep_jax.embed` finds and cuts faces.

    Args:
      images: [N, H, W, 3], or a sequence of [H, W, 3] of any sizes; uint8, or
        float in [0, 1]. Of images that are not square, the central square.
      batch_size: Images at a time; rounded up to the number of devices.
      is_cropped: Whether the images went through `crop` or show no more than
        that does; they are only resized.

    Returns:
      Features by name, [N, D] float32.

    Raises:
      InputError: An image has another shape, type or range.
    """
    return self.map_images(
      self._represent, images, batch_size=batch_size, is_cropped=is_cropped
    )

  @functools.cached_property
  def probes(self) -> ready_probes.Probes:
    """Linear probes that lie beside the file of the weights.

    Raises:
      InputError: There are none, or they belong to other weights.
    """
    if self.file is None:
      raise errors.InputError(
        "a run has no ready linear probes. Fit some: python -m "
        "facerep_jax.fit_probes --workdir=RUN --output=FILE.npz"
      )
    return ready_probes.beside(self.file, self.fingerprint)

  def read(
    self,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    probes: ready_probes.Probes | None = None,
    batch_size: int = BATCH_SIZE,
    is_cropped: bool = False,
  ) -> dict[str, np.ndarray]:
    """Reads expression, action units, landmarks and pose of face images.

    Args:
      images: As for `embed`.
      probes: Linear probes of this model; by default `probes`.
      batch_size: As for `embed`.
      is_cropped: As for `embed`.

    Returns:
      As `ready_probes.Probes.outputs`, and `landmarks_px` [N, 68, 2] float32:
      x and y in pixels of each image as it was given; the centre of its top
      left pixel is (0, 0).

    Raises:
      InputError: As `embed`, or there are no such linear probes.
    """
    probes = probes or self.probes
    found = self.embed(images, batch_size=batch_size, is_cropped=is_cropped)
    found = probes.outputs(found)
    places = [self.place(np.shape(x), is_cropped=is_cropped) for x in images]
    found["landmarks_px"] = ready_probes.to_pixels(
      found["landmarks_ndc"], np.array(places).reshape(-1, 3)
    )
    return found

  def map_images(
    self,
    step: Callable,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    batch_size: int = BATCH_SIZE,
    is_cropped: bool = False,
  ) -> dict[str, np.ndarray]:
    """Cuts images and applies a compiled function to them.

    Args:
      step: (variables, {"images": [N, S, S, 3] float32, [0, 1]}) -> {name: [N,
        ...]}, as of `sharding.jit_on_batch`.
      images: As for `embed`.
      batch_size: As for `embed`.
      is_cropped: As for `embed`.

    Returns:
      What the function returns, for all images.

    Raises:
      InputError: An image has another shape, type or range.
    """
    rows = sharding.round_up(batch_size, self.mesh)
    batches = (
      {"images": self._cut(images[start : start + rows], start, is_cropped)}
      for start in range(0, max(len(images), 1), rows)
    )
    return sharding.map_batches(step, self.variables, batches, rows, self.mesh)

  def _cut(self, images, start, is_cropped):
    """Returns images as the network sees them, float32, [0, 1]."""
    size = self.size_px
    batch = np.zeros((len(images), size, size, 3), np.float32)
    for row, image in enumerate(images):
      out = self.crop(image, start + row, is_cropped=is_cropped)
      batch[row] = out / np.float32(255) if out.dtype == np.uint8 else out
    return batch

  def square(self, *, is_cropped: bool = False) -> tuple[float, float, float]:
    """Returns left, top and side of what `crop` takes, of a frame of side 1."""
    if is_cropped:
      return 0.0, 0.0, 1.0
    left, top, side = (x / self._crop.frame_px for x in self._crop.middle())
    return left, top, side

  def place(
    self, shape: Sequence[int], *, is_cropped: bool = False
  ) -> tuple[float, float, float]:
    """Returns left, top and side of what `crop` takes, px of the image.

    Args:
      shape: Of the image, [H, W, ...].
      is_cropped: As for `crop`.
    """
    height, width = shape[:2]
    short = min(height, width)
    left, top, side = self.square(is_cropped=is_cropped)
    return (
      (width - short) / 2 + left * short,
      (height - short) / 2 + top * short,
      side * short,
    )

  def crop(
    self,
    image: np.ndarray,
    number: int = 0,
    *,
    is_cropped: bool = False,
    size_px: int | None = None,
  ) -> np.ndarray:
    """Cuts and resizes an image to what the network sees.

    Args:
      image: [H, W, 3], uint8, or float in [0, 1].
      number: Of the image, for messages.
      is_cropped: Whether to keep all of it.
      size_px: Side of the result, to look at; by default the network's.

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
    square = self.square(is_cropped=is_cropped)
    return transforms.crop_and_resize(image, square, 1, size_px or self.size_px)

  def untrained(self) -> "Representation":
    """Returns the same network with its random weights.

    What was compiled for the one serves the other too.

    Returns:
      As the function `untrained`, on the same devices.
    """
    _ = self._compiled  # Exists from now on: the copy shares it.
    other = copy.copy(self)
    other.variables = _random_weights(self.config, self.system, self.mesh)
    other.step, other.file, other.fingerprint = 0, None, ""
    other.__dict__.pop("probes", None)
    return other

  def save(self, path: str | os.PathLike, *, summary: str = "") -> int:
    """Writes the model to one file of float16 weights, which `load` reads.

    What only training needs is left out: the confidence network, features of
    the loss, and masks that take no part.

    Args:
      path: Of the file, NAME.safetensors; its folder is made if it is not
        there.
      summary: One line about the model; by default what it is and its size.

    Returns:
      Size of the file in bytes.

    Raises:
      InputError: The name ends otherwise, a weight is beyond float16, or the
        file would have more than 10 MB.
    """
    return weight_file.write(
      path, self.config, self.variables, self.step, summary
    )


def list_models() -> dict[str, str]:
  """Returns the models that come with the library: a line about each."""
  return packaged.summaries()


def load(
  workdir: str | os.PathLike,
  *,
  step: int | None = None,
  devices: Sequence[jax.Device] | None = None,
) -> Representation:
  """Loads a trained model.

  Args:
    workdir: Folder of a run; of one in stages, the last stage that was begun
      is taken, or the one whose folder is given. Or a file that
      `Representation.save` wrote. Or the name of a model that comes with the
      library, see `list_models`; a folder of the same name wins.
    step: Of the checkpoint; by default the one of least validation loss. Only
      runs have several.
    devices: Which to use; all of this process by default.

  Returns:
    The representation.

  Raises:
    InputError: There is no such run, file or model, a run's folder holds no
      such checkpoint, or the weights do not fit.
  """
  place = packaged.place_of(workdir)
  devices = jax.local_devices() if devices is None else devices
  if place.is_file():
    return _load_file(place, step, devices)
  return _load_run(place, step, devices)


def _load_file(path, step, devices):
  """Loads a file of weights."""
  found = weight_file.read(path)
  if step not in (None, found.step):
    raise errors.InputError(
      f"{path}: expected step {found.step}, the only one of this file, got "
      f"{step}. Leave the step out."
    )
  mesh = sharding.make_mesh(devices)
  variables = sharding.put_replicated(found.variables, mesh)
  system = base.build(found.config)
  model = Representation(found.config, system, variables, found.step, devices)
  model.file, model.fingerprint = path, found.metadata["sha256"]
  return model


def _load_run(workdir, step, devices):
  """Loads a checkpoint of a run."""
  workdir = stages.folder(workdir)
  config = configuration.load(workdir)
  try:
    system = base.build(config)
    transforms.Crop(**config.data.crop)
  except TypeError as error:  # The settings become keyword arguments.
    raise errors.InputError(
      f"{workdir / 'config.json'}: its settings do not fit this version of the "
      f"library ({error})."
    ) from error
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
  variables = _random_weights(config, system, sharding.make_mesh(devices))
  return Representation(config, system, variables, 0, devices)


def _random_weights(config, system, mesh):
  """Returns the arrays from which a run began."""
  init = sharding.jit_init(system.init, mesh)
  return init(train_state.init_key(jax.random.key(config.seed)))
