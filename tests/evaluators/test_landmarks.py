import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import base, landmarks
from tests.evaluators import made_up

RNG = np.random.default_rng(0)
GROUP = np.arange(60) // 3


def _faces(points):
  """Random points; the eyes lie 0.5 apart."""
  faces = RNG.uniform(-0.6, 0.6, (60, points, 2))
  left, right = {68: (36, 45), 5: (0, 1)}[points]
  faces[:, left], faces[:, right] = [-0.3, -0.2], [0.1, 0.1]
  return faces


@pytest.mark.parametrize("points", [5, 68])
def test_a_shifted_face_is_off_by_the_shift_over_the_eyes(points):
  true = _faces(points)
  shift = np.array([0.03, 0.04])
  found = landmarks.measure(
    (true + shift).reshape(60, -1), {"landmarks_ndc": true}, GROUP
  )
  assert next(iter(found.scores)) == "error_interocular"
  # 0.05 over 0.5.
  for name in ("error_interocular", "median_interocular"):
    np.testing.assert_allclose(found.scores[name][:3], 10)
  np.testing.assert_allclose(found.details["per_point"], [10] * points)
  np.testing.assert_allclose(found.quality, -10)
  sides = np.ptp(true, axis=1)
  box = 100 * np.mean(0.05 / np.sqrt(sides[:, 0] * sides[:, 1]))
  np.testing.assert_allclose(found.scores["error_box"].value, box)


def test_one_point_and_one_image_off():
  true = _faces(5)
  outputs = true.copy()
  outputs[7, 2] += [0.5, 0]
  found = landmarks.measure(
    outputs.reshape(60, -1), {"landmarks_ndc": true}, GROUP
  )
  # 100 % for one of five points of one of 60 images.
  value = found.scores["error_interocular"].value
  np.testing.assert_allclose(value, 100 / 5 / 60)
  assert found.scores["median_interocular"].value == 0
  np.testing.assert_allclose(found.scores["failures_over_10"].value, 100 / 60)
  np.testing.assert_allclose(
    found.details["per_point"], [0, 0, 100 / 60, 0, 0], atol=1e-12
  )
  assert np.argmin(found.quality) == 7


def test_points_are_read_out_in_their_order():
  true = _faces(5)
  mixed = true.reshape(60, -1) @ RNG.normal(size=(10, 10))
  part = base.Part(mixed, {"landmarks_ndc": true}, GROUP)
  found = landmarks.measure(
    landmarks.fit(part).outputs(mixed), part.labels, GROUP
  )
  # What the least strength leaves of a well-conditioned mixture.
  assert found.scores["error_interocular"].value < 0.5


def test_intervals_are_over_people():
  true = _faces(5)
  found = landmarks.measure(
    1.1 * true.reshape(60, -1), {"landmarks_ndc": true}, np.zeros(60)
  )
  made_up.assert_no_interval(found)


def test_refuses_unusable_points():
  true = _faces(5)
  flat = true.reshape(60, -1)
  with pytest.raises(errors.InputError, match="'landmarks_ndc' is missing"):
    landmarks.measure(flat, {"yaw_rad": true}, GROUP)
  with pytest.raises(errors.InputError, match="68 or 5 points, got 4"):
    landmarks.measure(flat, {"landmarks_ndc": true[:, :4]}, GROUP)
  with pytest.raises(errors.InputError, match="60 labels for 59 images"):
    landmarks.measure(flat[1:], {"landmarks_ndc": true}, GROUP)
  with pytest.raises(errors.InputError, match="outputs: expected"):
    landmarks.measure(flat[:, 1:], {"landmarks_ndc": true}, GROUP)
  true[8, 1] = true[8, 0]
  with pytest.raises(errors.InputError, match="row 8: the eyes coincide"):
    landmarks.measure(flat, {"landmarks_ndc": true}, GROUP)
