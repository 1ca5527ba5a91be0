import numpy as np
import pytest

from facerep_jax.ops import grid_mesh
from tests.oracles import geometry as oracle


def test_matches_published(golden):
  want = np.load(golden / "geometry_small.npz")["faces"][0]
  got = grid_mesh.grid_faces(4, 5)
  assert got.dtype == np.int32
  np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 7), (6, 2)])
def test_matches_loop_and_covers_the_grid(height, width):
  faces = grid_mesh.grid_faces(height, width)
  np.testing.assert_array_equal(faces, oracle.grid_faces(height, width))
  y, x = np.divmod(faces, width)
  ax, ay = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
  bx, by = x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
  # All turn the same way, and each covers half a cell.
  np.testing.assert_array_equal(ax * by - ay * bx, -1)
  assert len(faces) == 2 * (height - 1) * (width - 1)


def test_no_faces_without_cells():
  assert grid_mesh.grid_faces(1, 5).shape == (0, 3)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 7), (6, 2)])
def test_a_grid_has_the_corners_of_its_faces(height, width):
  grid = grid_mesh.Grid(height, width)
  faces = oracle.grid_faces(height, width)
  assert len(grid) == len(faces)
  assert grid.num_vertices == height * width
  rng = np.random.default_rng(0)
  for shape in ((height * width,), (height * width, 3)):
    column = rng.normal(size=shape).astype(np.float32)
    for k, corner in enumerate(grid.corners(column)):
      np.testing.assert_array_equal(corner, column[faces[:, k]])
