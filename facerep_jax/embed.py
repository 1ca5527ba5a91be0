"""Turns a folder of images into features.

python -m facerep_jax.embed --workdir=RUN --images=FOLDER --output=FILE.npz
"""

import logging
import os
import pathlib
import sys
from collections.abc import Callable

import numpy as np

from facerep_jax import api, cli, errors
from facerep_jax.data import crop, decode, detect, images

_log = logging.getLogger(__name__)
# Side of the square that is cut around a face before the run's own crop: that
# of the frames which `make_tracks` stores by default.
_FACE_PX = 256
CROPS = ("auto", "face", "none")


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  if options.batch_size < 1:
    raise errors.InputError(f"--batch-size={options.batch_size}: expected 1+.")
  if not os.path.isdir(os.path.dirname(os.path.abspath(options.output))):
    raise errors.InputError(
      f"--output={options.output}: its folder does not exist."
    )
  paths = find_images(options.images)
  cut = make_cutter(options.crop, options.detector)
  model = api.load(options.workdir)
  _log.info(
    "%s, checkpoint of step %d: %d images",
    options.workdir,
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
  add("--workdir", required=True, help="folder of a trained run")
  add("--images", required=True, help="folder of images; subfolders count")
  add("--output", required=True, help="file to write, .npz")
  add(
    "--crop",
    choices=CROPS,
    default="auto",
    help="auto: find the face, else take the whole image; face: skip images "
    "without a face; none: images are face crops already",
  )
  add("--detector", help="model file (.onnx) for cv2.FaceDetectorYN")
  add("--batch-size", type=int, default=api.BATCH_SIZE, help="at a time")
  return parser


def find_images(folder: str) -> list[str]:
  """Lists the images below a folder.

  Args:
    folder: Where to look.

  Returns:
    Paths relative to it, with "/", sorted.

  Raises:
    InputError: It does not exist, or holds no image.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise errors.InputError(f"--images={folder}: no such folder.")
  found = sorted(
    path.relative_to(root).as_posix()
    for path in root.rglob("*")
    if path.suffix.lower() in images.EXTENSIONS and path.is_file()
  )
  if not found:
    raise errors.InputError(
      f"--images={folder}: holds no image (looked for "
      f"{', '.join(images.EXTENSIONS)})."
    )
  return found


def make_cutter(
  kind: str, model: str | None = None
) -> Callable[[np.ndarray], tuple[np.ndarray | None, str]]:
  """Makes what cuts the face out of an image.

  Args:
    kind: One of `CROPS`.
    model: Detector model file; None for the one that OpenCV brings.

  Returns:
    A function from uint8 [H, W, 3] to the crop and "face", "whole" or "none";
    no crop where "face" finds none.

  Raises:
    InputError: No detector is installed, and one is needed.
  """
  if kind == "none":
    return lambda image: (image, "none")
  detector = detect.make_detector(model)

  def cut(image):
    cropped, found = crop.find_and_crop(image, detector, _FACE_PX)
    if found == "whole":
      # Left as it is: the run's own crop resizes it, once.
      return (image if kind == "auto" else None), found
    return cropped, found

  return cut


def embed_files(
  model: api.Representation,
  folder: str,
  paths: list[str],
  cut: Callable[[np.ndarray], tuple[np.ndarray | None, str]],
  batch_size: int,
) -> tuple[dict[str, np.ndarray], list[str]]:
  """Embeds image files, a batch at a time.

  Args:
    model: What makes the features.
    folder: Where the files are.
    paths: Relative to it.
    cut: See `make_cutter`.
    batch_size: Images at a time.

  Returns:
    `paths` and `crop` [N] str, and the features [N, D]; and a line for each
    file that was skipped, with the reason.
  """
  kept, kinds, parts, skipped = [], [], [], []
  with cli.Progress(len(paths), "images", "embedded") as progress:
    for start in range(0, len(paths), batch_size):
      group = paths[start : start + batch_size]
      faces = []
      for path in group:
        try:
          face, kind = _read(folder, path, cut)
        except images.ImageError as error:
          skipped.append(str(error))
          continue
        if face is None:
          skipped.append(f"{path}: no face found.")
          continue
        faces.append(face)
        kept.append(path)
        kinds.append(kind)
      if faces:
        parts.append(model.embed(faces, batch_size=batch_size))
      progress.advance(len(group), len(faces))
  names = parts[0] if parts else ()
  features = {name: np.concatenate([p[name] for p in parts]) for name in names}
  labels = {
    "paths": np.array(kept, np.str_),
    "crop": np.array(kinds, np.str_),
  }
  return labels | features, skipped


def _read(folder, path, cut):
  file = os.path.join(folder, path)
  return cut(decode.decode(images.read_file(file), file))


def save(path: str, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays to one .npz file, whole or not at all."""
  with open(path + ".tmp", "wb") as file:
    np.savez(file, **arrays)
  os.replace(path + ".tmp", path)


if __name__ == "__main__":
  sys.exit(cli.run(main))
