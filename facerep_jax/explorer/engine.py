"""A model in use by several threads, one at a time, and what it can do."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from facerep_jax import errors
from facerep_jax.faces import rendering
from facerep_jax.inference import api, face_table

PICTURE_PX = 256  # Side of the pictures that follow the sliders.
BATCH_SIZE = 8  # Small, so that a slider waits for no long batch.


class Engine:
  """Shares a model among threads.

  Attributes:
    model: The model.
    features: Names of the features that are not made of others.
    no_scene: Why the model finds no scene factors; "" where it does.
  """

  def __init__(self, model: api.Representation):
    self.model = model
    self.features = face_table.main_features(model.feature_names)
    self.no_scene = ""
    try:
      _ = model.formation
    except errors.InputError as error:
      self.no_scene = str(error)
    # One call at a time: two would slow each other down.
    self._lock = threading.Lock()

  @property
  def has_neutral(self) -> bool:
    """Whether expressions can be taken away and given to others."""
    return not self.no_scene and self.model.has_neutral

  def warm_up(self, on_step: Callable[[int], None]) -> None:
    """Compiles what the page will ask for, with an empty picture.

    Args:
      on_step: Called after each program, with the number of those compiled.
    """
    size = self.model.size_px
    blank = np.zeros((size, size, 3), np.uint8)
    if not self.no_scene:
      codes = self.encode(blank)
      on_step(1)
      face = self.decode(codes)
      on_step(2)
      self.draw_maps(codes)
      on_step(3)
      self.render(face)
      on_step(4)
    self.embed([blank])

  def encode(self, image: np.ndarray) -> dict[str, np.ndarray]:
    """Finds the codes of one face; as `FaceMethods.encode`."""
    with self._lock:
      return self.model.encode([image], batch_size=1)

  def decode(self, codes: dict[str, np.ndarray]) -> rendering.Face:
    """Makes shape and texture of one face's codes."""
    with self._lock:
      return self.model.decode(codes, batch_size=1)

  def draw_maps(self, codes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Draws the maps of one face; as `FaceMethods.draw_maps`."""
    with self._lock:
      return self.model.draw_maps(codes, batch_size=1)

  def render(self, face: rendering.Face) -> np.ndarray:
    """Draws one face, [P, P, 3] float32, [0, 1]; P is `PICTURE_PX`."""
    with self._lock:
      return self.model.render(face, size_px=PICTURE_PX, batch_size=1)[0]

  def embed(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Computes the features of faces.

    Args:
      images: uint8 [H, W, 3] each.

    Returns:
      Features by name, [N, D] float32.
    """
    parts = []
    for start in range(0, len(images), BATCH_SIZE):
      with self._lock:
        some = images[start : start + BATCH_SIZE]
        parts.append(self.model.embed(some, batch_size=BATCH_SIZE))
    return {x: np.concatenate([part[x] for part in parts]) for x in parts[0]}

  def angles_deg(self, view: np.ndarray) -> np.ndarray | None:
    """Says of views how far the heads are turned.

    Args:
      view: [N, 6] float32.

    Returns:
      [N, 3] float32, yaw, pitch and roll, degrees; None where the model knows
      no space.
    """
    return None if self.no_scene else self.model.formation.angles_deg(view)
