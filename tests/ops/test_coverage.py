import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import coverage, fragments, grid_mesh
from tests.ops import scenes
from tests.oracles import render as oracle

SIDE = 1.5


def _area(points, side=SIDE, dtype=np.float32):
  return coverage.triangle_in_square(scenes.corners(points, dtype), side)


def _triangles(seed, num, scale=1.0):
  rng = np.random.default_rng(seed)
  return rng.normal(scale=scale, size=(num, 3, 2))


def _want(points, side=SIDE):
  return [oracle.clip_to_square(p, (0, 0), side) / side**2 for p in points]


@pytest.mark.parametrize("scale", (0.1, 0.5, 1, 4, 60))
def test_matches_clipping(scale):
  points = _triangles(0, 200, scale)
  want = _want(points)
  with jax.enable_x64():
    np.testing.assert_allclose(
      _area(points, dtype=np.float64), want, atol=1e-11
    )
  # Float32 corners, in units of the square.
  np.testing.assert_allclose(_area(points), want, atol=3e-6 * max(1, scale))
  assert np.ptp(want) > 0.01


def test_level_and_upright_edges_match_clipping():
  corner = np.array([[-1, -1], [0.25, -1], [0.25, 0.5], [-1, 0.5]])
  points = corner[[[0, 1, 2], [0, 2, 1], [0, 2, 3], [1, 2, 3], [3, 1, 0]]]
  # Also less than level, down to where slopes are not computed.
  tilts = (0, 1e-7, 1e-5, 1e-4, 3e-4, 1e-3)
  points = np.concatenate([points + [[0, 0], [t, t], [0, 0]] for t in tilts])
  np.testing.assert_allclose(_area(points), _want(points), atol=2e-4)
  near = np.concatenate([points[:5], points[15:]])
  np.testing.assert_allclose(_area(near), _want(near), atol=1e-4)


def test_tiles_add_up_to_the_whole():
  rng = np.random.default_rng(0)
  steps = np.linspace(-2, 2, 8)
  grid = np.stack(np.meshgrid(steps, steps), -1)
  grid[1:-1, 1:-1] += rng.uniform(-0.2, 0.2, (6, 6, 2))
  faces = grid_mesh.grid_faces(8, 8)
  points = grid.reshape(-1, 2)[faces]
  for shift in ((0, 0), (0.3, -0.7)):
    total = _area(points + np.array(shift)).sum()
    np.testing.assert_allclose(total, 1, atol=2e-6)
    with jax.enable_x64():
      total = _area(points + np.array(shift), dtype=np.float64).sum()
      np.testing.assert_allclose(total, 1, atol=1e-12)


def test_order_and_side_do_not_matter():
  points = _triangles(1, 50)
  for order in ([1, 2, 0], [1, 0, 2]):
    np.testing.assert_allclose(
      _area(points[:, order]), _area(points), atol=1e-6
    )
  np.testing.assert_allclose(
    _area(3 * points, 3 * SIDE), _area(points), atol=1e-6
  )


@pytest.mark.parametrize("scale", (0.3, 1, 4))
def test_gradient_in_float64(scale):
  # Kinks are at corners of the square; none of these is within 1e-6 of one.
  points = _triangles(2, 100, scale)
  rng = np.random.default_rng(3)
  with jax.enable_x64():
    weight = jnp.asarray(rng.normal(size=100))
    f = lambda c: jnp.sum(weight * coverage.triangle_in_square(c, SIDE))
    c = scenes.corners(points, np.float64)
    check_grads(jax.jit(f), (c,), order=1, modes=("rev",), eps=1e-6)


def test_gradient_is_that_of_the_clipped_area():
  """Vertex by vertex, by central differences of the reference."""
  points, h = _triangles(4, 12), 1e-6
  with jax.enable_x64():
    c = scenes.corners(points, np.float64)
    f = lambda c: jnp.sum(coverage.triangle_in_square(c, SIDE))
    grad = jax.grad(f)(c)
  for k, axis in np.ndindex(3, 2):
    step = np.zeros((3, 2))
    step[k, axis] = h
    want = np.subtract(_want(points + step), _want(points - step)) / (2 * h)
    np.testing.assert_allclose(grad[axis][k], want, atol=1e-8)


def test_moving_a_tiled_surface_changes_nothing():
  """Gradients of neighbours cancel inside a surface."""
  points = np.array([[-2, -2], [2, -2.0], [2, 2], [-2, 2], [0.1, 0.2]])
  faces = jnp.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])

  def total(points):
    x, y = points[:, 0], points[:, 1]
    three = lambda v: tuple(v[faces[:, k]] for k in range(3))
    corners = fragments.Corners(three(x), three(y))
    return jnp.sum(coverage.triangle_in_square(corners, SIDE))

  grad = jax.grad(total)(jnp.asarray(points, jnp.float32))
  np.testing.assert_allclose(grad, 0, atol=1e-6)


def test_triangles_of_no_area_have_finite_gradients():
  points = np.array(
    [
      [[0.1, 0.1]] * 3,
      [[0, 0], [1, 1], [0.5, 0.5]],
      [[0, 0], [0, 0], [0.5, 0.3]],
      [[-1, 0], [0, 0], [1, 0]],
      [[0, -1], [0, 0], [0, 1]],
      [[5, 5], [5, 5], [5, 5]],
      [[0, 0], [1e-20, 0], [0, 1e-20]],
    ]
  )
  value = _area(points)
  np.testing.assert_allclose(value, 0, atol=1e-7)
  f = lambda c: jnp.sum(coverage.triangle_in_square(c, SIDE))
  grad = jax.grad(f)(scenes.corners(points))
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grad))


def test_jit_equals_eager():
  points = _triangles(5, 100)
  got = jax.jit(lambda c: coverage.triangle_in_square(c, SIDE))(
    scenes.corners(points)
  )
  np.testing.assert_allclose(got, _area(points), atol=1e-6)
