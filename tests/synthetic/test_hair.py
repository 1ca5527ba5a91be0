import numpy as np

from facerep_jax.synthetic import albedo, hair, head

MEAN = dict.fromkeys(albedo.NAMES, 0.0)


def _lift(person, cover=None):
  model = head.built_in()
  moved = hair.offset(person, cover, model.s, model.t, model.template)
  return model, np.linalg.norm(moved, axis=1)


def test_face_stays_bare_and_the_crown_is_covered():
  model, lift = _lift(MEAN)
  face = (np.abs(model.s) < 0.6) & (model.t > -0.35)
  assert lift[face].max() == 0
  crown = (model.t < -0.9) & (model.t > -1.1)
  assert lift[crown].min() > 0.04  # Four millimetres.


def test_volume_runs_from_bald_to_big():
  _, bald = _lift(MEAN | {"hair_length": -2.0})
  _, plain = _lift(MEAN)
  _, curly = _lift(MEAN | {"hair_curl": 2.2})
  assert bald.max() == 0
  assert curly.max() > 2 * plain.max()


def test_hairlines_differ():
  s = np.linspace(-0.9, 0.9, 61)
  middle, temple = 30, 47

  def line(**changes):
    return hair.edge(MEAN | changes, None, s)

  assert line(fringe=1.5)[middle] > line()[middle] + 0.2
  receding = line(hair_recede=2.0)
  assert receding[temple] < line()[temple] - 0.1
  assert receding[middle] > receding[temple]
  swept = line(fringe=1.0, hair_part=1.0)
  assert abs(swept[15] - swept[45]) > 0.1


def test_hair_is_grey_with_age_and_dark_with_dark_skin():
  young, old = (hair.colour(MEAN | {"age": x}) for x in (-1.0, 2.5))
  assert old.mean() > 3 * young.mean() and np.ptp(old) < 0.1
  dark = hair.colour(MEAN | {"skin_tone": 2.0})
  assert dark.mean() < 0.5 * young.mean()


def test_scarf_covers_ears_and_neck_and_a_cap_does_not():
  colour = np.full(3, 0.2)
  s = np.array([1.7])
  cap = hair.Cover(False, -0.5, 0.08, colour)
  scarf = hair.Cover(True, -0.5, 0.08, colour)
  assert hair.edge(MEAN, cap, s)[0] < -0.1  # Above the ear.
  assert hair.edge(MEAN, scarf, s)[0] > 1.0
  rng = np.random.default_rng(0)
  worn = [hair.draw_cover(rng) for _ in range(1000)]
  share = np.mean([x is not None for x in worn])
  assert 0.05 < share < 0.12


def test_texture_holds_the_hair_s_colour_above_and_skin_below():
  for worn in (None, hair.Cover(False, -0.45, 0.08, np.array([0.0, 0.3, 0]))):
    paint = albedo.texture(
      MEAN, worn, np.ones(3), 1.4, np.random.default_rng(0), 160
    )
    s, t = albedo.texels(160)
    column = np.argmin(np.abs(s))
    above = paint[np.argmin(np.abs(t + 0.85)), column]
    want = hair.colour(MEAN) if worn is None else worn.colour
    np.testing.assert_allclose(above, want, atol=0.12)
    cheek = paint[np.argmin(np.abs(t - 0.3)), np.argmin(np.abs(s - 0.5))]
    skin = albedo.skin_colour(MEAN)
    np.testing.assert_allclose(cheek, skin, rtol=0.45)
