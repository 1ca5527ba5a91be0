import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import fragments, hard_raster, soft_raster, triangles
from tests.ops import scenes
from tests.oracles import render as oracle

SIZE = 12
CAMERA = cameras.Camera(SIZE)
PLENTY = fragments.Capacity(3000, 9000)


@functools.partial(jax.jit, static_argnames=("edge", "capacity", "cull"))
def _compiled(
  xy, depth, values, faces, temperature, *, edge, capacity=PLENTY, cull=False
):
  is_before = jnp.ones(xy.shape[0], bool)
  mesh = triangles.gather(xy, depth, values, faces, is_before, cull=cull)
  return soft_raster.draw(
    mesh,
    jnp.array(scenes.EMPTY, xy.dtype),
    SIZE,
    capacity,
    edge_px=edge,
    temperature=temperature,
  )


def _draw(
  xy, depth, values, faces, edge, temperature, dtype=np.float32, cull=False
):
  """Values [S, S, C] and mask [S, S]."""
  arrays = [np.asarray(x, dtype) for x in (xy, depth, values)]
  out, mask, num_dropped = _compiled(
    *arrays, np.int32(faces), dtype(temperature), edge=edge, cull=cull
  )
  assert num_dropped == 0
  return out.reshape(SIZE, SIZE, -1), mask.reshape(SIZE, SIZE)


def _check(mesh, edge, temperature):
  out, mask = _draw(*mesh, edge, temperature)
  want, want_mask = oracle.soft(*mesh, SIZE, scenes.EMPTY, edge, temperature)
  # Shares below 1e-5 are dropped; the depth of slivers is of few digits.
  np.testing.assert_allclose(mask, want_mask, atol=1e-4)
  is_close = np.abs(out - want).max(-1) < 2e-3
  assert is_close.mean() > 0.98
  assert np.abs(out - want).mean() < 1e-4
  return want_mask


@pytest.mark.parametrize(
  "edge, temperature", ((0.5, 0.05), (1.0, 0.01), (2.5, 0.02))
)
def test_large_triangles_that_cross_match_the_oracle(edge, temperature):
  for seed in range(3):
    points, faces, colours = scenes.soup(seed, 9, CAMERA, np.float64)
    mesh = (*scenes.seen(points[0], colours[0], CAMERA), faces)
    mask = _check(mesh, edge, temperature)
    assert ((mask > 0.01) & (mask < 0.99)).mean() > 0.02


@pytest.mark.parametrize(
  "pose",
  (
    scenes.pose(),
    scenes.pose(20, -35, 10, (0.01, -0.02, 0)),
    scenes.pose(0, 60),
    scenes.pose(0, 75),
  ),
)
def test_depth_maps_match_the_oracle(pose):
  depth, colour = scenes.nose(SIZE), scenes.picture(SIZE)
  _check(scenes.mesh_in_view(depth, colour, pose, CAMERA), 1.0, 0.01)


def test_a_surface_is_blurred_by_a_box_and_not_dimmed():
  """Inside: the mean over the square. A plane's mean is its middle."""
  xy = np.array([[2.3, 1.7], [40, 2], [2.3, 40], [40.0, 40]])
  values = np.concatenate([xy, np.ones((4, 1)), np.ones((4, 1))], -1)
  faces = [[0, 1, 2], [1, 3, 2]]
  out, mask = _draw(xy, np.ones(4), values, faces, 1.0, 0.01)
  y, x = np.mgrid[4:SIZE, 4:SIZE]
  np.testing.assert_allclose(mask[4:, 4:], 1, atol=1e-6)
  np.testing.assert_allclose(out[4:, 4:, 0], x, atol=0.05)
  np.testing.assert_allclose(out[4:, 4:, 1], y, atol=0.05)
  # Column 2 covers 1.5 to 2.5, of which the surface has 2.3 to 2.5.
  np.testing.assert_allclose(mask[4:, 2], 0.2, atol=1e-5)
  np.testing.assert_allclose(mask[4:, :2], 0)


def _two_layers(gap):
  """A half-plane at depth 1 before a plane at 1 + gap."""
  far = [[-9, -9], [99, -9], [-9, 99]]
  near = [[-9, -99], [5.25, -99], [5.25, 99], [-9, 99]]
  xy = np.array(far + near, float)
  depth = np.array([1 + gap] * 3 + [1.0] * 4)
  values = np.zeros((7, 4))
  values[:3, 0], values[3:, 1], values[:, 3] = 1, 1, depth
  return xy, depth, values, [[0, 1, 2], [3, 4, 5], [3, 5, 6]]


def test_the_nearer_is_put_over_the_farther_by_its_share():
  out, mask = _draw(*_two_layers(0.1), 1.0, 0.01)
  np.testing.assert_allclose(mask, 1, atol=1e-6)
  # Column 5 covers 4.5 to 5.5, of which the nearer has three quarters.
  want = np.zeros((SIZE, 2))
  want[:5, 1], want[5], want[6:, 0] = 1, (0.25, 0.75), 1
  np.testing.assert_allclose(
    out[..., :2], np.tile(want, (SIZE, 1, 1)), atol=2e-4
  )


def test_layers_less_apart_than_the_temperature_are_one():
  out, _ = _draw(*_two_layers(0.001), 1.0, 0.01)
  np.testing.assert_allclose(out[0, 2, :2], 0.5, atol=1e-5)
  out, _ = _draw(*_two_layers(0.02), 1.0, 0.01)
  # The farther counts 2 exp(-2) against 1.
  share = 2 * np.exp(-2.0)
  np.testing.assert_allclose(out[0, 2, 0], share / (1 + share), atol=1e-3)


def test_sharp_limit_is_the_hard_picture():
  for pose in (scenes.pose(5, 20, 3), scenes.pose(0, 60)):
    mesh = scenes.mesh_in_view(
      scenes.nose(SIZE), scenes.picture(SIZE), pose, CAMERA
    )
    _, want, nearest, edge_px = oracle.hard(*mesh, SIZE, scenes.EMPTY)
    out, mask = _draw(*mesh, 1e-2, 1e-4)
    clear = edge_px > 1e-2
    assert clear.mean() > 0.85
    np.testing.assert_array_equal(mask[clear] > 0.5, nearest[clear] < np.inf)
    np.testing.assert_allclose(out[clear], want[clear], atol=1e-3)


def test_lost_fragments_are_counted():
  mesh = _two_layers(0.1)
  count = lambda capacity: int(
    _compiled(
      *(np.float32(x) for x in mesh[:3]),
      np.int32(mesh[3]),
      np.float32(0.1),
      edge=1.0,
      capacity=capacity,
    )[2]
  )
  assert count(PLENTY) == 0
  assert count(fragments.Capacity(3000, 10)) > 100
  assert count(fragments.Capacity(5, 9000)) > 10


def _gradients(mesh, edge, temperature, eps=1e-6):
  """Of random weights of all that is drawn, to place, depth and values."""
  xy, depth, values, faces = mesh
  rng = np.random.default_rng(9)
  with jax.enable_x64():
    weight = jnp.asarray(rng.normal(size=(SIZE**2, 4)))
    weight_mask = jnp.asarray(rng.normal(size=SIZE**2))

    def f(xy, depth, values):
      out, mask, _ = _compiled(
        xy,
        depth,
        values,
        np.int32(faces),
        temperature,
        edge=edge,
      )
      return jnp.sum(weight * out) + jnp.sum(weight_mask * mask)

    arguments = [jnp.asarray(x, jnp.float64) for x in (xy, depth, values)]
    check_grads(
      jax.jit(f), arguments, order=1, modes=("rev",), eps=eps, rtol=1e-4
    )


@pytest.mark.parametrize(
  "seed", (0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3)))
)
@pytest.mark.parametrize("temperature", (0.02, 0.2))
def test_gradient_at_silhouettes_and_occlusions(seed, temperature):
  """Piecewise smooth: no seed was left out to make this pass."""
  points, faces, colours = scenes.soup(seed, 5, CAMERA, np.float64)
  mesh = (*scenes.seen(points[0], colours[0], CAMERA), faces)
  _gradients(mesh, 1.3, temperature)


@pytest.mark.parametrize("yaw", (pytest.param(10, marks=pytest.mark.slow), 60))
def test_gradient_of_a_depth_map(yaw):
  mesh = scenes.mesh_in_view(
    scenes.nose(6, np.float64),
    scenes.picture(6, np.float64),
    scenes.pose(4, yaw, 3, dtype=np.float64),
    cameras.Camera(6),
  )
  xy, depth, values, faces = mesh
  _gradients((2 * xy + 0.3, depth, values, faces), 1.0, 0.01)


def _area_sampled(mesh, fine=9):
  """Averages hard pictures over the square of each pixel."""
  total, mask = 0, 0
  for i in range(fine):
    for j in range(fine):
      shift = np.array([i, j]) / fine + 0.5 / fine - 0.5
      out, seen, *_ = _sampled_once(mesh[0] - shift, *mesh[1:])
      total, mask = total + out, mask + seen
  count = fine * fine
  return (x.reshape(SIZE, SIZE, -1) / count for x in (total, mask))


@jax.jit
def _sampled_once(xy, depth, values, faces):
  is_before = jnp.ones(xy.shape[0], bool)
  mesh = triangles.gather(xy, depth, values, faces, is_before)
  return hard_raster.draw(mesh, jnp.array(scenes.EMPTY, xy.dtype), SIZE)


@pytest.mark.parametrize("yaw", (0.0, 35.0, -60.0))
def test_without_back_sides_it_is_near_area_sampling(yaw):
  pose = scenes.pose(4.0, yaw, 3.0)
  mesh = scenes.mesh_in_view(
    scenes.nose(SIZE), scenes.picture(SIZE), pose, CAMERA
  )
  mesh = tuple(np.asarray(x, np.float32) for x in mesh[:3]) + mesh[3:]
  want, _ = _area_sampled(mesh)
  hard, _ = _area_sampled(mesh, fine=1)
  both, culled = (
    _draw(*mesh, 1.0, 0.03, cull=cull)[0] for cull in (False, True)
  )
  worst, with_backs, error = (
    np.abs(out - want).mean() for out in (hard, both, culled)
  )
  # One colour for a triangle's part of a pixel, and two layers, are left.
  assert error < 0.3 * worst
  assert error < with_backs if yaw else error == with_backs
