import dataclasses
import json

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import base, leakage, linear_probe

PEOPLE, TRACKS, FRAMES = 24, 2, 8


def _labels(seed):
  rng = np.random.default_rng(seed)
  count = PEOPLE * TRACKS * FRAMES
  person = np.repeat(np.arange(PEOPLE), TRACKS * FRAMES)
  angles = rng.uniform(-0.7, 0.7, (3, count))
  labels = {
    "track": np.tile(np.repeat(["a", "b"], FRAMES), PEOPLE),
    "expression": rng.integers(0, 4, count),
    "yaw_rad": angles[0],
    "pitch_rad": angles[1],
    "roll_rad": angles[2],
    "light": rng.normal(size=(count, 4)),
    "landmarks_ndc": rng.normal(size=(count, 5, 2)),
  }
  return labels, np.array([f"{seed}-{k:02}" for k in person])


LABELS, GROUPS = zip(_labels(0), _labels(1))
# A code of each person, the same in all of the person's images.
CODES = [np.random.default_rng(k).normal(size=(PEOPLE, 20)) for k in (2, 3)]


def _person_code(k):
  return CODES[k][np.repeat(np.arange(PEOPLE), TRACKS * FRAMES)]


def _both(make):
  """Makes (train, test) of a function of labels and 0 or 1."""
  return tuple(
    base.Part(make(LABELS[k], k), LABELS[k], GROUPS[k]) for k in (0, 1)
  )


def _noise(width):
  return lambda labels, k: np.random.default_rng(4 + k).normal(
    size=(len(labels["track"]), width)
  )


def _everything(labels, k):
  columns = [np.eye(4)[labels["expression"]], labels["light"], _person_code(k)]
  columns += [labels[f"{a}_rad"][:, None] for a in ("yaw", "pitch", "roll")]
  columns.append(labels["landmarks_ndc"].reshape(-1, 10))
  return np.concatenate(columns, axis=1)


PARTS = {
  "noise": _both(_noise(6)),
  "all": _both(_everything),
  "yaw": _both(lambda labels, k: labels["yaw_rad"][:, None] * [1, -2]),
  "person": _both(lambda labels, k: _person_code(k)),
  "light": _both(lambda labels, k: labels["light"] @ np.diag([1, 2, 3, 4])),
}


@pytest.fixture(scope="module")
def found():
  return leakage.measure(PARTS, "noise", "all")


def test_each_feature_tells_what_it_was_made_of(found):
  assert found["factors"] == [
    "identity",
    "expression",
    "yaw",
    "pitch",
    "roll",
    "light",
    "landmarks",
  ]
  knows = {"yaw": {"yaw"}, "person": {"identity"}, "light": {"light"}}
  knows |= {"noise": set(), "all": set(found["factors"])}
  for name, known in knows.items():
    for factor, cell in found["values"][name].items():
      if factor in known:
        assert cell["value"] > 0.95, (name, factor)
        assert cell["scaled"] > 0.95, (name, factor)
      else:
        # 384 rows of 24 people: chance leaves 0 by about 0.1 at most.
        assert abs(cell["value"]) < 0.15, (name, factor)
        assert cell["scaled"] < 0.15, (name, factor)


def test_intervals_hold_their_values_and_all_is_json(found):
  for row in found["values"].values():
    for cell in row.values():
      assert cell["low"] <= cell["value"] <= cell["high"]
  assert json.loads(json.dumps(found, allow_nan=False)) == found
  assert found["num_train"] == found["num_test"] == PEOPLE * TRACKS * FRAMES


def test_floor_and_ceiling_are_0_and_1(found):
  for factor in found["factors"]:
    assert found["values"]["noise"][factor]["scaled"] == 0
    assert found["values"]["all"][factor]["scaled"] == 1
  # Where the ceiling knows no more than the floor there is no scale.
  parts = {"noise": PARTS["noise"], "yaw": PARTS["yaw"]}
  other = leakage.measure(parts, "noise", "yaw")
  assert other["values"]["yaw"]["light"]["scaled"] is None
  assert other["values"]["yaw"]["yaw"]["scaled"] == 1


def test_identity_is_asked_for_on_other_tracks():
  # The feature knows the track and not the person: nothing carries over.
  track_code = np.random.default_rng(5).normal(size=(2, PEOPLE * TRACKS, 20))
  parts = {
    "track": _both(lambda labels, k: np.repeat(track_code[k], FRAMES, axis=0)),
    "person": PARTS["person"],
  }
  values = leakage.measure(parts, "track", "person")["values"]
  assert values["track"]["identity"]["value"] < 0.15
  assert values["person"]["identity"]["value"] == 1


def _parts_of(features, group, **labels):
  """The same part to train and to test on."""
  return {"f": (base.Part(np.float64(features), labels, np.array(group)),) * 2}


def test_identity_is_0_for_guessing_and_its_interval_is_over_people():
  # In the later track both people look like the first one: it is always
  # found, the other never. Of two people that is what guessing gives.
  looks = [[1]] * 8 + [[-1]] * 4 + [[1]] * 4
  parts = _parts_of(
    looks, ["a"] * 8 + ["b"] * 8, track=np.tile(np.repeat(["x", "y"], 4), 2)
  )
  [row] = leakage.measure(parts, "f", "f")["values"].values()
  found = row["identity"]
  # Draws of the one alone have 1 of 1 right, those of the other 0.
  assert (found["value"], found["low"], found["high"]) == (0, -1, 1)


def test_the_smaller_half_of_tracks_comes_later():
  track = np.array(["a", "b", "c", "x", "d", "e", "b"])
  group = np.array([0, 0, 0, 1, 2, 2, 0])
  part = base.Part(np.zeros((7, 1)), {"track": track}, group)
  rows, person, is_later = leakage._by_track(part)
  # Of three tracks one; of one track none, so that its person takes no part.
  assert rows.tolist() == [0, 1, 2, 4, 5, 6]
  assert person.tolist() == [0, 0, 0, 1, 1, 0]
  np.testing.assert_array_equal(is_later, np.isin(track[rows], ["c", "e"]))


def test_the_strength_for_identity_is_chosen_on_later_training_tracks(
  monkeypatch,
):
  chosen, choose = [], linear_probe.ridge_strength
  monkeypatch.setattr(
    linear_probe,
    "ridge_strength",
    lambda *args: chosen.append(args) or choose(*args),
  )
  train, test = (
    part._replace(labels={"track": part.labels["track"]})
    for part in PARTS["person"]
  )
  leakage.measure({"f": (train, test)}, "f", "f")
  [(x, _, held_out)] = chosen
  np.testing.assert_array_equal(x, train.features)
  np.testing.assert_array_equal(held_out, train.labels["track"] == "b")


def test_scaled_values_by_hand():
  assert leakage._scaled(0.4, 0.2, 0.6) == pytest.approx(0.5)
  # Less than nothing is nothing, for the feature as for both bounds.
  assert leakage._scaled(0.3, -0.2, 0.6) == pytest.approx(0.5)
  assert leakage._scaled(-0.3, 0.2, 0.6) == pytest.approx(-0.5)
  assert leakage._scaled(0.06, 0.0, 0.06) == pytest.approx(1)
  for unknown in ((0.3, 0.3, 0.34), (None, 0.2, 0.6), (0.3, 0.2, None)):
    assert leakage._scaled(*unknown) is None


def test_intervals_are_over_people_for_every_factor():
  rng = np.random.default_rng(6)
  labels = {"yaw_rad": rng.normal(size=40), "light": rng.normal(size=(40, 4))}
  labels["expression"] = np.arange(40) % 2
  train = base.Part(rng.normal(size=(40, 3)), labels, np.arange(40) // 8)
  test = train._replace(group=np.zeros(40))
  found = leakage.measure({"f": (train, test)}, "f", "f")["values"]["f"]
  assert list(found) == ["expression", "yaw", "light"]
  for factor, cell in found.items():
    # One person alone gives no interval, whatever the number of images.
    assert cell["value"] is not None, factor
    assert cell["low"] is None and cell["high"] is None, factor


def test_identity_needs_two_tracks_and_other_factors_a_label():
  parts = {}
  for name in ("yaw", "noise"):
    parts[name] = tuple(
      part._replace(
        labels={
          "track": np.full(len(part.group), "a"),
          "yaw_rad": part.labels["yaw_rad"],
        }
      )
      for part in PARTS[name]
    )
  found = leakage.measure(parts, "noise", "yaw")
  assert found["factors"] == ["identity", "yaw"]
  assert found["values"]["yaw"]["identity"] == {
    "value": None,
    "low": None,
    "high": None,
    "scaled": None,
  }


def test_test_labels_change_no_read_out(monkeypatch):
  """Nothing but identity, whose people are those of the test, sees them."""
  fitted = []
  fit = linear_probe.ridge
  monkeypatch.setattr(
    linear_probe, "ridge", lambda *args: fitted.append(fit(*args)) or fitted[-1]
  )
  order = np.random.default_rng(0).permutation(len(GROUPS[1]))
  names = ("yaw_rad", "light", "landmarks_ndc")
  runs = []
  for rows in (np.arange(len(order)), order):
    train, test = PARTS["all"]
    train = train._replace(labels={k: train.labels[k] for k in names})
    test = test._replace(labels={k: test.labels[k][rows] for k in names})
    fitted.clear()
    values = leakage.measure({"all": (train, test)}, "all", "all")["values"]
    runs.append(([dataclasses.astuple(one) for one in fitted], values))
  (before, right), (after, shuffled) = runs
  assert len(before) == 3
  for one, other in zip(before, after):
    for a, b in zip(one, other):
      np.testing.assert_array_equal(a, b)
  assert right["all"]["yaw"]["value"] > 0.95
  assert shuffled["all"]["yaw"]["value"] < 0


def test_refuses_parts_that_do_not_fit():
  with pytest.raises(errors.InputError, match="'best' is none of"):
    leakage.measure(PARTS, "noise", "best")
  train, test = PARTS["yaw"]
  mixed = {"noise": PARTS["noise"], "yaw": (test, train)}
  with pytest.raises(errors.InputError, match="yaw: its rows are not those"):
    leakage.measure(mixed, "noise", "yaw")
  bare = tuple(part._replace(labels={}) for part in PARTS["yaw"])
  with pytest.raises(errors.InputError, match="labels: expected one or more"):
    leakage.measure({"yaw": bare}, "yaw", "yaw")
