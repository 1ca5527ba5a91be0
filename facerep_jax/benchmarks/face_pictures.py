"""Pictures of faces whose place is known, to measure detectors on."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base, landmark_crop, open_set
from facerep_jax.synthetic import albedo, background, generator, recording

_SIZE_PX = 160  # Of synthetic frames.
_YAW_DEG = (0, 15, 30, 45, 60)
_TONES = ("pale", "medium", "dark")
_DARK = 0.06  # Share of the light that is left.
_DARK_NOISE = 2.0  # Grey levels.
_COVER_Y = 0.5  # Share of the frame below which the face is covered.
_COVER = (90, 110, 150)  # A blue mask, RGB.
_ROLL_DEG = 60


class Pictures(NamedTuple):
  """Pictures of known faces.

  Attributes:
    name: Of the set.
    images: Each uint8 [H, W, 3] RGB.
    targets: The box of each face, [4] x0, y0, x1, y1 in px; None where the
      picture has none.
  """

  name: str
  images: Sequence[np.ndarray]
  targets: Sequence[np.ndarray | None]


def synthetic(num_people: int, seed: int = 0) -> list[Pictures]:
  """Draws people: by yaw, by skin tone, and what makes faces hard to find.

  Args:
    num_people: Four frames of each, one half with built-in heads, one with
      ICT's.
    seed: Of the people.

  Returns:
    The sets; the last one shows backgrounds alone.
  """
  images, targets, yaws, tones = [], [], [], []
  for number in range(num_people):
    settings = generator.Settings(
      seed=seed,
      num_people=num_people,
      num_frames=4,
      size_px=_SIZE_PX,
      heads=("", "ict")[number % 2],
    )
    track = generator.draw_track(settings, number, 0)
    images += list(track.frames)
    targets += [landmark_crop.face_box(x) for x in track.labels["landmarks_px"]]
    yaws += np.abs(np.degrees(track.labels["yaw_rad"])).tolist()
    skin = albedo.skin_colour(recording.set_up(settings, number, 0).look)
    tones += [float(skin @ [0.3, 0.59, 0.11])] * settings.num_frames
  every = Pictures("all", images, targets)
  sets = [
    _take(every, f"yaw {low} to {high}", np.array(yaws) >= low, yaws, high)
    for low, high in itertools.pairwise(_YAW_DEG)
  ]
  limits = np.quantile(tones, [2 / 3, 1 / 3, 0])
  above = np.inf
  for name, limit in zip(_TONES, limits):
    is_of = np.array(tones) >= limit
    sets.append(_take(every, f"{name} skin", is_of, tones, above))
    above = limit
  return [*sets, *harder(every), _empty(num_people, seed)]


def _take(pictures, name, is_of, values, below):
  kept = np.flatnonzero(is_of & (np.array(values) < below)).tolist()
  columns = ([x[i] for i in kept] for x in pictures[1:])
  return Pictures(name, *columns)


def harder(pictures: Pictures) -> list[Pictures]:
  """Makes pictures very dark, covers half of each face, and rolls them.

  Args:
    pictures: Square ones with the face in the middle.

  Returns:
    Three sets. Targets are kept.
  """
  rng = np.random.default_rng(0)
  makers = {
    "very dark": lambda image: _darken(image, rng),
    "lower half covered": _cover,
    f"rolled by {_ROLL_DEG}": _roll,
  }
  return [
    Pictures(
      f"{pictures.name}, {name}",
      [make(image) for image in pictures.images],
      pictures.targets,
    )
    for name, make in makers.items()
  ]


def _darken(image, rng):
  dark = _DARK * image + rng.normal(0, _DARK_NOISE, image.shape)
  return np.clip(dark, 0, 255).astype(np.uint8)


def _cover(image):
  out = image.copy()
  out[round(_COVER_Y * len(image)) :] = _COVER
  return out


def _roll(image):
  cv2 = errors.require("cv2", "video", "finding faces")
  height, width = image.shape[:2]
  turn = cv2.getRotationMatrix2D((width / 2, height / 2), _ROLL_DEG, 1)
  return cv2.warpAffine(
    image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE
  )


def _empty(num, seed):
  """Returns pictures without a face."""
  rng = np.random.default_rng([seed, 1])
  drawn = [background.draw(rng, 2 * _SIZE_PX) for _ in range(4 * num)]
  images = [(255 * x ** (1 / 2.2)).astype(np.uint8) for x in drawn]
  return Pictures("no face", images, [None] * len(images))


def labelled(text: str, most: int) -> list[Pictures]:
  """Opens a labelled set; without landmarks, faces count as in the middle.

  Args:
    text: As `open_set.open_data` takes it.
    most: Pictures that are used, spread over the set.

  Returns:
    The set; of one without landmarks, whose pictures must be square, the
    harder ones, too.
  """
  opened = open_set.open_data(text)
  is_pairs = isinstance(opened, base.Pairs)
  parts = [opened.images] if is_pairs else list(opened.values())
  places = [(part, i) for part in parts for i in range(len(part))]
  kept = np.linspace(0, len(places) - 1, min(most, len(places))).round()
  images, targets = [], []
  for part, i in (places[int(x)] for x in kept):
    images.append(part.read(i))
    points = part.labels.get("landmarks_px")
    if points is None:
      targets.append(_middle(images[-1]))
    else:
      targets.append(landmark_crop.face_box(points[i]))
  every = Pictures(parts[0].name, images, targets)
  has_points = "landmarks_px" in parts[0].labels
  return [every] if has_points else [every, *harder(every)]


def _middle(image):
  """Returns the square in the middle, half as long as the shorter side."""
  middle = np.array(image.shape[1::-1]) / 2
  half = min(image.shape[:2]) / 4
  return np.concatenate([middle - half, middle + half])
