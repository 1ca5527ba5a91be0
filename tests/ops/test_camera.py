import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import warp
from facerep_jax.synthetic import camera as synthetic_camera
from tests.oracles import geometry as oracle

WIDE = camera_ops.Camera(9, fov_deg=40.0, centre_depth=1.3)


def _case(camera=WIDE, dtype=np.float32):
  """Depth and view of a batch of two."""
  rng = np.random.default_rng(0)
  size = camera.size_px
  depth = camera.centre_depth + rng.uniform(-0.1, 0.1, (2, size, size))
  return depth.astype(dtype), rng.uniform(-1, 1, (2, 6)).astype(dtype)


def _pose(pitch=0.0, yaw=0.0, roll=0.0, shift=(0.0, 0.0, 0.0)):
  """Of one image, from degrees."""
  angles_rad = np.deg2rad(np.array([[pitch, yaw, roll]], np.float32))
  rotation = camera_ops.euler_to_rotation(angles_rad)
  return camera_ops.Pose(rotation, np.array([shift], np.float32))


def _check_golden(reference, step):
  """Their views hold radians and scene units, unscaled."""
  camera = camera_ops.Camera(64)
  rotation = camera_ops.euler_to_rotation(reference["view"][:, :3])
  pose = camera_ops.Pose(rotation, reference["view"][:, 3:])
  points = camera_ops.back_project(reference["depth"], camera)
  got = {
    "rotation": rotation,
    "translation": pose.translation[:, None],
    "grid3d": points[:, ::step, ::step],
    "warped3d": camera_ops.to_view(points, pose, camera)[:, ::step, ::step],
    "inv_warped3d": camera_ops.to_canonical(points, pose, camera)[
      :, ::step, ::step
    ],
    "warped2d": camera_ops.view_grid_ndc(reference["depth"], pose, camera)[
      :, ::step, ::step
    ],
  }
  for name, value in got.items():
    # Float32 on both sides; measured 5e-7 for the grid, 1e-7 for the rest.
    np.testing.assert_allclose(value, reference[name], atol=2e-6, err_msg=name)


def test_matches_published_excerpt(golden):
  _check_golden(np.load(golden / "geometry_small.npz"), 8)


def test_matches_published(shared):
  _check_golden(np.load(shared / "golden" / "geometry.npz"), 4)


def test_views_of_the_network_match_published(shared):
  nets = np.load(shared / "golden" / "autoencoder_nets.npz")
  step = np.load(shared / "golden" / "autoencoder_step.npz")
  pose = camera_ops.pose_from_view(nets["64/out/netV/0"].reshape(2, 6))
  view = step["view"][:2]  # The mirrors have the same.
  want = [oracle.rotation(*np.float64(angles)) for angles in view[:, :3]]
  np.testing.assert_allclose(pose.rotation, want, atol=1e-6)
  np.testing.assert_allclose(pose.translation, view[:, 3:], atol=1e-7)


def test_points_and_pixels_match_loops():
  depth, _ = _case()
  points = camera_ops.back_project(depth, WIDE)
  # Float32 coordinates about 1, pixels up to 9.
  want = oracle.back_project(depth, WIDE.fov_deg)
  np.testing.assert_allclose(points, want, atol=1e-6)
  rng = np.random.default_rng(1)
  cloud = rng.uniform(0.5, 1.5, (2, 7, 3)).astype(np.float32)
  got = camera_ops.project(cloud, WIDE)
  want = oracle.project(cloud, WIDE.size_px, WIDE.fov_deg)
  np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (2, 5, 3), (2, 4, 6, 3)])
def test_movements_match_loops(shape):
  _, view = _case()
  points = np.random.default_rng(1).normal(size=shape).astype(np.float32)
  pose = camera_ops.pose_from_view(view, max_shift_z=0.2)
  args = (
    np.deg2rad(60) * np.float64(view[:, :3]),
    view[:, 3:] * np.array([0.1, 0.1, 0.2]),
    WIDE.centre_depth,
  )
  # Float32 coordinates up to 3.
  np.testing.assert_allclose(
    camera_ops.to_view(points, pose, WIDE),
    oracle.move(points, *args),
    atol=2e-6,
  )
  np.testing.assert_allclose(
    camera_ops.to_canonical(points, pose, WIDE),
    oracle.move(points, *args, is_inverse=True),
    atol=2e-6,
  )


def test_grids_match_loops():
  depth, view = _case()
  pose = camera_ops.pose_from_view(view)
  args = (
    np.deg2rad(60) * np.float64(view[:, :3]),
    view[:, 3:] * np.array([0.1, 0.1, 0.0]),
    WIDE.centre_depth,
  )
  points = oracle.back_project(depth, WIDE.fov_deg)
  for function, is_inverse in (
    (camera_ops.view_grid_ndc, False),
    (camera_ops.canonical_grid_ndc, True),
  ):
    moved = oracle.move(points, *args, is_inverse=is_inverse)
    want_px = oracle.project(moved, WIDE.size_px, WIDE.fov_deg)
    want = want_px / (WIDE.size_px - 1) * 2 - 1
    got = function(depth, pose, WIDE)
    # Float32 quotients of values about 1.
    np.testing.assert_allclose(got, want, atol=5e-6)


def test_there_and_back():
  depth, view = _case()
  pose = camera_ops.pose_from_view(view, max_angle_deg=180.0)
  points = camera_ops.back_project(depth, WIDE)
  moved = camera_ops.to_view(points, pose, WIDE)
  assert np.abs(moved - points).max() > 0.1
  # A few roundings of coordinates about 1.
  np.testing.assert_allclose(
    camera_ops.to_canonical(moved, pose, WIDE), points, atol=1e-6
  )
  pixels = np.stack(np.meshgrid(np.arange(9), np.arange(9)), axis=-1)
  np.testing.assert_allclose(
    camera_ops.project(points, WIDE), np.stack([pixels] * 2), atol=1e-5
  )


def test_rotations_are_proper_and_those_of_the_synthetic_faces():
  angles_rad = np.random.default_rng(0).uniform(-3, 3, (20, 3))
  got = np.asarray(camera_ops.euler_to_rotation(angles_rad.astype(np.float32)))
  # Float32 angles up to 3 are 1e-7 off.
  eye = np.broadcast_to(np.eye(3), got.shape)
  np.testing.assert_allclose(got @ got.swapaxes(1, 2), eye, atol=1e-6)
  np.testing.assert_allclose(np.linalg.det(got), 1, atol=1e-6)
  pitch, yaw, roll = angles_rad.T
  want = synthetic_camera.rotation(yaw, pitch, roll)
  np.testing.assert_allclose(got, want, atol=1e-6)


NOSE, CROWN = (0.0, 0.0, 0.9), (0.0, -0.1, 1.0)


@pytest.mark.parametrize(
  ("turns", "point", "want"),
  [
    # 0.1 before the pivot: 60 degrees take it left by 0.1 sin 60.
    ({"yaw": 60}, NOSE, (-0.0866025, 0, 0.95)),
    ({"yaw": -60}, NOSE, (0.0866025, 0, 0.95)),
    ({"pitch": 30}, NOSE, (0, 0.05, 0.9133975)),
    ({"roll": 30}, NOSE, NOSE),
    ({"roll": 30}, CROWN, (0.05, -0.0866025, 1)),
    ({"yaw": 90, "shift": (0.1, 0.2, 0.3)}, NOSE, (0, 0.2, 1.3)),
  ],
)
def test_known_turns(turns, point, want):
  camera = camera_ops.Camera(64)
  points = np.array([point], np.float32)
  got = camera_ops.to_view(points, _pose(**turns), camera)
  np.testing.assert_allclose(got[0], want, atol=1e-6)


def test_a_view_is_scaled_to_degrees_and_scene_units():
  view = np.array([[0, 0.5, 0, 1, -1, 1]], np.float32)
  pose = camera_ops.pose_from_view(view)
  np.testing.assert_allclose(pose.rotation, _pose(yaw=30).rotation, atol=1e-6)
  np.testing.assert_allclose(pose.translation, [[0.1, -0.1, 0]], rtol=1e-6)
  pose = camera_ops.pose_from_view(
    view, max_angle_deg=90.0, max_shift=0.2, max_shift_z=0.3
  )
  np.testing.assert_allclose(pose.rotation, _pose(yaw=45).rotation, atol=1e-6)
  np.testing.assert_allclose(pose.translation, [[0.2, -0.2, 0.3]], rtol=1e-6)


def test_the_field_of_view_spans_the_centres_of_border_pixels():
  camera = camera_ops.Camera(64)
  assert hash(camera) == hash(camera_ops.Camera(64, 10.0, 1.0))
  points = camera_ops.back_project(np.ones((1, 64, 64), np.float32), camera)
  edge = np.tan(np.deg2rad(5))
  np.testing.assert_allclose(points[0, 0, 0], [-edge, -edge, 1], rtol=1e-6)
  np.testing.assert_allclose(points[0, 63, 0], [-edge, edge, 1], rtol=1e-6)
  middle = camera_ops.project(np.array([0.0, 0.0, 2.0], np.float32), camera)
  np.testing.assert_array_equal(middle, [31.5, 31.5])


def test_without_a_turn_both_grids_sample_in_place():
  camera = camera_ops.Camera(16)
  depth, _ = _case(camera)
  pose = camera_ops.pose_from_view(np.zeros((2, 6), np.float32))
  want = np.stack([warp.identity_grid_ndc(16, 16)] * 2)
  for function in (camera_ops.view_grid_ndc, camera_ops.canonical_grid_ndc):
    np.testing.assert_allclose(function(depth, pose, camera), want, atol=1e-6)


def test_a_shift_of_a_plane_shifts_the_grids():
  camera = camera_ops.Camera(16)
  pose = _pose(shift=(0.02, -0.01, 0.0))
  depth = np.full((1, 16, 16), 0.95, np.float32)
  rest = np.asarray(warp.identity_grid_ndc(16, 16))[None]
  shift = np.array([0.02, -0.01]) / (0.95 * np.tan(np.deg2rad(5)))
  got = camera_ops.view_grid_ndc(depth, pose, camera)
  np.testing.assert_allclose(got, rest + shift, atol=1e-6)
  got = camera_ops.canonical_grid_ndc(depth, pose, camera)
  np.testing.assert_allclose(got, rest - shift, atol=1e-6)


def test_mirrored_faces_in_mirrored_views_give_mirrored_grids():
  depth, view = _case()
  mirror = np.array([1, -1, -1, -1, 1, 1], np.float32)
  for function in (camera_ops.view_grid_ndc, camera_ops.canonical_grid_ndc):
    grid = function(depth, camera_ops.pose_from_view(view), WIDE)
    pose = camera_ops.pose_from_view(view * mirror)
    other = function(depth[:, :, ::-1], pose, WIDE)
    want = np.asarray(grid)[:, :, ::-1] * np.array([-1, 1], np.float32)
    np.testing.assert_allclose(other, want, atol=1e-5)


def _grids(depth, view):
  pose = camera_ops.pose_from_view(view, max_shift_z=0.1)
  return (
    camera_ops.view_grid_ndc(depth, pose, WIDE),
    camera_ops.canonical_grid_ndc(depth, pose, WIDE),
  )


def test_check_grads_in_float64():
  with jax.enable_x64():
    args = _case(dtype=np.float64)
    check_grads(jax.jit(_grids), args, order=1, modes=("rev", "fwd"), eps=1e-6)


def test_gradients_are_those_of_small_steps_at_rest():
  with jax.enable_x64():
    depth, view = _case(dtype=np.float64)
    at_rest = np.ones_like(depth), np.zeros_like(view)
    check_grads(jax.jit(_grids), at_rest, order=1, modes=("rev",), eps=1e-6)


def test_jit_equals_eager():
  args = _case()
  # Compilation may fuse a multiplication with an addition.
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=2e-6),
    jax.jit(_grids)(*args),
    _grids(*args),
  )


def test_half_precision_is_widened():
  depth, view = (x.astype(jnp.bfloat16) for x in _case())
  got = _grids(depth, view)
  want = _grids(depth.astype(jnp.float32), view.astype(jnp.float32))
  jax.tree.map(np.testing.assert_array_equal, got, want)
  assert all(grid.dtype == jnp.float32 for grid in got)


def test_shapes_are_checked():
  depth, view = _case()
  pose = camera_ops.pose_from_view(view)
  with pytest.raises(errors.InputError, match=r"depth: expected \[N, 64, 64"):
    camera_ops.back_project(depth, camera_ops.Camera(64))
  with pytest.raises(errors.InputError, match="view: expected"):
    camera_ops.pose_from_view(view[0])
  with pytest.raises(errors.InputError, match="angles_rad: expected"):
    camera_ops.euler_to_rotation(view)
  with pytest.raises(errors.InputError, match="one pose per row"):
    camera_ops.to_view(np.zeros((1, 5, 3), np.float32), pose, WIDE)
  for bad in (np.zeros(3, np.float32), np.zeros((2, 5, 2), np.float32)):
    with pytest.raises(errors.InputError, match="points: expected"):
      camera_ops.to_canonical(bad, pose, WIDE)
