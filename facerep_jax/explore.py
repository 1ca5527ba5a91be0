"""Shows in the browser what a model finds in photos and videos.

python -m facerep_jax.explore --model=NAME [--folder=PHOTOS] [--video=FILE]

--workdir=RUN in place of --model=NAME: a run of your own. Ctrl-C ends it.
"""

import contextlib
import os
import pathlib
import signal
import sys
import webbrowser

import jax

from facerep_jax import cli, errors, setting_ranges
from facerep_jax.data import photos
from facerep_jax.detection import detect
from facerep_jax.explorer import engine as engines
from facerep_jax.explorer import routes, server
from facerep_jax.inference import api, face_folder, model_choice, packaged
from facerep_jax.video import video_file

_PORT = 8765


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  setting_ranges.check_options(options, setting_ranges.EXPLORE)
  place = model_choice.place_of(options)
  photos.make_cutter(options.crop, options.detector)  # Whether it can be had.
  choice = routes.Choice(
    title=packaged.title_of(place),
    crop=options.crop,
    detector=options.detector,
    faces=_folder(options),
    video=_video(options.video),
  )
  engine = engines.Engine(api.load(place, devices=jax.local_devices()[:1]))
  _serve(engine, choice, options.port, options.browser)


def _serve(engine, choice, port, is_shown):
  """Serves the page until the user ends it."""
  for name in ("SIGTERM", "SIGHUP"):  # As Ctrl-C: temporary files are deleted.
    if hasattr(signal, name):
      signal.signal(getattr(signal, name), signal.default_int_handler)
  # The port before the work beside the server, which takes time to end.
  with (
    server.Server(port, {}) as page,
    contextlib.closing(routes.Explorer(engine, choice)) as explorer,
    contextlib.suppress(KeyboardInterrupt),
  ):
    page.routes = explorer.routes
    print(f"{page.url} (Ctrl-C ends it)", flush=True)
    if is_shown and _has_screen():
      webbrowser.open(page.url)
    page.serve_forever()
  print("stopped", file=sys.stderr)


def _has_screen():
  """Tells whether a browser would have a window, not this terminal."""
  if sys.platform in ("darwin", "win32"):
    return True
  return any(os.environ.get(x) for x in ("DISPLAY", "WAYLAND_DISPLAY"))


def _parser():
  parser = cli.Parser("python -m facerep_jax.explore", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--folder", help="folder of photos: the faces nearest to one are shown")
  add("--video", help="video whose curves are shown first")
  add(
    "--port",
    type=int,
    default=_PORT,
    help=f"of the page, on 127.0.0.1; 0 for any free one ({_PORT})",
  )
  add(
    "--no-browser",
    dest="browser",
    action="store_false",
    help="print the address, open no browser",
  )
  add(
    "--crop",
    choices=photos.CROPS,
    default="auto",
    help="auto: find the face, else take the whole photo; face: refuse photos "
    "without a face; none: photos are face crops already",
  )
  add("--detector", help=detect.HELP)
  return parser


def _folder(options):
  if not options.folder:
    return None
  try:
    return face_folder.of_photos(options.folder, options.crop, options.detector)
  except errors.InputError as error:
    # It speaks of the option of other commands.
    text = str(error).replace("--images=", "--folder=")
    raise errors.InputError(text) from error


def _video(path):
  if not path:
    return None
  video_file.default_reader()
  if not os.path.isfile(path):
    raise errors.InputError(f"--video={path}: no such file.")
  return pathlib.Path(path)


if __name__ == "__main__":
  sys.exit(cli.run(main))
