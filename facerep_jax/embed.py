"""Turns a folder of images, or of face tracks, into features.

python -m facerep_jax.embed --workdir=RUN --images=FOLDER --output=FILE.npz

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import logging
import os
import sys
from collections.abc import Iterable

import numpy as np

from facerep_jax import (
  api,
  cli,
  crop_choice,
  errors,
  files,
  model_choice,
  photos,
  track_faces,
)

_log = logging.getLogger("facerep_jax.embed")  # Not "__main__".


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  place = model_choice.place_of(options)
  if options.batch_size < 1:
    raise errors.InputError(f"--batch-size={options.batch_size}: expected 1+.")
  if not os.path.isdir(os.path.dirname(os.path.abspath(options.output))):
    raise errors.InputError(
      f"--output={options.output}: its folder does not exist."
    )
  count, batches = _batches(options)
  model = api.load(place)
  _log.info(
    "%s, checkpoint of step %d: %d images",
    place,
    model.step,
    count,
  )
  features, skipped = embed_faces(model, batches, count, options.batch_size)
  for reason in skipped:
    print(f"skipped: {reason}", file=sys.stderr)
  for line in photos.count_notes(features.get(photos.NOTES, ())):
    print(line, file=sys.stderr)
  if not len(features["paths"]):
    raise errors.InputError(
      f"{options.images}: not one of {count} images could be embedded."
    )
  save(options.output, features)
  kinds, counts = np.unique(features["crop"], return_counts=True)
  shares = ", ".join(f"{n} {kind}" for kind, n in zip(kinds, counts))
  print(
    f"{options.output}: {len(features['paths'])} images ({shares}), "
    f"{len(skipped)} skipped"
  )


def _batches(options):
  """Returns the number of images, and the batches of their faces."""
  folder, size = options.images, options.batch_size
  if track_faces.are_in(folder):
    if options.crop == "face":
      raise errors.InputError(
        f"--crop=face: {folder} holds face tracks, whose faces are cut "
        "already; leave --crop out."
      )
    return track_faces.count(folder), track_faces.read(folder, size)
  paths = photos.find(folder)
  cut = crop_choice.of_folder(options, paths)
  return len(paths), photos.read(folder, paths, cut, size)


def _parser():
  parser = cli.Parser("python -m facerep_jax.embed", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="file to write, .npz")
  photos.add_arguments(parser, api.BATCH_SIZE)
  return parser


def embed_faces(
  model: api.Representation,
  batches: Iterable[photos.Faces],
  count: int,
  batch_size: int,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Embeds faces, a batch at a time.

  Args:
    model: What makes the features.
    batches: Faces, at most `batch_size` at a time.
    count: How many images they come from.
    batch_size: Images at a time.

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
        parts.append(model.embed(faces.images, batch_size=batch_size))
      progress.advance(len(faces.paths) + len(faces.skipped), len(faces.paths))
  names = parts[0] if parts else ()
  features = {name: np.concatenate([p[name] for p in parts]) for name in names}
  labels = {
    "paths": np.array(kept, np.str_),
    "crop": np.array(kinds, np.str_),
  }
  labels |= {name: np.array(values) for name, values in columns.items()}
  return labels | features, skipped


def save(path: str, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays to one .npz file, whole or not at all."""
  with files.whole(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)


if __name__ == "__main__":
  sys.exit(cli.run(main))
