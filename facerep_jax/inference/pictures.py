"""Sheets, films and meshes of the faces of a folder, as files."""

import dataclasses
import logging
import os
import pathlib
import sys
from collections.abc import Sequence

from facerep_jax import cli, errors
from facerep_jax.data import photos
from facerep_jax.files import animation, image_grid, mesh_file, written
from facerep_jax.inference import api, face_folder, sheets

_log = logging.getLogger(__name__)
KINDS = (*sheets.SHEETS, "mesh")
TEXTURES = ("albedo", "canonical")
_FILM_FOLDERS = {"views": "turn", "relight": "light"}


@dataclasses.dataclass(frozen=True)
class Options:
  """What is drawn.

  Attributes:
    what: Some of `KINDS`; none stands for all that the model can do.
    sweep: One of `animation.FORMATS`, of the films; "none": no films.
    transfer: How many faces, the first ones, get each other's expressions.
    mesh: One of `mesh_file.FORMATS`.
    texture: One of `TEXTURES`, of meshes: without the light of the photo, or
      with it.
    batch_size: Photos of a page, and images at a time.

  Raises:
    InputError: A number is less than 1.
  """

  what: tuple[str, ...] = ()
  sweep: str = "gif"
  transfer: int = 6
  mesh: str = "glb"
  texture: str = "albedo"
  batch_size: int = 16

  def __post_init__(self):
    for name in ("batch_size", "transfer"):
      if getattr(self, name) < 1:
        raise errors.InputError(
          f"--{name.replace('_', '-')}={getattr(self, name)}: expected 1+."
        )


def render_folder(
  model: api.Representation,
  faces: face_folder.FaceFolder,
  output: str | os.PathLike,
  options: Options | None = None,
  *,
  name: str = "model",
) -> None:
  """Draws the faces of a folder of photos, and writes what is drawn.

  What is skipped, and what was assumed of pixels, is printed on stderr; one
  line on stdout says what was written. Files of an earlier call are deleted.

  Args:
    model: What draws.
    faces: The faces, of photos.
    output: Folder to write to; made if it is not there.
    options: What is drawn; by default all that the model can do.
    name: What the log calls the model.

  Raises:
    InputError: There is no such kind of picture, the model or this
      installation cannot draw it, or not one image can be drawn.
  """
  options, count = options or Options(), faces.num_images
  kinds = choose(options.what, model)
  _log.info(
    "%s, checkpoint of step %d: %s of %d images",
    name,
    model.step,
    ", ".join(kinds),
    count,
  )
  writer, notes = _Writer(model, kinds, output, options), []
  with cli.Progress(count, "images", "drawn") as progress:
    for page in faces.read(options.batch_size):
      for reason in page.skipped:
        print(f"skipped: {reason}", file=sys.stderr)
      notes += page.columns[photos.NOTES]
      if page.paths:
        writer.write(page)
      progress.advance(len(page.paths) + len(page.skipped), len(page.paths))
  for line in photos.count_notes(notes):
    print(line, file=sys.stderr)
  if not writer.num_images:
    raise errors.InputError(
      f"{faces.folder}: not one of {count} images could be drawn."
    )
  print(
    f"{output}: {writer.num_images} images, "
    f"{count - writer.num_images} skipped; {writer.num_sheets} sheets, "
    f"{writer.num_films} films, {writer.num_meshes} meshes"
  )


def choose(what: Sequence[str], model: api.Representation) -> tuple[str, ...]:
  """Finds out what to draw.

  Args:
    what: Some of `KINDS`; all that can be done if it is empty.
    model: What draws.

  Returns:
    Kinds, in the order of `KINDS`.

  Raises:
    InputError: There is no such kind, or the model or this installation cannot
      draw it.
  """
  _ = model.formation  # Checks that it draws at all.
  wanted = [x for x in what if x]
  for kind in wanted:
    if kind not in KINDS:
      raise errors.InputError(
        f"--what={','.join(what)}: expected some of {', '.join(KINDS)}, got "
        f"{kind!r}."
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

  def __init__(self, model, kinds, output, options):
    self._model, self._kinds, self._options = model, kinds, options
    self._output = pathlib.Path(output)
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
