"""Head pose from 68 landmarks, for sets that label no pose."""

import dataclasses
import functools

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base
from facerep_jax.synthetic import actions, camera, head, landmarks

# Points that expressions and the view's outline move least: nose, corners of
# the eyes and of the mouth.
_RIGID = (*range(27, 36), 36, 39, 42, 45, 48, 54)
# Starts of the search: an affine camera leaves two mirrored poses.
_YAWS = (-0.8, 0.0, 0.8)


@functools.cache
def _template():
  """Returns the average head's rigid points, [15, 3], about their middle."""
  model = head.built_in()
  points = landmarks.locate(
    model.chart, model.template, actions.lid_edges(np.zeros((2, 20)))
  )
  points = points[list(_RIGID)]
  return points - points.mean(axis=0)


def fit(landmarks_px: np.ndarray) -> tuple[float, float, float]:
  """Turns the average head until it looks like a face's landmarks.

  Args:
    landmarks_px: [68, 2] float, iBUG order, any image.

  Returns:
    Yaw, pitch and roll in rad, as in `camera`; of a scaled orthographic view,
    by least squares on nose, corners of the eyes and of the mouth.
  """
  optimize = errors.require("scipy.optimize", "evaluation", "--fit-pose")
  model, seen = _template(), np.asarray(landmarks_px, np.float64)[list(_RIGID)]
  seen = seen - seen.mean(axis=0)
  size = np.sqrt((seen**2).mean())

  def residuals(x):
    turned = model @ camera.rotation(*x[:3]).T[:, :2]
    return (np.exp(x[3]) * turned - seen / size).ravel()

  starts = [
    optimize.least_squares(residuals, np.array([yaw, 0, 0, 0.5]))
    for yaw in _YAWS
  ]
  best = min(starts, key=lambda result: result.cost).x[:3]
  yaw, pitch, roll = (best + np.pi) % (2 * np.pi) - np.pi
  return float(yaw), float(pitch), float(roll)


def add(labelled: base.Labelled) -> base.Labelled:
  """Adds the pose that fits the landmarks of each image.

  Args:
    labelled: A set with `landmarks_px`.

  Returns:
    The same with yaw_rad, pitch_rad and roll_rad; unchanged where it has them.

  Raises:
    InputError: It has neither pose nor 68 landmarks.
  """
  if "yaw_rad" in labelled.labels:
    return labelled
  points = labelled.labels.get("landmarks_px")
  if points is None or points.shape[1:] != (68, 2):
    raise errors.InputError(
      f"{labelled.name}: --fit-pose needs 68 landmarks, and it has "
      f"{', '.join(labelled.labels) or 'no labels'}."
    )
  angles = np.array([fit(one) for one in points])
  names = ("yaw_rad", "pitch_rad", "roll_rad")
  labels = labelled.labels | dict(zip(names, angles.T.astype(np.float32)))
  return dataclasses.replace(labelled, labels=labels)
