import numpy as np

from facerep_jax.synthetic import chart, head, shading


def _light(direction, ambient=0.0):
  direction = np.array([direction], float)
  return shading.Light(
    direction / np.linalg.norm(direction),
    ambient,
    sun=np.full(3, 1 - ambient),
    sky=np.full(3, ambient),
  )


def test_grid_normals_of_a_sphere_point_outward():
  grid = chart.grid()
  s, t = grid.mesh()
  height = np.interp(t, [t.min(), t.max()], [-0.99, 0.99])
  ring = np.sqrt(1 - height**2)
  sphere = np.stack([ring * np.sin(s), height, -ring * np.cos(s)], axis=-1)
  normal = shading.grid_normals(sphere, *grid.shape)
  middle = np.abs(height) < 0.8
  # Central differences on an uneven grid.
  assert (normal * sphere).sum(-1)[middle].min() > 0.99


def test_lambert_follows_the_cosine_and_the_back_is_dark():
  normal = np.array([[0, 0, -1], [0.6, 0, -0.8], [0, 0, 1]], np.float32)
  lit = shading.irradiance(
    normal, np.ones(3, np.float32), _light([0, 0, -1]), 0
  )
  np.testing.assert_allclose(lit[:, 0], [1.0, 0.82, 0.0], atol=1e-6)


def test_light_from_a_side_lights_that_side():
  model = head.built_in()
  normal = shading.grid_normals(model.template, *model.chart.shape)
  lit = shading.irradiance(normal, model.cavity, _light([1, 0, -1]), 0)
  cheek = np.abs(model.t - 0.3) < 0.1
  right = cheek & (np.abs(model.s + 0.7) < 0.1)
  left = cheek & (np.abs(model.s - 0.7) < 0.1)
  assert lit[left, 0].mean() > 1.5 * lit[right, 0].mean()


def test_the_label_points_to_the_light():
  label = _light([3, 0, -4], ambient=0.3).label()
  np.testing.assert_allclose(label, [[0.6, 0, -0.8, 0.3]])
  # Of all ways to face, the label's is the brightest.
  normal = np.array([[0.6, 0, -0.8], [0, 0, -1], [-0.6, 0, -0.8]], np.float32)
  lit = shading.irradiance(
    normal, np.ones(3, np.float32), _light(label[0, :3]), 0
  )
  # Cosines of 1, 0.8 and 0.28, of which a tenth reaches round.
  np.testing.assert_allclose(lit[:, 0], [1, 0.82, 0.352], atol=1e-6)


def test_drawn_light_comes_from_the_front_and_drifts_little():
  for seed in range(50):
    light = shading.draw(np.random.default_rng(seed), 16)
    np.testing.assert_allclose(
      np.linalg.norm(light.direction, axis=1), 1, atol=1e-12
    )
    assert (light.direction[:, 2] < 0.3).all()  # Towards the camera, or side.
    turn = (light.direction[1:] * light.direction[:-1]).sum(1)
    assert np.rad2deg(np.arccos(np.minimum(turn, 1))).max() < 8
    np.testing.assert_array_equal(light.label()[:, :3], light.direction)
    np.testing.assert_array_equal(light.label()[:, 3], light.ambient)
