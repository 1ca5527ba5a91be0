"""Synthetic face tracks with ground truth: the one entry point.

A track is a pure function of (settings, person, track): no state is shared
between tracks, so any number of workers draws the same bytes.

Labels of a frame (names and shapes in `schema.LABELS`):
  identity: the person's number.
  yaw_rad, pitch_rad, roll_rad: pose of the head against the camera's axes,
    R = Rz Ry Rx; `camera` says which way each turns.
  landmarks_px: the 68 iBUG points of the 3-D head, hidden ones included;
    the centre of the top left pixel is (0, 0).
  landmarks_visible: 1 where the point lies inside the frame and nothing hides
    it: no part of the head, no dark lens, hand or thing before the face. Rims
    and clear lenses hide nothing.
  expression: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear,
    5 disgust, 6 anger, 7 contempt; neutral while intensity is below
    `motion.EXPRESSION_FLOOR`.
  expression_intensity: strength of the track's expression, [0, 1].
  action_units: mean activation of the face's halves, `actions.UNITS`' order.
  action_units_sided: of the left half, then of the right; the person's own.
  light: unit direction from the face to the light, camera axes; ambient
    share.
  focal_px: focal length in px of the stored frame; only beside depth maps.
"""

import dataclasses

import numpy as np

from facerep_jax.synthetic import (
  depth,
  head,
  heads,
  photo,
  recording,
)
from facerep_jax.synthetic import frame as frames
from facerep_jax.synthetic.changes import Change
from facerep_jax.synthetic.recording import Settings
from facerep_jax.tracks import schema

__all__ = [
  "VERSION",
  "Change",
  "Images",
  "Settings",
  "draw_labels",
  "draw_track",
  "make_track",
]

VERSION = 6  # Raised whenever pictures or labels change.
_AS_DRAWN = Change()
_LABELS_PX = 16  # Frames that are not drawn need no size.


@dataclasses.dataclass(frozen=True)
class Images:
  """A track before JPEG.

  Attributes:
    frames: [T, H, W, 3] uint8.
    labels: Arrays [T, ...] as in `schema.LABELS`.
    quality: JPEG quality of this recording.
    depth: [T, H, W] float32, as `depth.draw` returns it; None unless asked
      for.
    mask: [T, H, W] uint8, likewise.
  """

  frames: np.ndarray
  labels: dict[str, np.ndarray]
  quality: int
  depth: np.ndarray | None = None
  mask: np.ndarray | None = None


def make_track(settings: Settings, person: int, track: int) -> schema.Track:
  """Draws and encodes a track.

  Args:
    settings: What set it is of.
    person: [0, num_people).
    track: [0, tracks_per_person).

  Returns:
    The track with JPEG frames and all labels but those of a detector; the
    same bytes for the same arguments in any process.

  Raises:
    InputError: There is no such person or track.
  """
  images = draw_track(settings, person, track)
  maps = {}
  if settings.maps:
    maps = {
      "depth_png": [depth.encode_depth(x) for x in images.depth],
      "mask_png": [depth.encode_mask(x) for x in images.mask],
    }
  return schema.Track(
    person=heads.person_name(settings.heads, settings.seed, person),
    video="v0",
    track=f"{track:05d}",
    chunk=0,
    frames=[photo.encode_jpeg(x, images.quality) for x in images.frames],
    frame_index=np.arange(len(images.frames), dtype=np.int64),
    labels=images.labels,
    maps=maps,
  )


def draw_track(
  settings: Settings,
  person: int,
  track: int,
  change: Change = _AS_DRAWN,
) -> Images:
  """Draws a track.

  Args:
    settings: What set it is of.
    person: [0, num_people).
    track: [0, tracks_per_person).
    change: What is set instead of drawn; all else stays the same.

  Returns:
    Raw frames and labels.

  Raises:
    InputError: There is no such person or track, or its head cannot be
      changed so.
  """
  made = recording.set_up(settings, person, track, change)
  skins = _skins(made)
  drawn = [frames.draw(settings, made, x, i) for i, x in enumerate(skins)]
  pictures, points, visible = (np.stack(x) for x in zip(*drawn))
  labels = _labels(made, person) | {
    "landmarks_px": points,
    "landmarks_visible": visible,
  }
  labels = {
    name: np.asarray(value, schema.LABELS[name][0])
    for name, value in labels.items()
  }
  images = Images(pictures, labels, made.sensor.quality)
  if not settings.maps:
    return images
  maps = [depth.draw(settings, made, x, i) for i, x in enumerate(skins)]
  depths, masks = (np.stack(x) for x in zip(*maps))
  focal = [frames.view(settings, made, i).focal for i in range(len(skins))]
  labels["focal_px"] = np.array(focal, np.float32) / settings.supersample
  return dataclasses.replace(images, depth=depths, mask=masks)


def draw_labels(
  settings: Settings, person: int, track: int
) -> dict[str, np.ndarray]:
  """Finds the labels of a track without drawing it, fifty times as fast.

  Args:
    settings: What set it is of.
    person: [0, num_people).
    track: [0, tracks_per_person).

  Returns:
    The labels of `draw_track` before they are rounded to their stored dtype,
    without landmarks_visible, which takes pictures.

  Raises:
    InputError: There is no such person or track.
  """
  # Texture and backdrop are made, but hardly any of them.
  small = dataclasses.replace(settings, size_px=_LABELS_PX)
  made = recording.set_up(small, person, track)
  points = []
  for i, skin in enumerate(_skins(made)):
    sight = frames.view(small, made, i)
    points.append(frames.project_landmarks(sight, made, skin, i)[0])
  scale = settings.size_px / (_LABELS_PX * settings.supersample)
  points = (np.stack(points) + 0.5) * scale - 0.5
  return _labels(made, person) | {"landmarks_px": points}


def _skins(made):
  """Returns the skin of every frame, [T, V, 3]."""
  paths = made.motion
  return head.animate(made.model, made.still, paths.left, paths.right)


def _labels(made, person):
  """Returns the labels that are known before anything is projected."""
  paths = made.motion
  return {
    "identity": np.full(len(paths.yaw_rad), person),
    "yaw_rad": paths.yaw_rad,
    "pitch_rad": paths.pitch_rad,
    "roll_rad": paths.roll_rad,
    "expression": paths.expression,
    "expression_intensity": paths.intensity,
    "action_units": (paths.left + paths.right) / 2,
    "action_units_sided": np.stack([paths.left, paths.right], axis=1),
    "light": made.light.label(),
  }
