import jax.numpy as jnp
import pytest

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import face_lists, fragments
from tests.ops import scenes


@pytest.mark.parametrize("size", (16, 64))
def test_faces_from_the_front_need_one_list(size):
  depth, colour = scenes.nose(size), scenes.picture(size)
  camera, box = cameras.Camera(size), {"half_px": 1e-4, "size_px": size}
  most = 0
  for roll in (-20, 0, 20):
    pose = scenes.pose(5, 2, roll)
    xy, _, _, faces = scenes.mesh_in_view(depth, colour, pose, camera)
    corners = scenes.corners(xy[faces])
    drawn = jnp.ones(len(faces), bool)
    rows = fragments.rows(corners, drawn, **box)
    spans = fragments.spans(corners, rows, 3 * len(faces), **box)
    needed = fragments.Capacity(rows.counts.sum(), spans.counts.sum())
    listed = face_lists.list_lengths(len(faces), size)
    assert needed.rows <= listed.rows and needed.pixels <= listed.pixels
    most = max(most, needed.rows / listed.rows)
  assert most > 0.8  # Nor are lists much longer than that.
