import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import hard_raster, triangles
from facerep_jax.synthetic import head, rasterise
from tests.ops import scenes
from tests.oracles import geometry
from tests.oracles import render as oracle

SIZE = 16
CAMERA = cameras.Camera(SIZE)


@pytest.fixture(params=hard_raster.RASTERS)
def raster(request):
  return request.param


def _draw(raster, xy, depth, values, faces, size=SIZE, dtype=np.float32):
  """Seen triangle, values and mask, [S, S, ...]."""
  mesh = triangles.gather(
    jnp.asarray(xy, dtype),
    jnp.asarray(depth, dtype),
    jnp.asarray(values, dtype),
    jnp.asarray(faces, jnp.int32),
    jnp.ones(len(xy), bool),
  )
  background = jnp.asarray(scenes.EMPTY, dtype)

  @jax.jit
  def draw(mesh):
    fixed = mesh._replace(values=())
    face = hard_raster.visible_faces(fixed, size, raster=raster)
    return face, *hard_raster.draw(mesh, background, size, raster=raster)

  return [np.asarray(x).reshape(size, size, *x.shape[1:]) for x in draw(mesh)]


def _check(raster, xy, depth, values, faces, least_share):
  face, shown, mask = _draw(raster, xy, depth, values, faces)
  want = oracle.hard(xy, depth, values, faces, SIZE, scenes.EMPTY)
  # Choices are made 0.001 px off centre, along both axes.
  clear = want[3] > 2e-3
  assert clear.mean() > least_share
  np.testing.assert_array_equal(face[clear], want[0][clear])
  np.testing.assert_array_equal(mask, face >= 0)
  # Float32 pixels near the edges of large or thin triangles.
  np.testing.assert_allclose(shown[clear], want[1][clear], atol=3e-4)
  return face


@pytest.mark.parametrize("seed", range(4))
def test_large_triangles_that_cross_match_the_oracle(raster, seed):
  points, faces, colours = scenes.soup(seed, 12, CAMERA, np.float64)
  seen = scenes.seen(points[0], colours[0], CAMERA)
  face = _check(raster, *seen, faces, 0.95)
  assert len(np.unique(face)) > 5


@pytest.mark.parametrize(
  "pose",
  (
    scenes.pose(1, -2, 0.5),
    scenes.pose(20, -35, 10, (0.01, -0.02, 0)),
    scenes.pose(-30, 10, 50),
    scenes.pose(0, 60),
    scenes.pose(0, 75),
    scenes.pose(10, -60, -20),
  ),
)
def test_depth_maps_match_the_oracle(raster, pose):
  depth, colour = scenes.nose(SIZE), scenes.picture(SIZE)
  mesh = scenes.mesh_in_view(depth, colour, pose, CAMERA)
  _check(raster, *mesh, 0.9)


@pytest.mark.parametrize("yaw", (60, 75))
def test_the_nose_hides_the_far_cheek(raster, yaw):
  depth, colour = scenes.nose(SIZE), scenes.picture(SIZE)
  pose = scenes.pose(0, yaw)
  xy, z, values, faces = scenes.mesh_in_view(depth, colour, pose, CAMERA)
  face, shown, _ = _draw(raster, xy, z, values, faces)
  winner, _, nearest, edge = oracle.hard(
    xy, z, values, faces, SIZE, scenes.EMPTY
  )
  # How many surfaces lie behind each pixel.
  layers = np.zeros((SIZE, SIZE), int)
  for number in range(len(faces)):
    alone = oracle.hard(
      xy, z, values, faces[number : number + 1], SIZE, (0,) * 4
    )
    layers += alone[0] >= 0
  several = (layers > 1) & (edge > 2e-3)
  assert several.sum() >= 8
  np.testing.assert_array_equal(face[several], winner[several])
  np.testing.assert_allclose(shown[several, 3], nearest[several], atol=1e-4)


def test_head_matches_the_other_rasteriser(raster):
  """The synthetic head of 100 mm units, as the generator draws it."""
  model, size = head.built_in(), 64
  turn = geometry.rotation(0.1, 0.5, 0.05)
  points = model.template @ turn.T + [0, 0, 12.0]
  camera = cameras.Camera(size, fov_deg=12.0)
  xy, depth, values = scenes.seen(points, points, camera)
  faces = np.asarray(model.chart.faces)
  a, b, c = (xy[faces[:, k]] for k in range(3))
  area = (b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]
  faces = faces[area > 0]  # The other draws front sides only.
  other = rasterise.rasterise(xy, depth, faces, size, size)
  want = np.full(size * size, 1.2)
  want[other.pixel] = other.depth
  _, shown, mask = _draw(raster, xy, depth, values, faces, size)
  assert 0.4 < mask.mean() < 0.9
  is_same = np.abs(shown[..., 3].ravel() - want) < 1e-3  # Of 12 units: 1e-4.
  assert is_same.mean() >= 0.995


def test_first_of_equals_wins(raster):
  xy = np.array([[-1, -1], [40, -1], [-1, 40.0]] * 3)
  depth = np.array([2.0, 2, 2, 1, 1, 1, 1, 1, 1])
  face, shown, _ = _draw(
    raster, xy, depth, np.zeros((9, 4)), np.arange(9).reshape(3, 3)
  )
  np.testing.assert_array_equal(face, 1)


@pytest.mark.parametrize("reach", (1.2, 30, 1000))
def test_surfaces_have_no_cracks(raster, reach):
  """Random triangulations of the image, with corners far outside."""
  rng = np.random.default_rng(0)
  for _ in range(3):
    middle = rng.uniform(0, SIZE, 2)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    angles = np.concatenate([angles, np.linspace(0, 2 * np.pi, 8)])
    rim = np.stack([np.cos(angles), np.sin(angles)], -1)
    rim = middle + 2 * SIZE * reach * rim[np.argsort(angles)]
    xy = np.concatenate([[middle], rim])
    faces = [[0, k, k + 1] for k in range(1, 17)] + [[0, 17, 1]]
    mask = _draw(raster, xy, np.ones(18), np.zeros((18, 4)), faces)[2]
    assert mask.all()


def test_needles_show_nothing_but_what_they_hold(raster):
  """Values stay near those of the corners however thin a triangle is."""
  rng = np.random.default_rng(0)
  num = 10 * SIZE**2
  # Each passes near the centre of a pixel.
  centre = np.stack(np.divmod(np.arange(num) % SIZE**2, SIZE), -1)
  along = rng.normal(size=(num, 1, 2)) * rng.uniform(-1, 1, (num, 3, 1))
  xy = centre[:, None] + along + rng.normal(scale=5e-4, size=(num, 3, 2))
  xy = xy.reshape(-1, 2)
  depth = rng.uniform(0.9, 1.1, 3 * num)
  values = np.concatenate([rng.uniform(size=(3 * num, 3)), depth[:, None]], 1)
  faces = np.arange(3 * num).reshape(num, 3)
  _, shown, mask = _draw(raster, xy, depth, values, faces)
  assert mask.mean() > 0.2
  seen = shown[mask > 0]
  assert seen[:, :3].min() > -0.05 and seen[:, :3].max() < 1.05
  assert seen[:, 3].min() > 0.89 and seen[:, 3].max() < 1.11


def test_any_number_of_layers_is_drawn(raster):
  """Far more pairs than one list holds: none is lost."""
  num = 60
  xy = np.tile([[-9, -9], [90, -9], [-9, 90.0]], (num, 1))
  depth = np.repeat(np.linspace(2, 1, num), 3)
  faces = np.arange(3 * num).reshape(num, 3)
  face, shown, mask = _draw(raster, xy, depth, np.zeros((3 * num, 4)), faces)
  np.testing.assert_array_equal(face, num - 1)
