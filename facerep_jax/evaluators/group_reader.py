"""What a model reads off faces, as statistics that groups are compared by."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import (
  action_units,
  base,
  feature_roles,
  groups,
  landmarks,
  linear_probe,
  pose,
  statistics,
  viewpoint,
)
from facerep_jax.inference import api

# Without the outline, which hair and what is worn over it move.
_INNER = slice(17, 68)
_AXES = (1, 0, 2)  # Turns about y, x, z are yaw, pitch, roll.


class Measure(NamedTuple):
  """A statistic and whose rows it is about.

  Attributes:
    statistic: [N] values, or a function of weights [N].
    person: [N].
    spec: How a value is formatted.
  """

  statistic: base.Statistic
  person: np.ndarray
  spec: str = ".1f"


class Frames(NamedTuple):
  """Frames with labels.

  Attributes:
    pixels: [N, H, W, 3] uint8, square, as `make_tracks` cuts them.
    labels: `yaw_rad`, `pitch_rad`, `roll_rad`, `landmarks_px` and
      `action_units`, [N, ...].
    person: [N].
    track: [N], number of the person's recording; 0 and 1 are paired.
  """

  pixels: np.ndarray
  labels: Mapping[str, np.ndarray]
  person: np.ndarray
  track: np.ndarray


class Reader:
  """A model with linear probes of pose, landmarks and action units."""

  def __init__(self, model: api.Representation, train: Frames):
    """Fits the linear probes.

    Args:
      model: The model.
      train: People who are not measured.

    Raises:
      InputError: There are too few people, or labels do not fit.
    """
    self._model = model
    found = self._features(train.pixels)
    self._roles = feature_roles.main(found)
    labels = self._labels(train)
    part = lambda task: base.Part(
      found[self._roles[task]], labels, train.person
    )
    self._pose = pose.fit(part("pose"))
    self._points = landmarks.fit(part("landmarks"))
    self._units = action_units.fit(part("action_units"))
    self._lines = None
    if "view" in found:
      self._lines = viewpoint.fit(found["view"][:, _AXES], _angles(labels))

  def measure(
    self, frames: Frames, *, with_pictures: bool = True
  ) -> dict[str, Measure]:
    """Reads frames of people that the linear probes do not know.

    Args:
      frames: With tracks 0 and 1 of each person.
      with_pictures: Whether to measure reconstructions, too.

    Returns:
      By name, with its unit: `yaw, deg` and `inner landmarks, % of their box`
      (without the outline of the face), mean errors; `action units, r`;
      `verification, ROC area, %` over recordings; of models with a view `own
      view, yaw, deg`; and of those that reconstruct, in grey levels of 255
      between the 68 landmarks, `L1` and `lighter`, the mean of reconstruction
      less picture.

    Raises:
      InputError: A label does not fit.
    """
    found, labels = self._features(frames.pixels), self._labels(frames)
    person = frames.person
    of = lambda task: found[self._roles[task]]
    yaw = self._pose.outputs(of("pose"))[:, 0] - labels["yaw_rad"]
    out = {
      "yaw, deg": Measure(np.degrees(np.abs(yaw)), person, ".2f"),
      "inner landmarks, % of their box": Measure(
        _point_error(self._points, of("landmarks"), labels), person, ".2f"
      ),
      "action units, r": Measure(
        _mean_r(self._units, of("action_units"), labels), person, ".3f"
      ),
      "verification, ROC area, %": _verification(
        found[self._roles.get("verification", "embedding")], frames
      ),
    }
    if self._lines is not None:
      view = found["view"][:, 1]
      own = self._lines.slope[0] * view + self._lines.offset[0]
      error = np.degrees(np.abs(own - labels["yaw_rad"]))
      out["own view, yaw, deg"] = Measure(error, person, ".2f")
    if with_pictures and self._model.system.faces is not None:
      out |= self._reconstruction(frames.pixels, labels, person)
    return out

  def _features(self, pixels):
    return feature_roles.with_joined(self._model.embed(pixels))

  def _labels(self, frames):
    """Adds the landmarks in [-1, 1] of what the model sees."""
    left, top, side = self._model.square()
    unit = (frames.labels["landmarks_px"] + 0.5) / frames.pixels.shape[1]
    points = 2 * (unit - [left, top]) / side - 1
    return dict(frames.labels) | {"landmarks_ndc": points}

  def _reconstruction(self, pixels, labels, person):
    seen = np.stack([self._model.crop(x) for x in pixels]).astype(np.float64)
    built = 255.0 * self._model.reconstruct(pixels)
    side = self._model.size_px
    points = (labels["landmarks_ndc"] + 1) / 2 * side - 0.5
    masks = [hull(x, side) for x in points]
    differ = [
      (b - s)[mask] for b, s, mask in zip(built, seen, masks, strict=True)
    ]
    l1 = np.array([np.abs(x).mean() for x in differ])
    lighter = np.array([x.mean() for x in differ])
    return {"L1": Measure(l1, person), "lighter": Measure(lighter, person)}


def hull(points_px: np.ndarray, side: int) -> np.ndarray:
  """Finds the pixels between points.

  Args:
    points_px: [P, 2] float, x and y; the centre of the first pixel is (0, 0).
    side: Of the picture.

  Returns:
    [side, side] bool, what their convex hull covers.
  """
  cv2 = errors.require("cv2", "video", "the mask of faces")
  mask = np.zeros((side, side), np.uint8)
  outline = cv2.convexHull(np.round(points_px).astype(np.int32))
  cv2.fillConvexPoly(mask, outline, 1)
  return mask.astype(bool)


def _angles(labels):
  return np.stack([labels[f"{x}_rad"] for x in pose.ANGLES], axis=1)


def _point_error(probe: linear_probe.LinearProbe, features, labels):
  """Returns the mean error over the root of the area of the points' box."""
  true = labels["landmarks_ndc"]
  error = probe.outputs(features).reshape(true.shape) - true
  error, true = error[:, _INNER], true[:, _INNER]
  box = np.sqrt(np.prod(np.ptp(true, axis=1), axis=1))
  return 100 * np.linalg.norm(error, axis=2).mean(axis=1) / box


def _mean_r(probe, features, labels):
  """Prepares the mean of Pearson's r over the units that vary."""
  true = labels["action_units"].astype(np.float64)
  by_unit = statistics.pearson(probe.outputs(features), true)

  def statistic(weights):
    found = by_unit(weights)
    return float(np.nanmean(found)) if not np.isnan(found).all() else np.nan

  return statistic


def _verification(values, frames):
  """Pairs each person's two recordings, each the mean of its frames."""
  people = np.unique(frames.person)
  means = [
    np.stack(
      [
        values[(frames.person == who) & (frames.track == track)].mean(axis=0)
        for who in people
      ]
    )
    for track in (0, 1)
  ]
  area = groups.verification_area(*means)
  return Measure(lambda weights: 100 * area(weights), people)
