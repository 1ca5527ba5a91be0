"""Turns a folder of photos into pictures and meshes of the faces on them.

python -m facerep_jax.render --workdir=RUN --images=FOLDER --output=DIR

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import logging
import pathlib
import sys

from facerep_jax import cli, errors
from facerep_jax.data import photos
from facerep_jax.files import animation, image_grid, mesh_file, outputs, written
from facerep_jax.inference import api, crop_choice, model_choice, sheets

_log = logging.getLogger("facerep_jax.render")  # Not "__main__".
KINDS = (*sheets.SHEETS, "mesh")
_BATCH_SIZE = 16
_FILM_FOLDERS = {"views": "turn", "relight": "light"}
_TEXTURES = ("albedo", "canonical")


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
  paths = photos.find(options.images)
  cut = crop_choice.of_folder(options, paths)
  model = api.load(place)
  kinds = choose(options.what, model)
  _log.info(
    "%s, checkpoint of step %d: %s of %d images",
    place,
    model.step,
    ", ".join(kinds),
    len(paths),
  )
  writer, notes = _Writer(model, kinds, options), []
  with cli.Progress(len(paths), "images", "drawn") as progress:
    for faces in photos.read(options.images, paths, cut, options.batch_size):
      for reason in faces.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
      notes += faces.columns[photos.NOTES]
      if faces.paths:
        writer.write(faces)
      progress.advance(len(faces.paths) + len(faces.skipped), len(faces.paths))
  for line in photos.count_notes(notes):
    print(line, file=sys.stderr)
  if not writer.num_images:
    raise errors.InputError(
      f"{options.images}: not one of {len(paths)} images could be drawn."
    )
  print(
    f"{options.output}: {writer.num_images} images, "
    f"{len(paths) - writer.num_images} skipped; {writer.num_sheets} sheets, "
    f"{writer.num_films} films, {writer.num_meshes} meshes"
  )


def _parser():
  parser = cli.Parser("python -m facerep_jax.render", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="folder to write to")
  add(
    "--what",
    default="",
    help=f"some of {','.join(KINDS)}; by default all that the run can do",
  )
  add(
    "--sweep",
    choices=(*animation.FORMATS, "none"),
    default="gif",
    help="films of each face: turning (views), under moving light (relight)",
  )
  add(
    "--transfer",
    type=int,
    default=6,
    help="how many faces, the first ones, get each other's expressions",
  )
  add("--mesh", choices=mesh_file.FORMATS, default="glb", help="kind of file")
  add(
    "--texture",
    choices=_TEXTURES,
    default="albedo",
    help="of meshes: without the light of the photo, or with it",
  )
  photos.add_arguments(parser, _BATCH_SIZE)
  return parser


def _check(options):
  for name in ("batch_size", "transfer"):
    if getattr(options, name) < 1:
      raise errors.InputError(
        f"--{name.replace('_', '-')}={getattr(options, name)}: expected 1+."
      )
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


def choose(what: str, model: api.Representation) -> tuple[str, ...]:
  """Finds out what to draw.

  Args:
    what: Some of `KINDS`, with commas; all that can be done if it is empty.
    model: What draws.

  Returns:
    Kinds, in the order of `KINDS`.

  Raises:
    InputError: There is no such kind, or the model or this installation cannot
      draw it.
  """
  _ = model.formation  # Checks that it draws at all.
  wanted = [x for x in what.split(",") if x]
  for kind in wanted:
    if kind not in KINDS:
      raise errors.InputError(
        f"--what={what}: expected some of {', '.join(KINDS)}, got {kind!r}."
      )
    if kind in sheets.WANT_NEUTRAL and not model.has_neutral:
      raise errors.InputError(
        f"--what={kind} needs faces without expression, which LatentFace's "
        "second stage finds: use a run with config.stage=diffusion."
      )
    if kind == "mesh":
      mesh_file.library()
  if wanted:
    return tuple(kind for kind in KINDS if kind in wanted)
  return tuple(kind for kind in KINDS if _can(kind, model))


def _can(kind, model):
  if kind in sheets.WANT_NEUTRAL and not model.has_neutral:
    _log.info("%s: left out, as the run has no second stage", kind)
    return False
  if kind == "mesh":
    try:
      mesh_file.library()
    except errors.InputError as error:
      _log.info("mesh: left out: %s", error)
      return False
  return True


class _Writer:
  """Writes what is drawn of one page of photos after the other."""

  def __init__(self, model, kinds, options):
    self._model, self._kinds, self._options = model, kinds, options
    self._output = pathlib.Path(options.output)
    self._written = written.Written(self._output)
    self._num_pages = 0
    self.num_images = self.num_sheets = self.num_films = self.num_meshes = 0

  def write(self, faces):
    """Writes a page."""
    batch_size = self._options.batch_size
    page = sheets.Page(self._model, faces.paths, faces.images, batch_size)
    if not self._num_pages:
      # Not sooner: what is there stays where nothing can be drawn.
      self._clear()
    self._num_pages += 1
    self.num_images += len(page.names)
    for kind in self._kinds:
      if kind == "transfer":
        if self._num_pages == 1:
          self._save(kind, *page.transfer(self._options.transfer))
      elif kind in sheets.SHEETS:
        self._save(kind, page.sheet(kind), page.names)
      if kind in sheets.FILMS and self._options.sweep != "none":
        self._save_films(kind, page)
      if kind == "mesh":
        self._save_meshes(page)

  def _clear(self):
    count = self._written.clear()
    if count:
      _log.info("%s: %d files of an earlier call deleted", self._output, count)

  def _save(self, kind, columns, names):
    path = self._output / f"{kind}-{self._num_pages:03d}.png"
    self._written.add(path)
    image_grid.save(path, image_grid.sheet(columns, names))
    self.num_sheets += 1

  def _save_films(self, kind, page):
    folder = self._output / _FILM_FOLDERS[kind]
    for row, name in enumerate(page.names):
      path = folder / f"{name}.{self._options.sweep}"
      self._written.add(path)
      animation.save(path, page.film(kind, row))
      self.num_films += 1

  def _save_meshes(self, page):
    maps = page.maps()
    # OBJ comes with other files: a folder for each.
    end = {"glb": ".glb", "obj": "/face.obj"}[self._options.mesh]
    for row, name in enumerate(page.names):
      path = self._output / "mesh" / (name + end)
      for file in mesh_file.files_of(path):
        self._written.add(file)
      mesh_file.write(
        path,
        maps["canonical_depth"][row],
        maps[self._options.texture][row],
        self._model.formation.camera,
      )
      self.num_meshes += 1


if __name__ == "__main__":
  sys.exit(cli.run(main))
