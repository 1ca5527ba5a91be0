"""Recordings of one person with other hair and glasses."""

import dataclasses

import numpy as np

from facerep_jax.synthetic import generator, hair, recording

PLAIN = generator.Settings(
  num_people=40, tracks_per_person=4, num_frames=1, size_px=16
)
RESTYLED = dataclasses.replace(PLAIN, restyle=True)


def _set_up(settings, person):
  return [recording.set_up(settings, person, track) for track in range(4)]


def test_hair_differs_and_the_person_stays():
  for person in range(3):
    before, after = _set_up(PLAIN, person), _set_up(RESTYLED, person)
    assert all(x.look == before[0].look for x in before)
    for one, other in zip(before, after):
      changed = {k for k in one.look if one.look[k] != other.look[k]}
      assert changed == set(hair._STYLE)
      np.testing.assert_array_equal(one.bare, other.bare)
      # The camera's, the light's and the background's numbers stay.
      assert (
        one.fov_rad == other.fov_rad and one.sensor.blur == other.sensor.blur
      )
      np.testing.assert_array_equal(one.backdrop, other.backdrop)
      np.testing.assert_array_equal(one.light.direction, other.light.direction)
      assert (one.before is None) == (other.before is None)
    for name in hair._STYLE:
      assert len({x.look[name] for x in after}) == 4


def test_it_is_deterministic():
  one, other = (generator.make_track(RESTYLED, 1, 2) for _ in range(2))
  assert one.frames == other.frames
  assert one.frames != generator.make_track(PLAIN, 1, 2).frames


def test_glasses_come_and_go():
  plain, restyled = (
    np.array(
      [[x.worn is not None for x in _set_up(settings, i)] for i in range(40)]
    )
    for settings in (PLAIN, RESTYLED)
  )
  mixed = lambda worn: (worn.any(axis=1) & ~worn.all(axis=1)).mean()
  assert 0.1 < restyled.mean() < 0.4
  assert mixed(restyled) > 0.4 > mixed(plain)
