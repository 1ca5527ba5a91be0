"""Turns the faces of videos, of images or of face tracks into features.

python -m facerep_jax.embed --workdir=RUN --videos=FOLDER --output=FILE.parquet
python -m facerep_jax.embed --workdir=RUN --images=FOLDER --output=FILE.npz

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import math
import sys

from facerep_jax import cli, errors, setting_ranges
from facerep_jax.data import photos, video_faces
from facerep_jax.files import outputs, table
from facerep_jax.inference import (
  api,
  embedding,
  face_folder,
  face_rows,
  face_table,
  model_choice,
  ready_probes,
)

_OF_VIDEOS = ("every", "fps", "start", "stop")
_OF_TABLES = ("person", "same_person", "probes")


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  place = model_choice.place_of(options)
  _check(options)
  table.check(options.output, "--output")
  outputs.check_file(options.output, "--output")
  if options.videos:
    source = face_rows.of_videos(
      options.videos, _choice(options), options.detector
    )
    _write_table(options, place, source)
    return
  is_table = _is_table(options)
  faces = face_folder.of_photos_or_tracks(
    options.images,
    options.crop,
    options.detector,
    faces=options.faces if is_table else "main",
  )
  if is_table:
    _write_table(options, place, face_rows.of_folder(faces))
    return
  embedding.embed_folder(
    api.load(place),
    faces,
    options.output,
    batch_size=options.batch_size,
    name=str(place),
    features=_features(options),
  )


def _write_table(options, place, source):
  default = face_table.SAME_PERSON
  asked = options.same_person
  threshold = default if asked is None else asked
  model = api.load(place)
  chosen = face_table.Options(
    features=_features(options),
    same_person=None if options.person == "none" else threshold,
    batch_size=options.batch_size,
    probes=_probes(options.probes, model),
  )
  if asked is not None and face_table.IDENTITY not in model.feature_names:
    raise errors.InputError(
      f"--same-person={asked}: this model has no feature "
      f"{face_table.IDENTITY!r}; leave it out."
    )
  face_table.embed(model, source, options.output, chosen, name=str(place))


def _probes(text, model):
  """Returns the linear probes that are asked for."""
  if text == "none":
    return None
  if text == "packaged":
    return model.probes
  return ready_probes.load(text, model.fingerprint)


def _parser():
  parser = cli.Parser("python -m facerep_jax.embed", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--videos", help="video, or folder of videos; subfolders count")
  add(
    "--output",
    required=True,
    help="file to write: .parquet or .csv, a row per face and frame, or .npz, "
    "arrays by name",
  )
  photos.add_arguments(parser, api.BATCH_SIZE, is_needed=False)
  add(
    "--faces",
    choices=photos.FACES,
    help="of photos, in tables: main: the main face of each; all: a row for "
    "each face (all; with --crop=none and in .npz, main)",
  )
  add(
    "--features",
    help="which features, such as identity,expression, or none; by default "
    "those that are not made of others (of images as .npz, all)",
  )
  add("--every", type=int, help="of videos: one of so many frames (1)")
  add("--fps", type=float, help="of videos: at most so many frames a second")
  add("--start", type=float, help="of videos: from this time on, seconds")
  add("--stop", type=float, help="of videos: before this time, seconds")
  add(
    "--person",
    choices=("auto", "none"),
    default="auto",
    help="of tables: auto: tell people apart by the feature identity",
  )
  add(
    "--same-person",
    type=float,
    help="of tables: greatest mean cosine distance of one person's tracks "
    f"({face_table.SAME_PERSON})",
  )
  add(
    "--probes",
    default="none",
    help="of tables: columns of expression, action units, landmarks and pose, "
    "by the linear probes beside the weights (packaged), or those of FILE.npz; "
    "see docs/probes.md (none)",
  )
  return parser


def _check(options):
  """Checks numbers, and options that do not go together."""
  setting_ranges.check_options(options, setting_ranges.EMBED)
  if bool(options.videos) == bool(options.images):
    raise errors.InputError(
      "expected one of --videos=PATH and --images=FOLDER, got "
      f"{'both' if options.videos else 'neither'} (see --help)."
    )
  if options.videos and options.crop == "none":
    raise errors.InputError(
      "--crop=none: in videos, faces are always found and cut; leave it out."
    )
  is_table = _is_table(options)
  _check_faces(options, is_table)
  given = _parser().parse_args(["--output="])
  for names, is_used, what in (
    (_OF_VIDEOS, bool(options.videos), "--videos"),
    (_OF_TABLES, is_table, "--videos, or with a .csv or .parquet --output"),
  ):
    for name in names:
      if not is_used and getattr(options, name) != getattr(given, name):
        raise errors.InputError(
          f"--{name.replace('_', '-')}: goes with {what} only."
        )
  if options.person == "none" and options.same_person is not None:
    raise errors.InputError(
      "--same-person and --person=none: expected one of them."
    )
  if options.every is not None and options.fps is not None:
    raise errors.InputError("--every and --fps: expected one of them.")


def _is_table(options):
  """Says whether a row for each face is written."""
  return bool(options.videos or not options.output.lower().endswith(".npz"))


def _check_faces(options, is_table):
  """Checks whether one can choose between faces."""
  if options.videos and options.faces is not None:
    raise errors.InputError(
      f"--faces={options.faces}: goes with --images only; of videos, all faces "
      "are taken."
    )
  if options.faces != "all":
    return
  if not is_table:
    raise errors.InputError(
      "--faces=all: goes with a .csv or .parquet --output only; .npz has the "
      "main face of each image."
    )
  if options.crop == "none":
    raise errors.InputError(
      "--faces=all and --crop=none: expected one of them; images that are face "
      "crops already have one face."
    )


def _choice(options):
  start, stop = options.start or 0.0, options.stop
  if stop is not None and stop <= start:
    raise errors.InputError(
      f"--stop={stop}: expected more than --start={start}."
    )
  return video_faces.Choice(
    fps=options.fps,
    every=options.every or 1,
    start_s=start,
    stop_s=math.inf if stop is None else stop,
  )


def _features(options):
  """Returns the names of features that are asked for; None: by default."""
  if options.features is None:
    return None
  if options.features == "none":
    return ()
  return tuple(options.features.split(","))


if __name__ == "__main__":
  sys.exit(cli.run(main))
