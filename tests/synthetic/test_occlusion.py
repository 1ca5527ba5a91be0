import dataclasses

import numpy as np

from facerep_jax.synthetic import frame, generator, head, occlusion, recording


def _mug(x, y):
  """A capsule over (x, y), in widths of the face about its middle."""
  return occlusion.Occluder(
    np.array([[0.0, 0.0, 0.0, 0.0, 0.2]]),
    np.array([[0.0, 1.0, 0.0]]),
    np.array([[x, y]]),
  )


def test_paint_covers_a_disc_where_it_should_be():
  image = np.zeros((64 * 64, 3), np.float32)
  nearest = np.full(64 * 64, np.inf)
  box = np.array([30.0, 20.0, 40.0])
  occlusion.paint(image, nearest, _mug(0.5, 0.25), 0, box, np.ones(3))
  rows, columns = np.divmod(np.flatnonzero(nearest == 0), 64)
  np.testing.assert_allclose([columns.mean(), rows.mean()], [50, 30], atol=0.1)
  assert abs(len(rows) - np.pi * 8**2) < 10
  painted = image[nearest == 0]
  assert (painted[:, 1] > 0.4).all() and painted[:, 0].max() == 0
  assert image[nearest > 0].max() == 0


def test_hidden_landmarks_are_labelled_hidden_and_stay_where_they_were():
  settings = generator.Settings(num_people=40, num_frames=1, size_px=64)
  made = recording.set_up(settings, 2, 0)
  still = {n: np.zeros(1) for n in ("yaw_rad", "pitch_rad", "roll_rad")}
  paths = dataclasses.replace(made.motion, **still)
  made = dataclasses.replace(made, motion=paths, worn=None, before=None)
  skin = head.animate(made.model, made.still, *np.zeros((2, 1, 20)))[0]
  _, points, bare = frame.draw(settings, made, skin, 0)
  held = dataclasses.replace(made, before=_mug(0.0, 0.3))
  _, same, seen = frame.draw(settings, held, skin, 0)
  np.testing.assert_array_equal(points, same)
  hidden = [50, 51, 52, 61, 62, 63, 65, 66, 67]  # The middle of the mouth.
  assert bare[48:68].all() and not seen[hidden].any()
  np.testing.assert_array_equal(seen[17:27], bare[17:27])


def test_few_recordings_hide_a_part_of_the_face():
  rng = np.random.default_rng(0)
  drawn = [occlusion.draw(rng, np.full(3, 0.3), 8) for _ in range(1500)]
  some = [x for x in drawn if x is not None]
  assert 0.05 < len(some) / len(drawn) < 0.11
  hands = [x for x in some if len(x.capsules) == 6]
  assert 0.3 < len(hands) / len(some) < 0.8
  for x in hands:  # Of the person's own colour.
    assert np.ptp(x.colours) == 0
    assert x.path.shape == (8, 2)
