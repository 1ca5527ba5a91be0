import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import grid_mesh, triangles
from tests.ops import scenes
from tests.oracles import geometry


def _mesh(xy, faces, is_before=None):
  num = len(xy)
  is_before = np.ones(num, bool) if is_before is None else is_before
  return triangles.gather(
    jnp.asarray(xy, jnp.float32),
    jnp.arange(1, num + 1, dtype=jnp.float32),
    jnp.arange(2 * num, dtype=jnp.float32).reshape(num, 2),
    jnp.asarray(faces, jnp.int32),
    jnp.asarray(is_before),
  )


def test_gather_takes_what_is_at_the_corners():
  xy = np.random.default_rng(0).uniform(0, 9, (5, 2)).astype(np.float32)
  faces = [[0, 3, 1], [4, 2, 0]]
  mesh = _mesh(xy, faces)
  for k in range(3):
    at = [face[k] for face in faces]
    np.testing.assert_array_equal(mesh.corners.x[k], xy[at, 0])
    np.testing.assert_array_equal(mesh.corners.y[k], xy[at, 1])
    np.testing.assert_array_equal(mesh.depth[k], np.add(at, 1))
    np.testing.assert_array_equal(mesh.values[k][:, 1], 2 * np.array(at) + 1)
  one = triangles.take(mesh, jnp.array([1, 1]))
  np.testing.assert_array_equal(one.depth[0], [5, 5])


def test_does_not_draw_what_is_flat_or_behind():
  xy = [[0, 0], [4, 0], [0, 4], [8, 0], [0, 0]]
  faces = [[0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 0, 2], [2, 1, 0], [1, 2, 3]]
  got = _mesh(xy, faces, [True, True, True, False, True]).is_drawn
  np.testing.assert_array_equal(got, [True, False, False, False, True, False])


def test_weights_find_the_place_in_space():
  """A point of a slanted triangle, seen through the pinhole."""
  camera = cameras.Camera(9, fov_deg=50.0)
  points = np.array([[-0.5, -0.4, 0.9], [0.6, -0.2, 2.0], [0.1, 0.5, 1.3]])
  shares = np.array([0.2, 0.3, 0.5])
  place = shares @ points
  xy, depth, _ = scenes.seen(points, points, camera)
  pixel = geometry.project(place, 9, 50.0)
  corners = scenes.corners((xy - pixel)[None])
  areas = triangles.edge_areas(corners)
  total = areas[0] + areas[1] + areas[2]
  a, b, c = xy
  want = (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]
  np.testing.assert_allclose(total, want, rtol=1e-5)
  depth = [jnp.array([z], jnp.float32) for z in depth]
  got = triangles.in_space([part / total for part in areas], depth)
  np.testing.assert_allclose(np.ravel(got), shares, atol=1e-5)
  values = [jnp.asarray(p, jnp.float32)[None] for p in points]
  np.testing.assert_allclose(triangles.mean(got, values)[0], place, atol=1e-5)


def test_area_is_positive_clockwise_and_edges_agree():
  points = scenes.triangles(0, 50, 9)
  areas = np.stack(triangles.edge_areas(scenes.corners(points)))
  turned = np.stack(triangles.edge_areas(scenes.corners(points[:, [0, 2, 1]])))
  np.testing.assert_allclose(turned[[0, 2, 1]], -areas, atol=1e-4)
  right = np.array([[[0, 0], [1, 0], [0, 1.0]]])  # Clockwise, y down.
  assert sum(triangles.edge_areas(scenes.corners(right)))[0] == 1


def test_unused_places_hold_a_triangle_that_can_be_divided_by():
  mesh = _mesh([[np.inf, 0], [0, 0], [0, 0]], [[0, 1, 2]] * 2)
  used = jnp.array([False, False])
  zero = jnp.zeros(2, jnp.int32)

  def area(mesh):
    corners = triangles.relative(mesh, zero, zero, used)
    return jnp.sum(1 / sum(triangles.edge_areas(corners)))

  assert area(mesh) == 2
  grad = jax.grad(lambda c: area(mesh._replace(corners=c)))(mesh.corners)
  assert not any(np.any(g) for g in jax.tree.leaves(grad))


def test_corners_of_a_grid_are_not_looked_up():
  side = 12
  faces = grid_mesh.grid_faces(side, side)

  def lookups(faces):
    num = side * side
    mesh = lambda xy, z, values: triangles.gather(
      xy, z, values, faces, jnp.ones(num, bool)
    )
    shapes = (num, 2), (num,), (num, 4)
    return str(jax.make_jaxpr(mesh)(*map(jnp.ones, shapes))).count("gather")

  assert lookups(grid_mesh.Grid(side, side)) == 0
  assert lookups(faces) > 0
