"""Labeled Faces in the Wild and its kin: folders of people, lists of pairs."""

import os
import re

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base, files, pair_lists
from facerep_jax.detection import crop

# LFW's own images are the boxes of a face detector x 2.2, resized to 250 px.
_OWN_SIDE_PX = 250
_OWN_SCALE = 2.2
_FOLDERS = ("images", "aligned images", "")
_NUMBER = re.compile(r"_\d+$")


def load(path: str, *, cut: str = "track") -> base.Pairs:
  """Opens the images and a list of pairs.

  Images of 250 x 250 px, LFW's own size, show 2.2 times the box of a face
  detector: with cut "track" they are cut to 182 px, 1.6 times that box, as
  `crop.square_box` places it. Images of other sizes are left as they are, and
  so are all with another cut.

  Args:
    path: DIR, with the list in DIR/pairs.txt; or DIR:LIST, with the list at
      DIR/LIST. Images lie in DIR/images, "DIR/aligned images" or DIR, as the
      list names them: for LFW, NAME/NAME_0001.jpg. `pair_lists.parse` says
      what lists are read.
    cut: As for `Labelled`.

  Returns:
    The pairs; each image once, with its person as group.

  Raises:
    InputError: The folder, the list or an image of it is missing, or the list
      is not in a known format.
  """
  has_list = ":" in path and not os.path.isdir(path)
  folder, name = path.rsplit(":", 1) if has_list else (path, "")
  files.require_folder(folder, "NAME/NAME_0001.jpg and pairs.txt")
  name = name or "pairs.txt"
  list_path = os.path.join(folder, name)
  if not os.path.isfile(list_path):
    raise errors.InputError(
      f"{list_path}: there is no such list of pairs; expected DIR/pairs.txt, "
      "or lfw:DIR:LIST."
    )
  pairs = pair_lists.parse(list_path)
  numbers, paths = {}, []
  for pair in pairs:
    for image in (pair.left, pair.right):
      if image not in numbers:
        numbers[image] = len(paths)
        paths.append(_find(folder, image, f"{list_path}, line {pair.line}"))
  names = tuple(numbers)
  images = base.Labelled(
    name=os.path.splitext(os.path.basename(name))[0]
    if name != "pairs.txt"
    else "lfw",
    split="all",
    names=names,
    labels={},
    group=np.array([_person(x) for x in names]),
    classes={},
    cut=cut,
    read=lambda i: _read(paths[i], cut),
  )
  return base.Pairs(
    images=images,
    left=np.array([numbers[pair.left] for pair in pairs]),
    right=np.array([numbers[pair.right] for pair in pairs]),
    same=np.array([pair.is_same for pair in pairs]),
    fold=np.array([pair.fold for pair in pairs]),
  )


def _find(folder, image, where):
  folders = [os.path.join(folder, below) for below in _FOLDERS]
  paths = [os.path.join(x, image) for x in folders if os.path.isdir(x)]
  found = [path for path in paths if os.path.isfile(path)]
  return files.require_file((found or paths)[0], where)


def _person(image):
  """Names the person: the folder, or the file's name without its number."""
  person = os.path.dirname(image)
  stem = os.path.splitext(os.path.basename(image))[0]
  return person or _NUMBER.sub("", stem)


def _read(path, cut):
  image = files.read_image(path)
  if cut != "track" or image.shape[:2] != (_OWN_SIDE_PX, _OWN_SIDE_PX):
    return image
  side = round(_OWN_SIDE_PX / _OWN_SCALE * crop.SCALE)
  left = (_OWN_SIDE_PX - side) // 2
  top = round(_OWN_SIDE_PX / 2 - crop.MIDDLE_Y * side)
  return image[top : top + side, left : left + side]
