"""One thing about a person is changed; all else stays to the bit."""

import dataclasses

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.synthetic import albedo, generator, hair, recording

SETTINGS = generator.Settings(
  seed=5, num_people=20, tracks_per_person=1, num_frames=2, size_px=32
)
Change = generator.Change
# What lies on hair or cloth moves the first and last points of the outline.
ON_TOP = ("cap", "scarf", "shaved")
FACE = slice(17, 68)
CHANGES = {
  "skin": Change(skin_tone=2.5),
  "held": Change(skin_tone=2.5, exposed_for=0.0),
  "wrinkles": Change(look={"age": 2.5}),
  "clear": Change(glasses="clear"),
  "dark": Change(glasses="dark"),
  "cap": Change(cover="cap"),
  "scarf": Change(cover="scarf"),
  "shaved": Change(look={"hair_length": -2.0}),
}


def _assert_same_recording(one, other):
  for name in ("backdrop", "noise_seed", "fov_rad"):
    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
  for kind in ("motion", "light"):
    first, second = (vars(getattr(x, kind)) for x in (one, other))
    for name, value in first.items():
      np.testing.assert_array_equal(value, second[name], err_msg=name)
  first, second = (dataclasses.asdict(x.sensor) for x in (one, other))
  for name in first.keys() - {"gain"}:
    assert first[name] == second[name], name


@pytest.mark.parametrize("name", CHANGES)
def test_all_labels_stay_to_the_bit(name):
  change = CHANGES[name]
  before = generator.draw_track(SETTINGS, 3, 0)
  after = generator.draw_track(SETTINGS, 3, 0, change)
  assert (before.frames != after.frames).any()
  assert before.quality == after.quality
  points = [x.labels.pop("landmarks_px") for x in (before, after)]
  np.testing.assert_array_equal(points[0][:, FACE], points[1][:, FACE])
  if name not in ON_TOP:
    np.testing.assert_array_equal(*points)
  for label in before.labels.keys() - {"landmarks_visible"}:
    np.testing.assert_array_equal(
      before.labels[label], after.labels[label], err_msg=label
    )
  _assert_same_recording(
    recording.set_up(SETTINGS, 3, 0),
    recording.set_up(SETTINGS, 3, 0, change),
  )


def test_nothing_changed_draws_the_same_track():
  one = generator.draw_track(SETTINGS, 2, 0)
  other = generator.draw_track(SETTINGS, 2, 0, Change())
  np.testing.assert_array_equal(one.frames, other.frames)


def test_a_childs_shape_moves_landmarks_and_nothing_else():
  child = Change(shape={"child": 2.5})
  one = generator.draw_track(SETTINGS, 3, 0).labels
  other = generator.draw_track(SETTINGS, 3, 0, child).labels
  assert np.abs(one["landmarks_px"] - other["landmarks_px"]).max() > 0.5
  for name in ("yaw_rad", "pitch_rad", "roll_rad", "action_units", "light"):
    np.testing.assert_array_equal(one[name], other[name])
  made = [recording.set_up(SETTINGS, 3, 0, x) for x in (Change(), child)]
  assert made[0].look == made[1].look
  np.testing.assert_array_equal(made[0].texture, made[1].texture)
  _assert_same_recording(*made)


def test_hair_and_eyes_keep_their_colours_on_other_skin():
  looks = [
    recording.set_up(SETTINGS, 3, 0, Change(skin_tone=x)).look
    for x in (-1.5, 0.0, 2.5)
  ]
  luma = [albedo.skin_colour(x).mean() for x in looks]
  assert luma[0] > 1.3 * luma[1] > 1.3 * 3 * luma[2]
  for colour in (hair.colour, albedo.iris_colour):
    np.testing.assert_allclose(colour(looks[0]), colour(looks[1]), atol=1e-9)
    np.testing.assert_allclose(colour(looks[2]), colour(looks[1]), atol=1e-9)


def test_exposure_follows_the_face_or_is_held():
  def gain(**change):
    made = recording.set_up(SETTINGS, 3, 0, Change(**change))
    return made.sensor.gain

  light = gain(skin_tone=0.0)
  assert (gain(skin_tone=2.5) > 1.5 * light).all()
  np.testing.assert_array_equal(gain(skin_tone=2.5, exposed_for=0.0), light)


def test_glasses_and_covers_are_those_asked_for():
  for person in range(6):
    made = {
      x: recording.set_up(SETTINGS, person, 0, Change(glasses=x, cover=y))
      for x, y in (("none", "none"), ("clear", "cap"), ("dark", "scarf"))
    }
    assert made["none"].worn is None
    assert not made["clear"].worn.is_opaque
    assert made["dark"].worn.tint.mean() < 0.35
    np.testing.assert_array_equal(
      made["clear"].worn.points, made["dark"].worn.points
    )
  rng = np.random.default_rng
  drawn = [hair.draw_cover(rng(i)) for i in range(300)]
  for i, cover in enumerate(drawn):
    if cover is not None:
      kind = "scarf" if cover.is_scarf else "cap"
      again = hair.draw_cover(rng(i), kind)
      assert again.line == cover.line and again.is_scarf == cover.is_scarf
    assert hair.draw_cover(rng(i), "none") is None
  assert 5 < sum(x is not None for x in drawn) < 60


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ({"look": {"skin_tone": 1.0}}, "change of look: 'skin_tone'"),
    ({"shape": {"nose": 1.0}}, "change of shape: 'nose'"),
    ({"glasses": "round"}, "expected one of none, clear, dark"),
    ({"cover": "hat"}, "expected one of none, cap, scarf"),
  ],
)
def test_what_cannot_be_changed_is_told(change, said):
  with pytest.raises(errors.InputError, match=said):
    Change(**change)


def test_other_heads_have_no_named_shape():
  settings = dataclasses.replace(SETTINGS, heads="ict")
  with pytest.raises(errors.InputError, match="only built-in heads"):
    generator.draw_track(settings, 0, 0, Change(shape={"child": 1.0}))
