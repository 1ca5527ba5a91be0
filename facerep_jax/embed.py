"""Turns a folder of images, or of face tracks, into features.

python -m facerep_jax.embed --workdir=RUN --images=FOLDER --output=FILE.npz

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import sys

from facerep_jax import cli, errors
from facerep_jax.data import photos
from facerep_jax.files import outputs
from facerep_jax.inference import api, embedding, face_folder, model_choice


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
  outputs.check_file(options.output, "--output")
  faces = face_folder.of_photos_or_tracks(
    options.images, options.crop, options.detector
  )
  embedding.embed_folder(
    api.load(place),
    faces,
    options.output,
    batch_size=options.batch_size,
    name=str(place),
  )


def _parser():
  parser = cli.Parser("python -m facerep_jax.embed", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="file to write, .npz")
  photos.add_arguments(parser, api.BATCH_SIZE)
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
