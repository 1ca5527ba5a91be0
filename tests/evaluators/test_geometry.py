import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import geometry
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import normals
from tests.evaluators import made_up
from tests.oracles import depth_error

CAMERA = camera_ops.Camera(16)
GROUP = np.array(["a", "a", "b", "c"])


def bumps(count=4, seed=0, size=16):
  """Smooth positive depth near 1, and round masks that leave the border."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:size, :size] / size - 0.5
  waves = rng.normal(size=(count, 3, 1, 1))
  depth = 1 + 0.02 * (
    waves[:, 0] * x + waves[:, 1] * y + waves[:, 2] * np.cos(6 * x + 4 * y)
  )
  radius = rng.uniform(0.3, 0.45, (count, 1, 1))
  return geometry.Maps(depth, x**2 + y**2 < radius**2)


def measure(predicted, true, group=GROUP):
  return geometry.measure(predicted, true, group, CAMERA)


def values(measured):
  return {name: score.value for name, score in measured.scores.items()}


def test_errors_are_those_of_the_loops():
  predicted, true = bumps(seed=1), bumps(seed=2)
  sides, angles, shares = [], [], []
  for i in range(4):
    wanted = depth_error.erode(true.mask[i])
    used = wanted & depth_error.erode(predicted.mask[i])
    sides.append(
      100 * depth_error.scale_invariant(predicted.depth[i], true.depth[i], used)
    )
    a, b = (
      np.float64(normals.from_depth(np.float32(x.depth[i : i + 1]), CAMERA))[0]
      for x in (predicted, true)
    )
    between = [
      depth_error.angle_deg(a[r, c], b[r, c]) for r, c in np.argwhere(used)
    ]
    angles.append(np.mean(between))
    shares.append(100 * used.sum() / wanted.sum())
  found = measure(predicted, true)
  got = values(found)
  assert list(got) == ["side", "normal_deg", "covered"]
  np.testing.assert_allclose(got["side"], np.mean(sides), rtol=1e-9)
  np.testing.assert_allclose(got["normal_deg"], np.mean(angles), rtol=1e-6)
  np.testing.assert_allclose(got["covered"], np.mean(shares), rtol=1e-12)
  np.testing.assert_allclose(found.quality, -np.array(angles), rtol=1e-6)
  interval = found.scores["side"]
  assert interval.low < interval.value < interval.high


def test_a_common_factor_of_depth_is_no_error():
  true = bumps()
  got = values(measure(true._replace(depth=1.07 * true.depth), true))
  assert got["side"] < 1e-9
  # Depth and width grow alike, so normals stay; their product is float32.
  assert got["normal_deg"] < 0.02
  assert got["covered"] == 100


@pytest.mark.parametrize("tilt_deg", [10.0, -35.0])
def test_a_tilted_plane_differs_from_a_flat_one_by_its_tilt(tilt_deg):
  # From far away, so that a line of sight is parallel to the axis.
  size, focal_px, distance = 16, 4000.0, 50.0
  slope = np.tan(np.radians(tilt_deg))
  x = (np.arange(size) - 7.5) * distance / focal_px  # Across, at the distance.
  depth = np.broadcast_to(distance + slope * x, (1, size, size))
  mask = np.ones((1, size, size), bool)
  focal = np.array([focal_px])
  true = geometry.to_model_camera(depth, mask, focal, CAMERA)
  flat = geometry.Maps(np.ones_like(true.depth), mask)
  got = values(measure(flat, true, np.zeros(1)))
  # In the model's own camera rows of the plane are seen up to 5 degrees off
  # the axis, where a depth of 1 + relief is a slightly different slope.
  np.testing.assert_allclose(got["normal_deg"], abs(tilt_deg), rtol=0.01)


def test_distance_and_focal_length_cancel():
  relief = bumps().depth - 1
  mask = bumps().mask
  focal = np.array([100.0, 200, 300, 400])
  near = geometry.to_model_camera(5 + relief, mask, focal, CAMERA)
  far = geometry.to_model_camera(10 + relief, mask, 2 * focal, CAMERA)
  for i in range(4):
    m = mask[i]
    z = 5 + relief[i]
    want = 1 + (z - z[m].mean()) / z[m].mean() * focal[i] / CAMERA.focal_px
    np.testing.assert_allclose(near.depth[i][m], want[m], rtol=1e-12)
    # The mean relief, up to 0.03, adds to distances of 5 and 10.
    np.testing.assert_allclose(
      far.depth[i][m] - 1, near.depth[i][m] - 1, rtol=0.02, atol=1e-12
    )
    assert (near.depth[i][~m] == 1).all()
    np.testing.assert_allclose(near.depth[i][m].mean(), 1, rtol=1e-12)


def test_relief_spans_the_same_pixels_in_both_cameras():
  # A step as deep as it is wide, 4 px, stays so.
  depth = np.full((1, 16, 16), 20.0)
  depth[:, :, 8:] += 4 * 20 / 500
  mask, focal = np.ones_like(depth, bool), np.array([500.0])
  got = geometry.to_model_camera(depth, mask, focal, CAMERA).depth
  step_px = np.ptp(got) * CAMERA.focal_px
  # Against the mean depth, which lies half a step (0.4 %) behind.
  np.testing.assert_allclose(step_px, 4, rtol=0.005)


def test_the_crop_moves_depth_as_it_moves_pixels():
  ramp = 5 + np.broadcast_to(np.arange(64.0), (64, 64)) / 64
  depth, mask = geometry.cut(ramp, (0.25, 0.125, 0.5), 16)
  assert mask.all()
  want = 5 + (16 + (np.arange(16) + 0.5) * 2 - 0.5) / 64
  # At its ends the filter has one side alone.
  np.testing.assert_allclose(depth[:, 1:-1], want[None, 1:-1].repeat(16, 0))
  down, _ = geometry.cut(ramp.T, (0.25, 0.125, 0.5), 16)
  want = 5 + (8 + (np.arange(16) + 0.5) * 2 - 0.5) / 64
  np.testing.assert_allclose(down[1:-1, 0], want[1:-1])


def test_nothing_behind_the_face_is_mixed_in():
  rng = np.random.default_rng(0)
  depth = rng.uniform(20, 21, (48, 48))
  y, x = np.mgrid[:48, :48]
  depth[(x - 20) ** 2 + (y - 25) ** 2 > 15**2] = 0
  got, mask = geometry.cut(depth, (0.0, 0.0, 1.0), 20)
  assert got[mask].min() >= 20 and got[mask].max() <= 21
  assert (got[~mask] == 0).all()
  middle = (np.arange(20) + 0.5) * 2.4 - 0.5
  distance = np.hypot(middle[None] - 20, middle[:, None] - 25)
  assert mask[distance < 13].all() and not mask[distance > 17].any()
  assert not geometry.cut(0 * depth, (0.0, 0.0, 1.0), 20)[1].any()


def test_average_face_counts_each_pixel_where_it_is_seen():
  true = bumps()
  got = geometry.average(true)
  seen = true.mask.any(axis=0)
  for i, j in np.argwhere(seen):
    own = [true.depth[n, i, j] for n in range(4) if true.mask[n, i, j]]
    np.testing.assert_allclose(got[i, j], np.mean(own), rtol=1e-12)
  for i, j in np.argwhere(~seen):
    away = [np.hypot(i - a, j - b) for a, b in np.argwhere(seen)]
    near = np.argwhere(seen)[np.isclose(away, min(away))]
    assert any(got[i, j] == got[a, b] for a, b in near)


def test_intervals_are_over_people():
  found = measure(bumps(seed=1), bumps(seed=2), np.zeros(4))
  made_up.assert_no_interval(found)


def test_images_that_show_nothing_count_as_not_covered():
  true = bumps()
  mask = np.float32(true.mask)
  mask[1] = 0
  found = measure(geometry.Maps(1.1 * true.depth, mask), true)
  got = values(found)
  assert found.details == {"num_empty": 1}
  np.testing.assert_allclose(got["covered"], 75)
  assert got["side"] < 1e-9
  assert found.quality[1] == -np.inf


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"mask": np.zeros((4, 16, 16))}, "nothing of any face"),
    ({"depth": np.zeros((4, 16, 16))}, "expected positive numbers, got 0"),
    ({"depth": np.full((4, 16, 16), np.nan)}, "positive numbers, got nan"),
    ({"depth": np.ones((4, 16, 15))}, "predicted depth: expected"),
  ],
)
def test_predictions_that_cannot_be_measured(change, text):
  with pytest.raises(errors.InputError, match=text):
    measure(bumps()._replace(**change), bumps())


def test_truth_that_cannot_be_used():
  depth, mask = bumps()
  focal = np.ones(4)
  with pytest.raises(errors.InputError, match="image 2 is empty"):
    empty = mask & (np.arange(4) != 2)[:, None, None]
    geometry.to_model_camera(depth, empty, focal, CAMERA)
  with pytest.raises(errors.InputError, match="focal_px: expected"):
    geometry.to_model_camera(depth, mask, focal[:3], CAMERA)
  with pytest.raises(errors.InputError, match="no image has a surface"):
    geometry.average(geometry.Maps(depth, mask & False))
  with pytest.raises(errors.InputError, match="depth: expected"):
    geometry.cut(np.ones((4, 5)), (0.0, 0.0, 1.0), 4)
