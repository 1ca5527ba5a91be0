import dataclasses

import numpy as np
import pytest

from facerep_jax.synthetic import (
  actions,
  frame,
  generator,
  glasses,
  head,
  landmarks,
  recording,
)


@pytest.fixture(scope="module")
def marks():
  model = head.built_in()
  lids = actions.lid_edges(np.zeros((2, 20)))
  return landmarks.locate(model.chart, model.template, lids)


def _pairs(marks, count=40):
  for seed in range(count):
    yield glasses.draw(np.random.default_rng(seed), marks, 0.01)


def test_glasses_are_symmetric_and_stand_before_the_eyes(marks):
  for pair in _pairs(marks):
    x = np.sort(pair.points[:, 0])
    # Tubes are four-sided: opposite sides differ by their facets alone.
    np.testing.assert_allclose(x, -x[::-1], atol=0.05)
    lens = pair.points[np.unique(pair.faces[pair.num_frame_faces :])]
    assert lens[:, 2].max() < marks[36:48, 2].min() + 0.15
    for eye in (marks[36:42], marks[42:48]):
      # Each pupil is behind its lens.
      centre = eye.mean(0)
      own = lens[np.sign(lens[:, 0]) == np.sign(centre[0])]
      assert own[:, 0].min() < centre[0] < own[:, 0].max()
      assert own[:, 1].min() < centre[1] < own[:, 1].max()


def test_pairs_differ_and_few_are_dark(marks):
  pairs = list(_pairs(marks, 300))
  height = [np.ptp(p.points[np.unique(p.faces[-56:]), 1]) for p in pairs]
  assert max(height) > 1.3 * min(height)
  dark = np.mean([p.is_opaque or p.tint.mean() < 0.5 for p in pairs])
  assert 0.05 < dark < 0.25
  assert len({p.num_frame_faces for p in pairs}) == 2  # With rims, without.


def _drawn(yaw, tint=None):
  """Frame with and without glasses, landmarks' visibility, projected rims."""
  settings = generator.Settings(num_people=40, num_frames=1, size_px=128)
  made = recording.set_up(settings, 3, 0)
  still = {
    "yaw_rad": np.array([yaw]),
    "pitch_rad": np.zeros(1),
    "roll_rad": np.zeros(1),
    "left": np.zeros((1, 20)),
    "right": np.zeros((1, 20)),
  }
  sensor = dataclasses.replace(
    made.sensor, noise=0.0, blur=0.0, resolution=1e4, is_mono=False
  )
  made = dataclasses.replace(
    made, motion=dataclasses.replace(made.motion, **still), sensor=sensor
  )
  pair = glasses.draw(np.random.default_rng(1), made.rest_landmarks, 0.012)
  if tint is not None:
    pair = dataclasses.replace(pair, tint=np.full(3, tint), mirror=0.0)
  skin = head.animate(made.model, made.still, *np.zeros((2, 1, 20)))[0]
  images = []
  for worn in (None, pair):
    images.append(
      frame.draw(settings, dataclasses.replace(made, worn=worn), skin, 0)
    )
  sight = frame.view(settings, made, 0)
  xy, _ = sight.project(sight.pose(pair.points))
  return images, (xy + 0.5) / 2 - 0.5, pair


def test_glasses_turn_with_the_head():
  middles = []
  for yaw in (-0.5, 0.0, 0.5):
    ((bare, _, _), (worn, _, _)), xy, _ = _drawn(yaw, 0.02)
    changed = np.abs(worn.astype(int) - bare).sum(-1) > 12
    rows, columns = np.nonzero(changed)
    middles.append(columns.mean())
    # Nothing changes but where the glasses project, edges smoothed.
    for axis, at in enumerate((columns, rows)):
      assert at.min() >= xy[:, axis].min() - 2
      assert at.max() <= xy[:, axis].max() + 2
  # Positive yaw turns the nose, and what sits on it, to the image's left;
  # the crop follows the face, so the change is less than the nose's.
  assert middles[0] > middles[1] + 3 and middles[1] > middles[2] + 3


def test_clear_lenses_hide_nothing_and_dark_ones_hide_the_eyes():
  ((_, points, bare), (_, same, clear)), _, _ = _drawn(0.1, 0.9)
  np.testing.assert_array_equal(points, same)
  np.testing.assert_array_equal(bare, clear)
  (_, (_, _, dark)), _, _ = _drawn(0.1, 0.1)
  assert bare[36:48].all() and not dark[36:48].any()
  np.testing.assert_array_equal(dark[48:], bare[48:])


def test_about_a_quarter_of_people_wear_glasses():
  settings = generator.Settings(num_people=200, num_frames=1, size_px=16)
  worn = [
    recording.set_up(settings, person, 0).worn is not None
    for person in range(200)
  ]
  assert 0.15 < np.mean(worn) < 0.35
