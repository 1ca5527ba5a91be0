import numpy as np

from facerep_jax.synthetic import head, shading, shadows


def _cast(toward, soft=0.05):
  model = head.built_in()
  toward = np.array(toward, float)
  toward /= np.linalg.norm(toward)
  normal = shading.grid_normals(model.template, *model.chart.shape)
  return model, shadows.cast(
    model.template, normal, model.chart.faces, toward, soft
  )


def _mean(model, lit, s, t, reach=0.06):
  near = (np.abs(model.s - s) < reach) & (np.abs(model.t - t) < reach)
  return lit[near].mean()


def test_light_from_the_front_casts_no_shadow_on_the_face():
  model, lit = _cast([0, 0, -1])
  face = (np.abs(model.s) < 0.8) & (model.t > -0.8) & (model.t < 0.8)
  assert lit[face].mean() > 0.95
  assert ((lit >= 0) & (lit <= 1)).all()


def test_light_from_a_side_puts_the_cheek_behind_the_nose_in_shadow():
  model, lit = _cast([1, -0.1, -0.45])
  assert _mean(model, lit, 0.6, 0.3) > 0.9
  assert _mean(model, lit, -0.16, 0.25) < 0.5


def test_light_from_above_puts_the_neck_in_the_shadow_of_the_chin():
  model, lit = _cast([0, -1, -0.5])
  assert _mean(model, lit, 0.0, 1.3) < 0.3
  assert _mean(model, lit, 0.0, -0.5) > 0.9
  # And what lies under the nose, but not its ridge.
  assert _mean(model, lit, 0.0, 0.55, 0.04) < _mean(model, lit, 0, 0.3) - 0.3


def test_soft_shadows_have_wider_edges():
  counts = []
  for soft in (0.01, 0.3):
    _, lit = _cast([1, -0.3, -0.7], soft)
    counts.append(((lit > 0.1) & (lit < 0.9)).sum())
  assert counts[1] > 1.2 * counts[0]


def test_parts_take_the_shade_of_the_skin_around_them():
  model = head.built_in()
  lit = (model.s > 0).astype(np.float32)
  right, left, upper, lower = shadows.of_parts(model.s, model.t, lit)
  assert (right, left) == (0.0, 1.0)
  assert 0.3 < upper == lower < 0.7
