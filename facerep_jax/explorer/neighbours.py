"""The faces of a folder that are nearest to one, by their features."""

from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.explorer import background, pixels
from facerep_jax.explorer import engine as engines
from facerep_jax.inference import face_folder, face_table

MOST_FACES = 20_000  # Their small pictures and features are in memory.
NUM_NEAREST = 12
_THUMB_PX = 128
_READ_SIZE = 16


class Folder:
  """The faces of a folder; their features are computed once, in a thread.

  Attributes:
    faces: The folder.
    job: The work.
  """

  def __init__(self, engine: engines.Engine, faces: face_folder.FaceFolder):
    self.faces, self._engine = faces, engine
    self._names, self._thumbs, self._skipped = [], [], []
    self._parts, self._rows = [], {}
    self.job = background.Job(self._work)

  def _work(self, job):
    job.total = self.faces.num_images
    for some in self.faces.read(_READ_SIZE):
      if some.images:
        found = self._engine.embed(some.images)
        self._parts.append({x: found[x] for x in self._engine.features})
        crop = self._engine.model.crop
        cut = [crop(x, size_px=_THUMB_PX) for x in some.images]
        self._thumbs += map(pixels.jpeg, cut)
        self._names += some.paths
      self._skipped += some.skipped
      job.advance(len(self._names) + len(self._skipped))
      if len(self._names) >= MOST_FACES:
        break
    if not self._names:
      raise errors.InputError("not one photo of the folder can be used.")
    for name in self._engine.features:
      rows = _unit(np.concatenate([part[name] for part in self._parts]))
      self._rows[name] = rows
    self._parts = []

  def progress(self) -> dict[str, Any]:
    """Says how far the work is, for JSON."""
    left_out = max(0, self.faces.num_images - self.job.done)
    return self.job.progress() | {
      "faces": len(self._names),
      "skipped": len(self._skipped),
      "first_skipped": self._skipped[:1],
      "left_out": left_out if self.job.state == "ready" else 0,
    }

  def nearest(self, image: np.ndarray, feature: str) -> list[dict[str, Any]]:
    """Finds the nearest faces.

    Args:
      image: A face, uint8 [H, W, 3].
      feature: Name of the feature to compare; "" for `default_feature`.

    Returns:
      `number`, `name` and `distance` of each, nearest first: one minus the
      cosine.

    Raises:
      InputError: There is no such feature, or the folder is not read yet.
    """
    feature = feature or default_feature(self._engine.features)
    if feature not in self._engine.features:
      raise errors.InputError(
        f"feature: expected one of {', '.join(self._engine.features)}, got "
        f"{feature[:40]!r}."
      )
    if self.job.state != "ready":
      raise errors.InputError(
        self.job.message or "the folder is still being read; wait a little."
      )
    own = _unit(self._engine.embed([image])[feature])[0]
    distances = 1 - self._rows[feature] @ own
    order = np.argsort(distances, kind="stable")[:NUM_NEAREST]
    return [
      {
        "number": int(i),
        "name": self._names[i].encode("utf-8", "replace").decode(),
        "distance": max(0.0, float(distances[i])),
      }
      for i in order
    ]

  def thumb(self, number: int) -> bytes:
    """Returns a face of the folder as JPEG.

    Args:
      number: As of `nearest`.

    Raises:
      InputError: There is no such face.
    """
    if not 0 <= number < len(self._thumbs):
      raise errors.InputError(f"{number}: there is no such face.")
    return self._thumbs[number]


def default_feature(names: tuple[str, ...]) -> str:
  """Returns the feature by which people are compared, or the first one."""
  return face_table.IDENTITY if face_table.IDENTITY in names else names[0]


def _unit(rows):
  lengths = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.where(lengths > 0, lengths, 1)
