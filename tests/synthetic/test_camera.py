import numpy as np

from facerep_jax.synthetic import camera


def test_rotation_is_rz_ry_rx_of_right_handed_turns():
  yaw, pitch, roll = 0.7, -0.3, 0.2

  def turn(axis, angle):  # Rodrigues' formula about a coordinate axis.
    x, y, z = np.eye(3)[axis]
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k

  want = turn(2, roll) @ turn(1, yaw) @ turn(0, pitch)
  np.testing.assert_allclose(
    camera.rotation(yaw, pitch, roll), want, atol=1e-15
  )


def test_signs_of_the_angles():
  nose, crown = np.array([0.0, 0, -1]), np.array([0.0, -1, 0])
  assert (camera.rotation(0.5, 0, 0) @ nose)[0] < -0.4  # To the image's left.
  assert (camera.rotation(0, 0.5, 0) @ nose)[1] > 0.4  # Down.
  assert (camera.rotation(0, 0, 0.5) @ crown)[0] > 0.4  # To the right.


def test_pose_blends_between_head_and_trunk():
  rng = np.random.default_rng(0)
  points, pivot = rng.normal(size=(5, 3)), np.array([0.1, 0.5, 0.2])
  head, trunk = camera.rotation(0.6, 0.1, 0), camera.rotation(-0.2, 0, 0)
  follows = np.array([0, 0.25, 0.5, 1, 1])
  got = camera.pose(points, head, trunk, follows, pivot)
  for p, f, g in zip(points, follows, got):
    want = f * head @ (p - pivot) + (1 - f) * trunk @ (p - pivot) + pivot
    np.testing.assert_allclose(g, want, atol=1e-12)


def test_field_of_view_spans_the_frame_at_the_face():
  fov, size, width = np.deg2rad(25), 128, 3.2
  depth = camera.distance(fov, width)
  edge = np.array([[width / 2, -width / 2, -camera.FACE_PLANE]])
  focal = camera.focal_px(fov, size)
  xy, z = camera.project(edge, depth, focal, np.array([63.5, 63.5]))
  # The frame's outer corner is half a pixel beyond the last pixel's centre.
  np.testing.assert_allclose(xy, [[127.5, -0.5]], atol=1e-9)
  np.testing.assert_allclose(z, depth - camera.FACE_PLANE)


def test_crop_puts_the_box_of_the_landmarks_where_it_aims():
  points = np.random.default_rng(1).normal(size=(68, 2)) * 20
  centre = camera.crop_centre_px(points, np.array([0.4, 0.6]), 100)
  box = points + centre
  np.testing.assert_allclose(
    (box.min(0) + box.max(0)) / 2, [39.5, 59.5], atol=1e-9
  )
