import itertools

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import landmark_pose
from facerep_jax.synthetic import actions, camera, head, landmarks
from tests.evaluators import made_up


def average_points():
  model = head.built_in()
  return landmarks.locate(
    model.chart, model.template, actions.lid_edges(np.zeros((2, 20)))
  )


def seen(yaw, pitch, roll, scale=90.0):
  """The average head's points as a far camera sees them, [68, 2] px."""
  turn = camera.rotation(*np.radians([yaw, pitch, roll]))
  return scale * (average_points() @ turn.T)[:, :2] + (128, 120)


def test_the_pose_of_the_average_head_is_found():
  for pose in itertools.product((-60, -25, 0, 60), (-30, 0, 30), (-25, 0, 25)):
    found = np.degrees(landmark_pose.fit(seen(*pose)))
    np.testing.assert_allclose(found, pose, atol=1.0, err_msg=str(pose))


def test_size_and_place_do_not_matter():
  points = seen(30, -10, 5)
  want = landmark_pose.fit(points)
  # The search ends at its own tolerance, 1e-8 of the cost.
  np.testing.assert_allclose(
    landmark_pose.fit(0.3 * points + 50), want, atol=1e-3
  )


def test_signs_are_those_of_the_camera():
  frontal = seen(0, 0, 0)
  tip, bridge = frontal[30], frontal[27]
  assert bridge[1] < tip[1]  # y runs down.
  moved = frontal.copy()
  moved[27:36, 0] -= 8  # The nose to the image's left.
  assert landmark_pose.fit(moved)[0] > 0.05
  moved = frontal.copy()
  moved[27:36, 1] += 8  # The nose down.
  assert landmark_pose.fit(moved)[1] > 0.05
  angle = np.radians(10)  # The top of the head to the image's right.
  turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
  middle = frontal.mean(axis=0)
  turned = (frontal - middle) @ np.array(turn).T + middle
  assert turned[27, 0] > turned[8, 0]  # Above the chin, and right of it.
  np.testing.assert_allclose(landmark_pose.fit(turned)[2], angle, atol=0.01)


def test_pose_is_added_where_it_lacks():
  images = made_up.labelled([0], 2)
  assert landmark_pose.add(images) is images
  points = np.stack([seen(20, 5, -10), seen(-35, -5, 0)])
  bare = made_up.labelled([0], 2, labels={"landmarks_px": points})
  found = landmark_pose.add(bare)
  assert set(found.labels) == {
    "landmarks_px",
    "yaw_rad",
    "pitch_rad",
    "roll_rad",
  }
  np.testing.assert_allclose(
    np.degrees(found.labels["yaw_rad"]), [20, -35], atol=1
  )
  np.testing.assert_allclose(
    np.degrees(found.labels["roll_rad"]), [-10, 0], atol=1
  )
  assert "yaw_rad" not in bare.labels and found.labels["yaw_rad"].ndim == 1


@pytest.mark.parametrize(
  "labels", [{}, {"landmarks_px": np.zeros((2, 5, 2))}, {"light": np.ones(2)}]
)
def test_other_landmarks_are_refused(labels):
  with pytest.raises(errors.InputError, match="made up: --fit-pose needs 68"):
    landmark_pose.add(made_up.labelled([0], 2, labels=labels))
