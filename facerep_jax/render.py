"""Turns a folder of photos into pictures and meshes of the faces on them.

python -m facerep_jax.render --workdir=RUN --images=FOLDER --output=DIR

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import pathlib
import sys

from facerep_jax import cli, errors
from facerep_jax.data import photos
from facerep_jax.files import animation, mesh_file, outputs
from facerep_jax.inference import api, face_folder, model_choice, pictures


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  place = model_choice.place_of(options)
  chosen = pictures.Options(
    what=tuple(options.what.split(",")) if options.what else (),
    sweep=options.sweep,
    transfer=options.transfer,
    mesh=options.mesh,
    texture=options.texture,
    batch_size=options.batch_size,
  )
  _check(options)
  faces = face_folder.of_photos(options.images, options.crop, options.detector)
  pictures.render_folder(
    api.load(place), faces, options.output, chosen, name=str(place)
  )


def _parser():
  parser = cli.Parser("python -m facerep_jax.render", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="folder to write to")
  add(
    "--what",
    default="",
    help=f"some of {','.join(pictures.KINDS)}; by default all that the run "
    "can do",
  )
  add(
    "--sweep",
    choices=(*animation.FORMATS, "none"),
    default=pictures.Options.sweep,
    help="films of each face: turning (views), under moving light (relight)",
  )
  add(
    "--transfer",
    type=int,
    default=pictures.Options.transfer,
    help="how many faces, the first ones, get each other's expressions",
  )
  add(
    "--mesh",
    choices=mesh_file.FORMATS,
    default=pictures.Options.mesh,
    help="kind of file",
  )
  add(
    "--texture",
    choices=pictures.TEXTURES,
    default=pictures.Options.texture,
    help="of meshes: without the light of the photo, or with it",
  )
  photos.add_arguments(parser, pictures.Options.batch_size)
  return parser


def _check(options):
  output = pathlib.Path(options.output).resolve()
  if not output.parent.is_dir() or output.is_file():
    raise errors.InputError(
      f"--output={options.output}: expected a folder, or a new name in one."
    )
  outputs.check_folder(options.output, "--output")
  if output.is_relative_to(pathlib.Path(options.images).resolve()):
    raise errors.InputError(
      f"--output={options.output}: lies in the folder of the images, where "
      "what is written would be found as images. Give another one."
    )
  if options.sweep == "mp4":
    animation.library()


if __name__ == "__main__":
  sys.exit(cli.run(main))
