"""Ready linear probes: expression, action units, landmarks and pose."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.inference import probe_file

SUFFIX = ".probes.npz"
EXPRESSION, UNITS = "expression", "action_units_sided"
LANDMARKS, POSE, DISTANCE = "landmarks", "pose", "distance"
TASKS = (EXPRESSION, UNITS, LANDMARKS, POSE)  # Those that all files have.
SIDES, ANGLES = ("left", "right"), ("yaw", "pitch", "roll")
NUM_POINTS = 68
_KEY = "ready"
_FIT = "Fit them: python -m facerep_jax.fit_probes"


@dataclasses.dataclass(frozen=True)
class Probes:
  """Linear probes of one model, for all of `TASKS` and maybe `DISTANCE`.

  The latter whitens a feature: its outputs have mean 0 and variance 1 over the
  faces that it was fitted to.

  Attributes:
    name: Of their file.
    fitted: By task.
    features: Name of the model's feature that each is applied to, by task.
    joined: Names of the features that one is joined of, by its name.
    classes: Of expression.
    units: FACS numbers of the action units.
    about: What the file says of the weights and data they were fitted to.
  """

  name: str
  fitted: dict[str, probe_file.LinearProbe]
  features: dict[str, str]
  joined: dict[str, tuple[str, ...]]
  classes: tuple[str, ...]
  units: tuple[int, ...]
  about: dict[str, Any]

  def outputs(
    self, features: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """Reads features out.

    Args:
      features: Those of the model, [N, D] float by name.

    Returns:
      All float32: `expression` [N, classes], probabilities; `action_units` [N,
      2, units], intensities of the person's left and right side, cut to [0,
      1]; `landmarks_ndc` [N, 68, 2], x and y in [-1, 1] of what the model's
      crop shows; `pose_deg` [N, 3]: yaw, positive for the nose to the image's
      left, pitch, positive for down, roll, positive for the top of the head to
      the image's right. Where there is a linear probe for it, `distance` [N],
      how far the face is from those that the linear probes were fitted to: the
      root of the mean square of whitened numbers, about 1 for faces like them,
      more for others.

    Raises:
      InputError: A feature is missing or has another width.
    """
    raw = {
      task: probe.outputs(self._feature(features, task)).astype(np.float32)
      for task, probe in self.fitted.items()
    }
    count = len(raw[POSE])
    units = np.clip(raw[UNITS], 0, 1)
    out = {
      "expression": probe_file.probabilities(raw[EXPRESSION]),
      "action_units": units.reshape(count, len(SIDES), len(self.units)),
      "landmarks_ndc": raw[LANDMARKS].reshape(count, NUM_POINTS, 2),
      "pose_deg": np.degrees(raw[POSE]),
    }
    if DISTANCE in raw:
      out["distance"] = np.sqrt(np.mean(raw[DISTANCE] ** 2, axis=1))
    return out

  def _feature(self, features, task):
    name = self.features[task]
    members = self.joined.get(name, (name,))
    for member in members:
      if member not in features:
        raise errors.InputError(
          f"{self.name}: needs the feature {member!r}, but this model has "
          f"{', '.join(features)}. {_FIT}"
        )
    return np.concatenate([features[member] for member in members], axis=1)


def about(
  units: tuple[int, ...],
  joined: Mapping[str, tuple[str, ...]],
  fingerprint: str,
  text: str,
) -> dict[str, Any]:
  """Returns what a file of ready linear probes says beside its classes.

  Args:
    units: FACS numbers of the action units.
    joined: Names of the features that one is joined of, by its name.
    fingerprint: Of the weights; "" where it is unknown.
    text: What data they were fitted to, for people.
  """
  return {
    _KEY: {
      "units": list(units),
      "joined": {name: list(members) for name, members in joined.items()},
      "fingerprint": fingerprint,
      "data": text,
    }
  }


def load(path: str | os.PathLike, fingerprint: str = "") -> Probes:
  """Reads what `facerep_jax.fit_probes` wrote.

  Args:
    path: Of the file.
    fingerprint: Of the weights they shall be applied to; "" where unknown.

  Returns:
    The linear probes.

  Raises:
    InputError: The file is missing or another one, or the linear probes were
      fitted to other weights.
  """
  fitted, meta = probe_file.load(path)
  told = meta.get(_KEY) if isinstance(meta, dict) else None
  try:
    names = {task: (name, feature) for task, name, feature in _tasks(fitted)}
    tasks = [*TASKS, *([DISTANCE] if DISTANCE in names else ())]
    probes = Probes(
      name=os.fspath(path),
      fitted={task: fitted[names[task][0]] for task in tasks},
      features={task: names[task][1] for task in tasks},
      joined={k: tuple(v) for k, v in told["joined"].items()},
      classes=tuple(meta["classes"][names[EXPRESSION][0]]),
      units=tuple(told["units"]),
      about=told,
    )
    _check(probes)
  except (KeyError, TypeError, AttributeError, ValueError) as error:
    raise errors.InputError(
      f"{path}: expected ready linear probes of {', '.join(TASKS)}, got "
      f"others. {_FIT}"
    ) from error
  known = told.get("fingerprint", "")
  if fingerprint and known and known != fingerprint:
    raise errors.InputError(
      f"{path}: these linear probes were fitted to other weights. {_FIT}"
    )
  return probes


def _tasks(fitted):
  """Yields task, name and feature of each linear probe."""
  for name in fitted:
    _, task, feature = probe_file.apart(name)
    yield task, name, feature.partition(": ")[2] or feature


def _check(probes):
  """Raises ValueError where widths are not those of the tasks."""
  widths = {
    EXPRESSION: len(probes.classes),
    UNITS: len(SIDES) * len(probes.units),
    LANDMARKS: 2 * NUM_POINTS,
    POSE: len(ANGLES),
  }
  for task, width in widths.items():
    if len(probes.fitted[task].offset) != width:
      raise ValueError(task)


def beside(weights: pathlib.Path, fingerprint: str = "") -> Probes:
  """Reads the linear probes that lie beside a file of weights.

  Args:
    weights: NAME.safetensors; they are in NAME.probes.npz.
    fingerprint: Of the weights.

  Returns:
    The linear probes.

  Raises:
    InputError: There are none, or as `load`.
  """
  path = weights.with_suffix(SUFFIX)
  if not path.is_file():
    raise errors.InputError(
      f"{weights}: no linear probes lie beside it (looked for {path.name}). "
      f"{_FIT} --model={weights} --output={path}"
    )
  return load(path, fingerprint)


def to_pixels(ndc: np.ndarray, places: np.ndarray) -> np.ndarray:
  """Moves points from crops to the pictures that the crops are of.

  Args:
    ndc: [N, P, 2] float, x and y in [-1, 1] of each crop.
    places: [N, 3] float: left, top and side of each crop, px of its picture,
      from border to border.

  Returns:
    [N, P, 2] float32, px of the picture; the centre of its top left pixel is
    (0, 0).
  """
  places = np.asarray(places, np.float64)
  corner, side = places[:, None, :2], places[:, None, 2:]
  # The centre of the first pixel is at 0, its edge at -0.5.
  return ((ndc + 1) / 2 * side + corner - 0.5).astype(np.float32)
