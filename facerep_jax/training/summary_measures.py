"""What a first look measures of features and of faces."""

import math
from typing import Any

import numpy as np

from facerep_jax.evaluators import (
  bootstrap,
  feature_roles,
  linear_probe,
  nearest,
  statistics,
  viewpoint,
)
from facerep_jax.faces import editing
from facerep_jax.inference import api
from facerep_jax.training import summary_frames

_MAX_FACES = 20
Features = dict[str, np.ndarray]
Recordings = dict[
  str, tuple[summary_frames.Recording, summary_frames.Recording]
]


def numbers(name: str, found: bootstrap.Interval) -> dict[str, float | None]:
  """Names a number and the ends of its interval: `r2`, `r2_low`, `r2_high`.

  Args:
    name: Of the number.
    found: The number.

  Returns:
    By name; None where there is none. Can be written as JSON.
  """
  keys = name, f"{name}_low", f"{name}_high"
  return {
    key: float(value) if math.isfinite(value) else None
    for key, value in zip(keys, found)
  }


def of_pose(found: Features) -> Features:
  """Picks the features that pose is read out of.

  Args:
    found: Features by name, joined ones too.

  Returns:
    The one that is about it, or else all that are not joined.
  """
  main = feature_roles.main(found).get("pose")
  if main:
    return {main: found[main]}
  joined = feature_roles.joined(found)
  return {k: x for k, x in found.items() if k not in joined}


def yaw_probe(
  features: dict[str, Features], read: dict[str, summary_frames.Frames]
) -> dict[str, Any]:
  """Reads yaw out of some features together by ridge regression.

  Args:
    features: [N, D] by name, of the frames of `train`, to fit the linear probe,
      and of `test`, to measure it.
    read: These frames, of other people each; all have a yaw.

  Returns:
    `r2` and the ends of its interval over people, `mae_deg` and `num_frames` of
    the test; `features`, the names of those that were used.
  """
  inputs, yaw = {}, {}
  for split, found in features.items():
    inputs[split] = np.concatenate(list(found.values()), axis=1)
    yaw[split] = np.degrees(read[split].yaw_rad)[:, None]
  train, test = read["train"].person, read["test"].person
  found = linear_probe.ridge(inputs["train"], yaw["train"], train)
  predicted, true = found.outputs(inputs["test"]), yaw["test"]
  r2 = bootstrap.interval(statistics.r2(predicted, true), test)
  return numbers("r2", r2) | {
    "mae_deg": float(np.mean(np.abs(predicted - true))),
    "num_frames": len(true),
    "features": list(features["train"]),
  }


def viewpoint_of(
  predicted: np.ndarray, true: np.ndarray, person: np.ndarray
) -> dict[str, Any]:
  """Holds the yaw that a system found itself against the labels.

  Args:
    predicted: [N] float, in the unit of `true`.
    true: [N] float.
    person: [N] str.

  Returns:
    `r`, the absolute value of Pearson's r, and `slope`, the absolute slope of
    the predicted yaw over the true one, with the ends of their intervals over
    people; `num_frames`.
  """
  out = {"num_frames": len(true)}
  for name, prepare in (("r", statistics.pearson), ("slope", statistics.slope)):
    statistic = viewpoint.absolute(prepare, predicted, true)
    out |= numbers(name, bootstrap.interval(statistic, person))
  return out


def identity_feature(found: Features) -> str:
  """Returns the name of the feature that should tell people apart.

  Args:
    found: Features by name, joined ones too.

  Returns:
    `identity` where there is one, else the first that is joined of others, else
    the first.
  """
  joined = feature_roles.joined(found)
  return "identity" if "identity" in found else next(iter(joined or found))


def identification(
  model: api.Representation, train: Features, read: Recordings
) -> dict[str, Any]:
  """Recognises people of one recording by another.

  Each frame of a recording is compared with the mean feature of the other
  recording of every person: by the cosine, less the mean of training frames.
  Each of a person's two recordings is the one in turn.

  Args:
    model: What makes the features.
    train: Its features [N, D] of training frames, by name.
    read: Two recordings of each of two people or more.

  Returns:
    `rank1_percent`, how many frames are nearest to their own person, with the
    ends of its interval over people; `chance_percent`, `num_people`,
    `num_frames`, and `feature`, the name of the one that was used.
  """
  both = [side for sides in read.values() for side in sides]
  sizes = [len(side.images) for side in both]
  found = model.embed([image for side in both for image in side.images])
  found, train = (feature_roles.with_joined(x) for x in (found, train))
  name = identity_feature(found)
  x = found[name].astype(np.float64) - train[name].mean(0, np.float64)
  person, side = np.divmod(np.repeat(np.arange(len(both)), sizes), 2)
  is_right = np.zeros(len(x))
  for one in (0, 1):
    rows = side == one
    others = [
      x[~rows & (person == number)].mean(axis=0) for number in range(len(read))
    ]
    distance = nearest.cosine_distances(x[rows], np.stack(others))
    is_right[rows] = nearest.is_right(distance, person[rows])
  share = bootstrap.interval(100 * is_right, person)
  return numbers("rank1_percent", share) | {
    "chance_percent": 100 / len(read),
    "num_people": len(read),
    "num_frames": len(x),
    "feature": name,
  }


def people(model: api.Representation, read: Recordings) -> dict[str, Any]:
  """Counts the people whom one would know by their rebuilt faces.

  Of each of two recordings one frame is taken apart. Nearest is what has the
  least mean absolute difference of pixels among the pictures of all people.

  Args:
    model: A run that draws faces.
    read: Two recordings of each of two people or more; 20 of them are used.

  Returns:
    `rebuilt`: of how many people the face of the first recording, drawn from
    the front in even light, is nearest to that of the second one; `to_picture`:
    of how many it is, drawn as the frame shows it, nearest to the frame of the
    second recording itself; `of_pictures`: the same of the two frames, without
    any model; `chance` and `num_people`. What ties counts as in `nearest`.
  """
  pairs = list(read.values())[:_MAX_FACES]
  frames = [pair[side].frontal for side in (0, 1) for pair in pairs]
  codes = model.encode(frames)
  even = model.draw(
    codes, view=model.view_vector(0), light=editing.light_vector()
  )
  seen = np.stack([model.crop(x, i) for i, x in enumerate(frames)]) / 255
  count = len(pairs)
  first = {name: x[:count] for name, x in codes.items()}
  compared = {
    "rebuilt": (even[:count], even[count:]),
    "to_picture": (model.draw(first), seen[count:]),
    "of_pictures": (seen[:count], seen[count:]),
  }
  out = {"num_people": count, "chance": 1.0}
  for name, (x, y) in compared.items():
    distance = nearest.l1_distances(x, y)
    out[name] = float(nearest.is_right(distance, np.arange(count)).sum())
  return out
