"""Small labelled images whose labels show: blobs that move, in colours."""

import json
import pathlib

import numpy as np
import pytest

from facerep_jax.data.labelled import base
from facerep_jax.evaluators import base as evaluators
from facerep_jax.evaluators import bootstrap, linear_probe, studies
from facerep_jax.files import images
from facerep_jax.synthetic import actions
from facerep_jax.tracks import index, schema, tfrecord

SIZE_PX = 40
CLASSES = tuple(actions.EXPRESSIONS)
PEOPLE = {
  "train": range(0, 8),
  "validation": range(8, 10),
  "test": range(10, 14),
}


class Networks(studies.Networks):
  """Networks of which the run stands for random weights, too."""

  untrained = property(lambda self: self.run)


def hurry(patch: pytest.MonkeyPatch, *strengths: float) -> None:
  """Tries these strengths of logistic regressions alone, and draws less."""
  patch.setattr(linear_probe, "_LOGISTIC_STRENGTHS", strengths)
  for function in (bootstrap.interval, bootstrap.drawn):
    num, *others = function.__defaults__
    assert num == 1000
    patch.setattr(function, "__defaults__", (30, *others))


def assert_no_interval(found: evaluators.Measured) -> None:
  """Checks scores of one person's images: many images make no interval."""
  for name, score in found.scores.items():
    assert not np.isnan(score.value), name
    assert np.isnan(score.low) and np.isnan(score.high), name


def frames(
  person: int, count: int, seed: int = 0
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
  """Draws images of one person, [S, S, 3] uint8, and all labels of tracks."""
  rng = np.random.default_rng((seed, person))
  yaw, pitch, roll = rng.uniform(-1, 1, (3, count)).astype(np.float32)
  expression = (np.arange(count) + person) % 4  # Some classes never occur.
  angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
  ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
  y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
  colour = rng.uniform(40, 120, 3)
  drawn, points = [], []
  for i in range(count):
    middle = np.array([20 + 6 * yaw[i], 17 + 4 * pitch[i]])
    points.append(middle + 6 * ring)
    blob = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / 18)
    pixels = colour + 120 * blob[..., None]
    pixels[30:] += 12 * expression[i] - 40  # Below: the expression.
    drawn.append(np.clip(pixels, 0, 255).astype(np.uint8))
  units = rng.uniform(0, 1, (count, 20))
  return drawn, {
    "identity": np.full(count, person),
    "yaw_rad": yaw,
    "pitch_rad": pitch,
    "roll_rad": roll,
    "landmarks_px": np.array(points, np.float32),
    "landmarks_visible": np.ones((count, 68), int),
    "expression": expression,
    "expression_intensity": np.ones(count),
    "action_units": units.astype(np.float32),
    "action_units_sided": np.stack([units, units], 1).astype(np.float32),
    "light": rng.uniform(-1, 1, (count, 4)).astype(np.float32),
  }


def labelled(
  people=range(8), count: int = 8, split: str = "train", **changes
) -> base.Labelled:
  """Makes a set of `count` images of each person, in memory."""
  drawn, columns = zip(*(frames(person, count) for person in people))
  pixels = [image for one in drawn for image in one]
  settings = {
    "name": "made up",
    "split": split,
    "names": tuple(f"p{p:02d}-{i}" for p in people for i in range(count)),
    "labels": {
      name: np.concatenate([one[name] for one in columns])
      for name in columns[0]
    },
    "group": np.repeat([f"p{p:02d}" for p in people], count),
    "classes": {"expression": CLASSES},
    "cut": "track",
    "read": pixels.__getitem__,
  }
  return base.Labelled(**settings | changes)


def write_tracks(folder: pathlib.Path) -> str:
  """Writes tracks, two of each person, with all labels; returns the folder."""
  folder.mkdir(parents=True)
  for split, people in PEOPLE.items():
    path = folder / f"tracks-{split}.tfrecord-00000-of-00001"
    with tfrecord.Writer(path) as writer:
      for person in people:
        for track in range(2):
          drawn, labels = frames(person, 6, seed=track)
          encoded = [images.encode_jpeg(image, 95) for image in drawn]
          writer.write(
            schema.serialize(
              schema.Track(
                *(f"p{person:02d}", "v0", f"{track:05d}", 0),
                *(encoded, np.arange(6), labels),
              )
            )
          )
    index.write(path)
  (folder / "manifest.json").write_text(json.dumps({"format": 1}))
  return str(folder)
