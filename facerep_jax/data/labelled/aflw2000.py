"""AFLW2000-3D: photos with head pose and 68 points in MATLAB files.

The set's angles, found on its images and from its 3-D points: with camera axes
x right, y down, z away, a head is turned by R = Rx(-pitch) Ry(yaw) Rz(roll).
So its positive yaw turns the nose to the image's left and its positive roll
leans the top of the head to the right, as here; its positive pitch turns the
face up. This package turns by Rz(roll) Ry(yaw) Rx(pitch), with pitch down.
"""

import logging
import os

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import (
  base,
  files,
  landmark_crop,
  landmarks68,
  matlab,
)
from facerep_jax.synthetic import camera

_log = logging.getLogger(__name__)
MAX_ANGLE_DEG = 99.0
_ANGLES = ("project", "given")


def load(
  path: str, *, angles: str = "project", crop: str = "square", cut: str = ""
) -> dict[str, base.Labelled]:
  """Opens AFLW2000-3D.

  Images with an angle above 99 degrees, as the file gives it, are left out and
  counted in the log.

  Args:
    path: Folder of image*.jpg with image*.mat beside (Pose_Para: pitch, yaw,
      roll in rad; pt3d_68: x, y, z of 68 points, counted from 1).
    angles: "project" for the same rotations in this package's order and signs
      (see `synthetic.camera`); "given" for the file's numbers, pitch negated,
      as published errors are measured on them.
    crop: One of `landmark_crop.CROPS`.
    cut: As for `Labelled`; by default what the crop makes.

  Returns:
    "all". Labels: yaw_rad, pitch_rad, roll_rad, landmarks_px.

  Raises:
    InputError: A file is missing, or is not as above.

  Source: the limit of 99 degrees, the common protocol for this set.
  """
  for option, value, known in (
    ("angles", angles, _ANGLES),
    ("crop", crop, tuple(landmark_crop.CROPS)),
  ):
    if value not in known:
      raise errors.InputError(
        f"{path}: {option} is {value!r}, expected one of {', '.join(known)}."
      )
  stems, pose, points = _read_folder(path)
  planned = [
    landmarks68.plan(stem + ".mat", crop, x) for stem, x in zip(stems, points)
  ]
  yaw, pitch, roll = _signed(pose)
  if angles == "project":
    yaw, pitch, roll = reorder(yaw, pitch, roll)
  labels = {
    "yaw_rad": yaw,
    "pitch_rad": pitch,
    "roll_rad": roll,
    "landmarks_px": np.array([moved for _, moved in planned]),
  }
  labelled = base.Labelled(
    name="aflw2000",
    split="all",
    names=tuple(os.path.basename(stem) for stem in stems),
    labels={name: value.astype(np.float32) for name, value in labels.items()},
    group=None,
    classes={},
    cut=cut or landmark_crop.CROPS[crop],
    read=lambda i: landmarks68.cut_image(stems[i] + ".jpg", planned[i][0]),
  )
  return {"all": labelled}


def _read_folder(path):
  """Returns stems, [N, 3] pose and points of the images that are used."""
  stems = _stems(path)
  read = [_read_mat(stem + ".mat") for stem in stems]
  pose = np.array([angles_rad for angles_rad, _ in read])
  keep = np.flatnonzero(np.abs(pose).max(axis=1) <= np.deg2rad(MAX_ANGLE_DEG))
  _log.info(
    "%s: %d of %d images left out: an angle above %g degrees.",
    path,
    len(stems) - len(keep),
    len(stems),
    MAX_ANGLE_DEG,
  )
  return [stems[i] for i in keep], pose[keep], [read[i][1] for i in keep]


def _signed(pose):
  """Returns yaw, pitch, roll with this package's signs, in the set's order."""
  pitch, yaw, roll = pose.T
  return yaw, -pitch, roll


def reorder(
  yaw_rad: np.ndarray, pitch_rad: np.ndarray, roll_rad: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Turns angles of Rx Ry Rz into those of the same rotation as Rz Ry Rx.

  Args:
    yaw_rad: [N] float, about y.
    pitch_rad: [N] float, about x.
    roll_rad: [N] float, about z.

  Returns:
    Yaw, pitch, roll, [N] float64 each, for `camera.rotation`; of the two
    triples that there are, the one nearer to the input. Near a yaw of 90
    degrees only pitch and roll together are determined.
  """
  given = np.stack([yaw_rad, pitch_rad, roll_rad]).astype(np.float64)
  # (Rx Ry Rz)^-1 = Rz(-roll) Ry(-yaw) Rx(-pitch), a rotation of `camera`.
  turned = np.swapaxes(camera.rotation(*-given), -1, -2)
  yaw = np.arctan2(-turned[:, 2, 0], np.hypot(turned[:, 0, 0], turned[:, 1, 0]))
  pitch = np.arctan2(turned[:, 2, 1], turned[:, 2, 2])
  roll = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
  one = np.stack([yaw, pitch, roll])
  two = _wrap(np.stack([np.pi - yaw, pitch + np.pi, roll + np.pi]))
  distance = [np.abs(_wrap(x - given)).sum(axis=0) for x in (one, two)]
  yaw, pitch, roll = np.where(distance[0] <= distance[1], one, two)
  return yaw, pitch, roll


def _wrap(angle_rad):
  return (angle_rad + np.pi) % (2 * np.pi) - np.pi


def _stems(path):
  """Lists the images, each with its .mat file, without their endings."""
  files.require_folder(path, "image*.jpg and image*.mat")
  names = [x for x in os.listdir(path) if x.startswith("image")]
  kinds = {
    ending: {os.path.splitext(x)[0] for x in names if x.endswith(ending)}
    for ending in (".jpg", ".mat")
  }
  alone = sorted(kinds[".jpg"] ^ kinds[".mat"])
  if alone or not kinds[".jpg"]:
    what = f"{alone[0]} has only one of them" if alone else "there is none"
    raise errors.InputError(
      f"{path}: expected image*.jpg, each with its .mat, but {what}."
    )
  return [os.path.join(path, stem) for stem in sorted(kinds[".jpg"])]


def _read_mat(path):
  """Returns [3] pitch, yaw, roll, and [68, 2] points that count from 0."""
  held = matlab.read(path, ("Pose_Para", "pt3d_68"))
  expected = {"Pose_Para": (1, 7), "pt3d_68": (3, 68)}
  for name, shape in expected.items():
    got = held[name].shape if name in held else "nothing"
    if got != shape:
      raise errors.InputError(
        f"{path}: {name}: expected numbers {shape}, got {got}."
      )
    value = held[name]
    if not np.isfinite(value).all():
      raise errors.InputError(f"{path}: {name} holds NaN or infinity.")
  return held["Pose_Para"][0, :3], held["pt3d_68"][:2].T - 1
