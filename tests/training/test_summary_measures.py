import numpy as np
import pytest

from facerep_jax.evaluators import bootstrap, feature_roles
from facerep_jax.training import summary_frames, summary_measures
from tests import made_up_faces

RNG = np.random.default_rng(0)


class Model:
  """What it knows of a picture is a function of its first pixel."""

  def __init__(self, function):
    self.function = function

  def embed(self, pictures):
    return self.function(np.array([x[0, 0] for x in pictures], np.float32))


def recordings(count=6, rng=RNG):
  """People of a colour each, which light dims in the second recording."""
  found = {}
  for person in range(count):
    colour = rng.uniform(100, 250, 3)
    sides = []
    for light in (1.0, 0.6):
      frames = [
        np.full((8, 8, 3), light * colour + rng.uniform(0, 2, 3), np.uint8)
        for _ in range(4)
      ]
      sides.append(summary_frames.Recording(frames, frames[1]))
    found[f"p{person}"] = tuple(sides)
  return found


def frames(yaw, people):
  person = np.array([people[i % len(people)] for i in range(len(yaw))])
  return summary_frames.Frames([], yaw, person, [])


def test_a_perfect_feature_is_read_out_perfectly():
  yaws = RNG.uniform(-1, 1, (2, 40))
  read = dict(zip(("train", "test"), map(frames, yaws, ("abcdef", "xyz"))))
  features = {
    split: {"one": part.yaw_rad[:, None], "other": np.ones((40, 2))}
    for split, part in read.items()
  }
  found = summary_measures.yaw_probe(features, read)
  # The weakest ridge shrinks by about 1e-4.
  assert found["r2"] > 0.9999 and found["mae_deg"] < 0.1
  assert found["r2_low"] > 0.9999 and found["r2_high"] <= 1
  assert found["features"] == ["one", "other"]
  features = {split: {"other": np.ones((40, 2))} for split in read}
  found = summary_measures.yaw_probe(features, read)
  assert found["r2"] <= 0 and found["r2_low"] <= found["r2"]


def test_pose_is_read_out_of_the_view_or_of_all():
  codes = {"albedo_code": np.ones((3, 1)), "depth_code": np.zeros((3, 1))}
  joined = feature_roles.with_joined(codes)
  assert set(joined) == {*codes, "raw"}
  assert set(summary_measures.of_pose(joined)) == set(codes)
  view = {"view": np.ones((3, 6))}
  assert set(summary_measures.of_pose(joined | view)) == {"view"}


def test_a_viewpoint_that_turns_half_as_far():
  true, person = RNG.uniform(-1, 1, 60), np.arange(60) // 6
  found = summary_measures.viewpoint_of(0.2 - 0.5 * true, true, person)
  for end in ("", "_low", "_high"):
    assert found[f"r{end}"] == pytest.approx(1)
    assert found[f"slope{end}"] == pytest.approx(0.5)
  still = summary_measures.viewpoint_of(np.full(60, 0.2), true, person)
  assert still["r"] == 0 and still["slope"] < 1e-12
  noisy = 0.5 * true + RNG.normal(0, 0.2, 60)
  found = summary_measures.viewpoint_of(noisy, true, person)
  assert found["r"] == pytest.approx(np.corrcoef(noisy, true)[0, 1])
  assert found["slope"] == pytest.approx(np.polyfit(true, noisy, 1)[0])
  assert found["slope_low"] < found["slope"] < found["slope_high"]


def test_numbers_of_one_person_have_no_interval():
  found = summary_measures.viewpoint_of(
    np.arange(4.0), np.arange(4.0), np.zeros(4)
  )
  assert found["r"] == pytest.approx(1)
  assert found["r_low"] is found["slope_high"] is None
  yaws = np.random.default_rng(5).uniform(-1, 1, (2, 20))
  read = dict(zip(("train", "test"), map(frames, yaws, ("abc", "x"))))
  features = {
    split: {"one": part.yaw_rad[:, None]} for split, part in read.items()
  }
  found = summary_measures.yaw_probe(features, read)
  assert found["r2"] > 0.99 and found["r2_low"] is found["r2_high"] is None


def test_people_are_recognised_by_what_light_does_not_change():
  read = recordings()

  def chroma(rgb):
    return {"code": rgb / rgb.sum(axis=1, keepdims=True)}

  model = Model(chroma)
  train = chroma(RNG.uniform(100, 250, (50, 3)).astype(np.float32))
  found = summary_measures.identification(model, train, read)
  for end in ("", "_low", "_high"):
    assert found[f"rank1_percent{end}"] == 100
  assert (found["num_people"], found["num_frames"]) == (6, 48)
  assert found["feature"] == "code"
  assert found["chance_percent"] == pytest.approx(100 / 6)


def test_a_constant_feature_recognises_by_chance():
  def constant(rgb):
    return {"code": np.full((len(rgb), 5), 0.3, np.float32)}

  found = summary_measures.identification(
    Model(constant), constant(np.ones((7, 3))), recordings()
  )
  assert found["rank1_percent"] == pytest.approx(100 / 6)


def test_rank_is_that_of_a_loop():
  rng = np.random.default_rng(3)
  read = recordings(rng=rng)
  weights = rng.normal(size=(3, 4))

  def code(rgb):
    return {"code": (np.sin(rgb / 40) @ weights).astype(np.float32)}

  model = Model(code)
  train = code(rng.uniform(0, 255, (50, 3)))
  mean = train["code"].mean(axis=0)
  right, group = [], []
  for one in (0, 1):
    others = [
      (model.embed(sides[1 - one].images)["code"] - mean).mean(axis=0)
      for sides in read.values()
    ]
    for person, sides in enumerate(read.values()):
      for x in model.embed(sides[one].images)["code"] - mean:
        cosines = [
          x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in others
        ]
        right.append(np.argmax(cosines) == person)
        group.append(person)
  found = summary_measures.identification(model, train, read)
  assert found["rank1_percent"] == pytest.approx(100 * np.mean(right))
  ends = found["rank1_percent_low"], found["rank1_percent_high"]
  # Frames of one person are drawn together.
  want = bootstrap.interval(100.0 * np.array(right), np.array(group))
  np.testing.assert_allclose(ends, want[1:])
  assert want.low < want.value < want.high


def test_the_feature_of_identity():
  codes = {"albedo_code": np.ones((2, 1)), "depth_code": np.zeros((2, 2))}
  both = feature_roles.with_joined(codes)
  np.testing.assert_array_equal(both["raw"], [[1, 0, 0]] * 2)
  assert summary_measures.identity_feature(both) == "raw"
  assert summary_measures.identity_feature({"a": codes["albedo_code"]}) == "a"
  both["identity"] = np.ones((2, 1))
  assert summary_measures.identity_feature(both) == "identity"


class Painter:
  """Takes the colour of a picture for the face, its brightness for light."""

  def __init__(self, knows_people=True):
    self.knows_people = knows_people

  def encode(self, pictures):
    colour = np.array([x[0, 0] for x in pictures]) / 255
    light = colour.sum(axis=1, keepdims=True)
    face = colour / light if self.knows_people else np.full_like(colour, 0.3)
    return {"face": face, "light": light}

  def view_vector(self, yaw_deg):
    assert yaw_deg == 0
    return np.zeros(6)

  def crop(self, picture, number):
    return picture

  def draw(self, codes, view=None, light=None):
    assert (view is None) == (light is None)
    light = codes["light"] if light is None else 1.5
    return np.broadcast_to(
      (codes["face"] * light)[:, None, None], (len(codes["face"]), 8, 8, 3)
    )


def test_rebuilt_faces_are_known_in_even_light():
  read = recordings(25)
  found = summary_measures.people(Painter(), read)
  assert found["num_people"] == 20 and found["chance"] == 1
  assert found["rebuilt"] == 20
  # The light of the pictures is another one.
  assert found["to_picture"] < 20
  assert found["to_picture"] == found["of_pictures"]


def test_one_face_for_all_is_known_by_chance():
  found = summary_measures.people(Painter(knows_people=False), recordings())
  assert found["rebuilt"] == pytest.approx(1)


def test_real_models_draw_what_is_compared():
  photos = made_up_faces.photos(3)
  read = {
    f"p{i}": (
      summary_frames.Recording([x], x),
      summary_frames.Recording([x], x),
    )
    for i, x in enumerate(photos)
  }
  found = summary_measures.people(made_up_faces.representation(), read)
  assert found["rebuilt"] == found["of_pictures"] == found["num_people"] == 3
