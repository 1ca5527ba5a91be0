import dataclasses

import numpy as np
import pytest

from facerep_jax.data.labelled import base
from facerep_jax.evaluators import probe_tasks, verification_task
from facerep_jax.inference import api
from tests.evaluators import made_up

SIZE_PX, PEOPLE = 16, 6


class Run:
  """Cuts nothing."""

  size_px = SIZE_PX

  def square(self, *, is_cropped):
    return api.Representation.square(self, is_cropped=is_cropped)

  def place(self, shape, *, is_cropped):
    return api.Representation.place(self, shape, is_cropped=is_cropped)

  def crop(self, image, number, *, is_cropped):
    assert is_cropped
    return image


class Networks:
  """Features that tell who is at the left edge, and features that do not."""

  run = Run()
  has_mirror = False
  cache = None

  def __init__(self, main="net: code"):
    self.main = {"verification": main}

  def of_run(self, pixels):
    known = np.eye(8, dtype=np.float32)[pixels[:, 0, 0, 0] // 20]
    nothing = np.ones((len(pixels), 8), np.float32)
    return [
      probe_tasks.Feature("net: code", "run", known, self.has_mirror),
      probe_tasks.Feature("random weights: code", "random", nothing),
    ]

  def of_compared(self, sources, pixels, find_face, is_mirrored=False):
    # The mirror image has the person at the other edge.
    assert is_mirrored == (pixels[0, 0, 0, 0] == 7 * 20)
    return []


@pytest.fixture
def pairs():
  """Images of six people; in each fold, six same and six other pairs."""
  rng = np.random.default_rng(0)
  person = np.repeat(np.arange(PEOPLE), 4)
  drawn = rng.integers(0, 256, (len(person), SIZE_PX, SIZE_PX, 3))
  drawn = drawn.astype(np.uint8)
  drawn[:, :, 0] = 20 * person[:, None, None]
  drawn[:, :, -1] = 7 * 20
  images = made_up.labelled(
    range(PEOPLE), 4, labels={}, cut="face", read=drawn.__getitem__
  )
  left, right = np.array(
    [
      (4 * p + fold, 4 * ((p + step) % PEOPLE) + fold + 1)
      for fold in range(3)
      for step in (0, 1)
      for p in range(PEOPLE)
    ]
  ).T
  return base.Pairs(
    images,
    left,
    right,
    person[left] == person[right],
    np.repeat(np.arange(3), 12),
  )


def verified(pairs, networks):
  """Returns the entries of both rules."""
  study = verification_task.build(pairs, networks, None)
  return [
    verification_task.run(study, task) for task in verification_task.RULES
  ]


def test_features_that_tell_people_apart_verify_them(pairs, monkeypatch):
  made_up.hurry(monkeypatch, 1e-3)
  found = verified(pairs, Networks())
  assert [x["task"] for x in found] == [
    "verification",
    "verification_supervised",
  ]
  for task in found:
    kinds = {entry["kind"]: entry for entry in task["entries"]}
    assert set(kinds) == {"run", "random", "pixels", "hog"}
    accuracy = {k: e["scores"]["accuracy"].value for k, e in kinds.items()}
    assert accuracy["run"] == 100 and accuracy["random"] == 50
    assert kinds["run"]["dim"] == 8 and kinds["hog"]["dim"] == 1764
    assert (task["num_train"], task["num_test"]) == (24, 36)
    assert task["num_people"] == PEOPLE and task["split"] == "3 folds"
  threshold = found[0]["entries"][0]["details"]["threshold_by_fold"]
  # Image and mirror, added: one entry of two is the same in all images.
  np.testing.assert_allclose(threshold, 0.75)


def test_intervals_are_over_the_groups_of_pairs(pairs, monkeypatch):
  made_up.hurry(monkeypatch, 1e-3)
  together = dataclasses.replace(pairs, group=np.zeros(len(pairs)))
  study = verification_task.build(together, Networks(), None)
  for entry in verification_task.run(study, "verification")["entries"]:
    assert np.isnan(entry["scores"]["accuracy"].low), entry["feature"]


def test_features_that_hold_the_mirror_image_are_not_added(pairs, monkeypatch):
  made_up.hurry(monkeypatch, 1e-3)
  networks = Networks()
  networks.has_mirror = True
  found = verified(pairs, networks)
  threshold = found[0]["entries"][0]["details"]["threshold_by_fold"]
  # Between cosines of 0 and 1, as nothing is the same in all images.
  np.testing.assert_allclose(threshold, 0.5)


def test_the_feature_that_the_task_is_about_comes_first(pairs, monkeypatch):
  made_up.hurry(monkeypatch, 1e-3)
  found = verified(pairs, Networks("random weights: code"))
  first = [task["entries"][0]["feature"] for task in found]
  assert first == ["random weights: code", "net: code"]
