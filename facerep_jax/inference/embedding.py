"""Features of the faces of a folder, as a file."""

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable

import numpy as np

from facerep_jax import cli, errors
from facerep_jax.data import photos
from facerep_jax.files import atomic, outputs
from facerep_jax.inference import api, face_folder, face_table

_log = logging.getLogger(__name__)
# Of a photo's names and notes, and of the arrays' heads, roughly.
_TEXT_BYTES, _HEAD_BYTES = 1024, 4096


def embed_folder(
  model: api.Representation,
  faces: face_folder.FaceFolder,
  output: str | os.PathLike,
  *,
  batch_size: int = api.BATCH_SIZE,
  name: str = "model",
  features: tuple[str, ...] | None = None,
) -> None:
  """Embeds the faces of a folder, and writes the features to a file.

  What is skipped, and what was assumed of pixels, is printed on stderr; one
  line on stdout says what was written.

  Args:
    model: What makes the features.
    faces: The faces.
    output: File to write, .npz: the arrays that `embed_faces` returns.
    batch_size: Images at a time, 1 or more.
    name: What the log calls the model.
    features: Names of those that are written; None for all.

  Raises:
    InputError: The model has no such feature, not one image can be embedded,
      or there is no room for the features.
  """
  count = faces.num_images
  _log.info("%s, checkpoint of step %d: %d images", name, model.step, count)
  if features is not None:
    face_table.choose_features(model.feature_names, features)
  with outputs.Room(output) as room:
    found, skipped = embed_faces(
      model,
      faces.read(batch_size),
      count,
      batch_size,
      on_batch=lambda part: room.keep(_size(part, count)),
      features=features,
    )
  for reason in skipped:
    print(f"skipped: {reason}", file=sys.stderr)
  for line in photos.count_notes(found.get(photos.NOTES, ())):
    print(line, file=sys.stderr)
  if not len(found["paths"]):
    raise errors.InputError(
      f"{faces.folder}: not one of {count} images could be embedded."
    )
  _save_somewhere(output, found)
  kinds, counts = np.unique(found["crop"], return_counts=True)
  shares = ", ".join(f"{n} {kind}" for kind, n in zip(kinds, counts))
  print(
    f"{output}: {len(found['paths'])} images ({shares}), {len(skipped)} skipped"
  )


def embed_faces(
  model: api.Representation,
  batches: Iterable[photos.Faces],
  count: int,
  batch_size: int,
  on_batch: Callable[[dict[str, np.ndarray]], None] = lambda _: None,
  features: tuple[str, ...] | None = None,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Embeds faces, a batch at a time.

  Args:
    model: What makes the features.
    batches: Faces, at most `batch_size` at a time.
    count: How many images they come from.
    batch_size: Images at a time.
    on_batch: Called with the features of each batch.
    features: Names of those that are kept; None for all.

  Returns:
    `paths` and `crop` [N] str, the columns that the faces have [N], and the
    features [N, D]; and a line for each file that was skipped, with the
    reason.
  """
  kept, kinds, parts, skipped, columns = [], [], [], [], {}
  with cli.Progress(count, "images", "embedded") as progress:
    for faces in batches:
      kept += faces.paths
      kinds += faces.kinds
      skipped += faces.skipped
      for name, values in faces.columns.items():
        columns.setdefault(name, []).extend(values)
      if faces.paths:
        part = model.embed(faces.images, batch_size=batch_size)
        kept_names = part if features is None else features
        parts.append({name: part[name] for name in kept_names})
        on_batch(parts[-1])
      progress.advance(len(faces.paths) + len(faces.skipped), len(faces.paths))
  names = parts[0] if parts else ()
  joined = {name: np.concatenate([p[name] for p in parts]) for name in names}
  labels = {
    "paths": np.array(kept, np.str_),
    "crop": np.array(kinds, np.str_),
  }
  labels |= {name: np.array(values) for name, values in columns.items()}
  return labels | joined, skipped


def _size(part, count):
  """Returns about how many bytes the features of so many photos have."""
  per_photo = sum(value.nbytes // len(value) for value in part.values())
  return round(count * (per_photo + _TEXT_BYTES)) + _HEAD_BYTES


def _save_somewhere(path, features):
  """Saves features, among temporary files where it cannot be in its place."""
  try:
    save(path, features)
  except OSError as error:
    name = f"features_{secrets.token_hex(8)}.npz"
    spare = os.path.join(tempfile.gettempdir(), name)
    save(spare, features)
    raise errors.InputError(
      f"{path}: {error.strerror or error}. The features are in {spare}."
    ) from error


def save(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays to one .npz file, whole or not at all."""
  with atomic.whole(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)
