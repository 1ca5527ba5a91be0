"""Turns a folder of images into features.

python -m facerep_jax.embed --workdir=RUN --images=FOLDER --output=FILE.npz

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import logging
import os
import sys

import numpy as np

from facerep_jax import api, cli, errors, files, model_choice, photos

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
  paths = photos.find(options.images)
  cut = photos.make_cutter(options.crop, options.detector)
  model = api.load(place)
  _log.info(
    "%s, checkpoint of step %d: %d images",
    place,
    model.step,
    len(paths),
  )
  features, skipped = embed_files(
    model, options.images, paths, cut, options.batch_size
  )
  for reason in skipped:
    print(f"skipped: {reason}", file=sys.stderr)
  if not len(features["paths"]):
    raise errors.InputError(
      f"{options.images}: not one of {len(paths)} images could be embedded."
    )
  save(options.output, features)
  kinds, counts = np.unique(features["crop"], return_counts=True)
  shares = ", ".join(f"{n} {kind}" for kind, n in zip(kinds, counts))
  print(
    f"{options.output}: {len(features['paths'])} images ({shares}), "
    f"{len(skipped)} skipped"
  )


def _parser():
  parser = cli.Parser("python -m facerep_jax.embed", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="file to write, .npz")
  photos.add_arguments(parser, api.BATCH_SIZE)
  return parser


def embed_files(
  model: api.Representation,
  folder: str,
  paths: list[str],
  cut: photos.Cutter,
  batch_size: int,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Embeds image files, a batch at a time.

  Args:
    model: What makes the features.
    folder: Where the files are.
    paths: Relative to it.
    cut: See `photos.make_cutter`.
    batch_size: Images at a time.

  Returns:
    `paths` and `crop` [N] str, and the features [N, D]; and a line for each
    file that was skipped, with the reason.
  """
  kept, kinds, parts, skipped = [], [], [], []
  with cli.Progress(len(paths), "images", "embedded") as progress:
    for faces in photos.read(folder, paths, cut, batch_size):
      kept += faces.paths
      kinds += faces.kinds
      skipped += faces.skipped
      if faces.paths:
        parts.append(model.embed(faces.images, batch_size=batch_size))
      progress.advance(len(faces.paths) + len(faces.skipped), len(faces.paths))
  names = parts[0] if parts else ()
  features = {name: np.concatenate([p[name] for p in parts]) for name in names}
  labels = {
    "paths": np.array(kept, np.str_),
    "crop": np.array(kinds, np.str_),
  }
  return labels | features, skipped


def save(path: str, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays to one .npz file, whole or not at all."""
  with files.whole(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)


if __name__ == "__main__":
  sys.exit(cli.run(main))
