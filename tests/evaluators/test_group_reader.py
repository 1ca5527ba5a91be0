"""What a reader measures, of a model whose features hold the labels."""

import types

import numpy as np
import pytest

from facerep_jax.evaluators import group_reader

PEOPLE, FRAMES = 12, 10
ROWS = 2 * PEOPLE * FRAMES


def faces(seed):
  rng = np.random.default_rng(seed)
  person, track, _ = np.indices((PEOPLE, 2, FRAMES)).reshape(3, -1)
  labels = {
    f"{name}_rad": rng.uniform(-1, 1, ROWS) for name in ("yaw", "pitch", "roll")
  }
  labels["landmarks_px"] = rng.uniform(2, 30, (ROWS, 68, 2))
  labels["action_units"] = rng.random((ROWS, 20))
  labels["action_units"][:, 3] = 0  # As one that is never shown.
  pixels = np.full((ROWS, 32, 32, 3), 100, np.uint8)
  pixels[:, 0, 0, 0] = np.arange(ROWS)
  return group_reader.Frames(pixels, labels, person, track)


class Model:
  """Returns labels of the frames as features; reconstructs them 10 lighter."""

  size_px = 32

  def __init__(self, frames, noise=0.0, faces=None):
    self.frames, self.noise = frames, noise
    self.system = types.SimpleNamespace(faces=faces)

  def embed(self, pixels):
    rows = pixels[:, 0, 0, 0].astype(int)
    labels = self.frames.labels
    known = [labels[f"{x}_rad"][rows, None] for x in ("yaw", "pitch", "roll")]
    known.append(labels["landmarks_px"][rows].reshape(len(rows), -1))
    known.append(labels["action_units"][rows])
    values = np.concatenate(known, axis=1)
    rng = np.random.default_rng(0)
    values = values + self.noise * values.std(0) * rng.standard_normal(
      values.shape
    )
    who = np.eye(PEOPLE)[self.frames.person[rows]]
    return {"embedding": values, "spatial": values, "verification": who}

  def square(self):
    return 0.0, 0.0, 1.0

  def crop(self, image):
    return image

  def reconstruct(self, pixels):
    return (pixels.astype(np.float64) + 10) / 255


def means(found):
  people = len(found.person)
  value = found.statistic
  return value(np.ones(people)) if callable(value) else value.mean()


def test_a_model_that_knows_all_makes_no_error():
  frames = faces(0)
  reader = group_reader.Reader(Model(frames), frames)
  found = {k: means(v) for k, v in reader.measure(frames).items()}
  assert set(found) == {
    "yaw, deg",
    "inner landmarks, % of their box",
    "action units, r",
    "verification, ROC area, %",
  }
  assert found["yaw, deg"] < 0.5
  assert found["inner landmarks, % of their box"] < 0.5
  assert found["action units, r"] > 0.999
  assert found["verification, ROC area, %"] == 100


def test_noise_costs_accuracy_and_the_outline_does_not_count():
  frames, other = faces(0), faces(0)
  reader = group_reader.Reader(Model(frames), frames)
  plain = {k: means(v) for k, v in reader.measure(frames).items()}
  other.labels["landmarks_px"][:, :17] += 9
  moved = {k: means(v) for k, v in reader.measure(other).items()}
  name = "inner landmarks, % of their box"
  assert moved[name] == pytest.approx(plain[name])
  noisy = group_reader.Reader(Model(frames, noise=1.0), frames)
  worse = {k: means(v) for k, v in noisy.measure(frames).items()}
  assert worse["action units, r"] < plain["action units, r"]
  assert worse["yaw, deg"] > plain["yaw, deg"]


def test_reconstructions_are_compared_between_the_landmarks():
  pytest.importorskip("cv2")
  frames = faces(1)
  reader = group_reader.Reader(Model(frames, faces=object()), frames)
  found = reader.measure(frames)
  assert means(found["L1"]) == pytest.approx(10)
  assert means(found["lighter"]) == pytest.approx(10)
  assert "L1" not in reader.measure(frames, with_pictures=False)


def test_hull_covers_what_lies_between_points():
  pytest.importorskip("cv2")
  mask = group_reader.hull(np.array([[2, 2], [6, 2], [6, 5], [2, 5.0]]), 10)
  expected = np.zeros((10, 10), bool)
  expected[2:6, 2:7] = True
  np.testing.assert_array_equal(mask, expected)
