"""Which address of the server calls what."""

import pathlib
import tempfile
import threading
from typing import Any, NamedTuple

from facerep_jax import errors
from facerep_jax.explorer import (
  background,
  curves,
  neighbours,
  pixels,
  scene,
  server,
  uploads,
)
from facerep_jax.explorer import engine as engines
from facerep_jax.inference import face_folder

_LONGEST_NAME = 100


class Choice(NamedTuple):
  """What the command line says.

  Attributes:
    title: What the page calls the model.
    crop: One of `photos.CROPS`, of photos.
    detector: As `detect.make_detector` takes it.
    faces: Among which the nearest are looked for; None for none.
    video: Whose curves are made first; None for none.
    is_warmed_up: Whether what the page asks for is compiled at once.
  """

  title: str
  crop: str = "auto"
  detector: str | None = None
  faces: face_folder.FaceFolder | None = None
  video: pathlib.Path | None = None
  is_warmed_up: bool = True


class Explorer:
  """What the addresses of the server call.

  Attributes:
    routes: By path, for `server.Server`.
  """

  def __init__(self, engine: engines.Engine, choice: Choice):
    """Starts what runs beside the server; `close` ends it.

    Args:
      engine: The model.
      choice: What the command line says.
    """
    self._engine, self._choice = engine, choice
    self._kept = uploads.Kept()
    # Videos are read from files; it is for this user alone.
    self._folder = tempfile.TemporaryDirectory(prefix="facerep_jax_")
    self._changing, self._video, self._num_videos = threading.Lock(), None, 0
    self._warming = self._neighbours = None
    if choice.is_warmed_up:
      self._warming = background.Job(lambda job: engine.warm_up(job.advance))
    if choice.faces is not None:
      self._neighbours = neighbours.Folder(engine, choice.faces)
    if choice.video is not None:
      self._set_video(choice.video, choice.video.name)
    self.routes = {
      "/api/about": server.Get(self._about),
      "/api/photo": server.Post(self._photo, uploads.MOST_BYTES),
      "/api/render": server.Get(self._render),
      "/api/folder": server.Get(self._progress),
      "/api/nearest": server.Get(self._nearest),
      "/api/face": server.Get(self._thumb),
      "/api/new-video": server.Post(self._new_video, curves.MOST_BYTES),
      "/api/video": server.Get(self._curves),
      "/api/frame": server.Get(self._frame),
    }

  def close(self) -> None:
    """Ends what runs beside the server, and deletes what it wrote."""
    jobs = [self._warming]
    jobs += [x and x.job for x in (self._neighbours, self._video)]
    for job in jobs:
      if job is not None:
        job.stop()
    self._folder.cleanup()

  def _about(self, query):
    del query
    engine = self._engine
    is_warm = self._warming is None or self._warming.state != "working"
    about: dict[str, Any] = {
      "title": self._choice.title,
      "size_px": engine.model.size_px,
      "features": engine.features,
      "feature": neighbours.default_feature(engine.features),
      "no_scene": engine.no_scene,
      "has_neutral": engine.has_neutral,
      "has_folder": self._neighbours is not None,
      "has_video": self._video is not None,
      "is_ready": is_warm,
      "limit_deg": scene.LIMIT_DEG,
      "most_bytes": {
        "photo": uploads.MOST_BYTES,
        "video": curves.MOST_BYTES,
      },
    }
    return server.as_json(about)

  def _photo(self, query, body):
    del query
    choice = self._choice
    photo = uploads.read(body.read(), choice.crop, choice.detector)
    found = scene.describe(self._engine, photo)
    told = {"name": self._kept.add(photo), "cut": photo.kind}
    return server.as_json(told | {"notes": photo.notes} | found)

  def _render(self, query):
    photo = self._kept.get(query.get("photo", ""))
    look = scene.look_of(query)
    is_other = look.expression not in (scene.OWN, scene.NEUTRAL)
    other = self._kept.get(look.expression) if is_other else None
    picture = scene.draw(self._engine, photo, look, other)
    return server.Answer("image/jpeg", pixels.jpeg(picture))

  def _progress(self, query):
    del query
    return server.as_json(self._need_folder().progress())

  def _nearest(self, query):
    folder, feature = self._need_folder(), query.get("feature", "")
    photo = self._kept.get(query.get("photo", ""))
    return server.as_json(folder.nearest(photo.image, feature))

  def _thumb(self, query):
    content = self._need_folder().thumb(_whole(query, "number"))
    return server.Answer("image/jpeg", content)

  def _need_folder(self):
    if self._neighbours is None:
      raise errors.InputError("no folder was given (--folder=PHOTOS).")
    return self._neighbours

  def _new_video(self, query, body):
    name = query.get("name", "")[-_LONGEST_NAME:] or "this video"
    with self._changing:
      if self._video is not None:
        self._video.job.stop()
      self._clear()
      self._num_videos += 1
      path = pathlib.Path(self._folder.name) / f"{self._num_videos}.video"
      body.save(path)
      self._video = curves.Video(
        self._engine, path, name, self._choice.detector
      )
    return server.as_json({"name": name})

  def _set_video(self, path, name):
    self._video = curves.Video(self._engine, path, name, self._choice.detector)

  def _clear(self):
    """Deletes the videos of before."""
    for path in pathlib.Path(self._folder.name).iterdir():
      path.unlink()

  def _curves(self, query):
    del query
    return server.as_json(self._need_video().state())

  def _frame(self, query):
    content = self._need_video().frame(_whole(query, "number"))
    return server.Answer("image/jpeg", content)

  def _need_video(self):
    if self._video is None:
      raise errors.InputError("no video was given yet.")
    return self._video


def _whole(query, name):
  text = query.get(name, "")
  if not (text.isascii() and text.isdigit() and len(text) < 10):
    raise errors.InputError(f"{name}: expected a number, got {text[:40]!r}.")
  return int(text)
