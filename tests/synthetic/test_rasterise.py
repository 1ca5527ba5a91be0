import numpy as np
import pytest

from facerep_jax.synthetic import rasterise
from tests.oracles.rasterise import rasterise_loop


def _dense(raster, height, width):
  face = np.full(height * width, -1)
  depth = np.full(height * width, np.inf)
  weights = np.zeros((height * width, 3))
  face[raster.pixel] = raster.face
  depth[raster.pixel] = raster.depth
  weights[raster.pixel] = raster.barycentric
  return (
    face.reshape(height, width),
    depth.reshape(height, width),
    weights.reshape(height, width, 3),
  )


@pytest.mark.parametrize("seed", range(6))
def test_matches_a_brute_force_loop(seed):
  # Overlapping, intersecting, back-facing, partly outside, behind the camera.
  rng = np.random.default_rng(seed)
  height, width = 17, 23
  xy = rng.uniform(-6, 28, (40, 2))
  depth = rng.uniform(-0.2, 4, 40)
  # No triangle twice: which of two equal depths wins would be rounding.
  faces = np.unique(np.sort(rng.integers(0, 40, (60, 3)), axis=1), axis=0)
  faces = rng.permuted(faces, axis=1)
  got = _dense(
    rasterise.rasterise(xy, depth, faces, height, width), height, width
  )
  want = rasterise_loop(xy, depth, faces, height, width)
  np.testing.assert_array_equal(got[0], want[0])
  assert (want[0] >= 0).mean() > 0.3
  seen = want[0] >= 0
  # Plane coefficients of thin triangles lose digits.
  np.testing.assert_allclose(got[1][seen], want[1][seen], rtol=1e-7)
  np.testing.assert_allclose(got[2], want[2], atol=1e-5)  # Stored in float32.


def test_nearer_triangle_hides_the_other_in_any_order():
  square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], float)
  xy = np.concatenate([square, square])
  depth = np.repeat([2.0, 1.0], 4)
  far, near = [[0, 1, 2], [0, 2, 3]], [[4, 5, 6], [4, 6, 7]]
  for faces, want in ((far + near, {2, 3}), (near + far, {0, 1})):
    raster = rasterise.rasterise(xy, depth, np.array(faces), 10, 10)
    assert raster.pixel.size == 100
    assert set(raster.face) == want


def test_faces_that_share_edges_leave_no_hole():
  rng = np.random.default_rng(3)
  x, y = np.meshgrid(np.linspace(2, 60, 12), np.linspace(2, 60, 12))
  xy = np.stack([x.ravel(), y.ravel()], -1) + rng.uniform(-1.5, 1.5, (144, 2))
  first = (np.arange(11)[:, None] * 12 + np.arange(11)).ravel()
  faces = np.concatenate(
    [
      np.stack([first, first + 1, first + 13], -1),
      np.stack([first, first + 13, first + 12], -1),
    ]
  )
  raster = rasterise.rasterise(xy, np.ones(144), faces, 64, 64)
  covered = np.zeros((64, 64), bool)
  covered.ravel()[raster.pixel] = True
  assert covered[5:57, 5:57].all()


def test_interpolation_is_perspective_correct():
  # A slanted plane: a value linear in space must come out as the ray says.
  corners = np.array([[-1, -1, 2.0], [3, -1, 6.0], [-1, 3, 2.0]])
  xy = 20 * corners[:, :2] / corners[:, 2:] + 10
  faces = np.array([[0, 1, 2]])
  raster = rasterise.rasterise(xy, corners[:, 2], faces, 32, 32)
  assert raster.pixel.size > 50
  got = raster.interpolate(faces, corners.astype(np.float32))
  y, x = np.divmod(raster.pixel, 32)
  np.testing.assert_allclose(got[:, 2], raster.depth, rtol=1e-5)
  # Float32 values of a few units, times the focal length 20.
  np.testing.assert_allclose(20 * got[:, 0] / got[:, 2] + 10, x, atol=1e-4)
  np.testing.assert_allclose(20 * got[:, 1] / got[:, 2] + 10, y, atol=1e-4)


def test_nothing_in_sight_is_an_empty_raster():
  xy = np.array([[-9, -9], [-5, -9], [-5, -5.0]])
  raster = rasterise.rasterise(xy, np.ones(3), np.array([[0, 1, 2]]), 8, 8)
  assert raster.pixel.size == 0 and raster.barycentric.shape == (0, 3)
