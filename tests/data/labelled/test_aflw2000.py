import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import aflw2000, open_set
from facerep_jax.synthetic import camera
from tests.data.labelled import tiny

scipy_io = pytest.importorskip("scipy.io")


def _write(folder, stem, pose_deg=(0, 0, 0), points=None, **changes):
  """An image and its file; pose is pitch, yaw, roll."""
  tiny.write_image(folder / f"{stem}.jpg", 7, 150, 140)
  points = tiny.face_points() if points is None else points
  held = {
    "Pose_Para": np.zeros((1, 7), np.float32),
    "pt3d_68": np.concatenate([points.T + 1, np.zeros((1, 68))]),
  }
  held["Pose_Para"][0, :3] = np.deg2rad(pose_deg)
  held |= changes
  kept = {name: value for name, value in held.items() if value is not None}
  scipy_io.savemat(folder / f"{stem}.mat", kept)


def _turn(angle_rad, axis):
  """Rotation about one axis, right-handed, by the definition."""
  i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
  out = np.eye(3)
  out[i, i] = out[j, j] = np.cos(angle_rad)
  out[j, i], out[i, j] = np.sin(angle_rad), -np.sin(angle_rad)
  return out


def test_reordered_angles_are_the_same_rotation():
  rng = np.random.default_rng(0)
  given = rng.uniform(-1.7, 1.7, (200, 3))  # Yaws beyond 90 degrees, too.
  got = np.stack(aflw2000.reorder(*given.T), axis=1)
  for (yaw, pitch, roll), (new_yaw, new_pitch, new_roll) in zip(given, got):
    want = _turn(pitch, "x") @ _turn(yaw, "y") @ _turn(roll, "z")
    have = _turn(new_roll, "z") @ _turn(new_yaw, "y") @ _turn(new_pitch, "x")
    np.testing.assert_allclose(have, want, atol=1e-12)
  np.testing.assert_allclose(
    camera.rotation(*got.T),
    [_turn(r, "z") @ _turn(y, "y") @ _turn(p, "x") for y, p, r in got],
    atol=1e-12,
  )


@pytest.mark.parametrize("yaw_deg", [-97, -60, 0, 80, 95])
def test_a_turn_about_one_axis_keeps_its_angle(yaw_deg):
  for axis in range(3):
    given = np.zeros((3, 1))
    given[axis] = np.deg2rad(yaw_deg)
    np.testing.assert_allclose(aflw2000.reorder(*given), given, atol=1e-9)


def test_signs_and_units(tmp_path):
  _write(tmp_path, "image1", (10, 0, 0))
  _write(tmp_path, "image2", (0, 20, 0))
  _write(tmp_path, "image3", (0, 0, 30))
  for angles in ("project", "given"):
    got = open_set.open_data(f"aflw2000:{tmp_path}:angles={angles}")["all"]
    pose = [got.labels[f"{x}_rad"] for x in ("yaw", "pitch", "roll")]
    want = [[0, 20, 0], [-10, 0, 0], [0, 0, 30]]
    np.testing.assert_allclose(np.rad2deg(pose), want, atol=1e-5)  # Float32.
  assert got.names == ("image1", "image2", "image3") and got.group is None


def test_given_angles_are_those_of_the_file(tmp_path):
  _write(tmp_path, "image1", (40, 66, 20))
  given = aflw2000.load(str(tmp_path), angles="given")["all"].labels
  ours = aflw2000.load(str(tmp_path))["all"].labels
  np.testing.assert_allclose(np.rad2deg(given["roll_rad"]), [20], atol=1e-5)
  assert abs(np.rad2deg(ours["roll_rad"][0]) - 20) > 10


def test_extreme_angles_are_left_out_and_counted(tmp_path, caplog):
  _write(tmp_path, "image1", (0, 98.9, 0))
  _write(tmp_path, "image2", (0, -99.1, 0))
  _write(tmp_path, "image3", (0, 0, 120))
  _write(tmp_path, "image4", (0, 5, 0))
  with caplog.at_level("INFO"):
    got = aflw2000.load(str(tmp_path))["all"]
  assert got.names == ("image1", "image4")
  assert "2 of 4 images left out" in caplog.text
  assert got.read(1).shape == (110, 110, 3)


def test_crops_and_points_from_one(tmp_path):
  points = tiny.face_points()
  _write(tmp_path, "image1", points=points)
  square = aflw2000.load(str(tmp_path))["all"]
  assert square.cut == "track" and square.read(0).shape == (110, 110, 3)
  whole = aflw2000.load(str(tmp_path), crop="none")["all"]
  assert whole.cut == "photo" and whole.read(0).shape == (140, 150, 3)
  np.testing.assert_allclose(whole.labels["landmarks_px"][0], points, atol=1e-5)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"Pose_Para": None}, r"Pose_Para: expected numbers \(1, 7\), got nothing"),
    (
      {"pt3d_68": np.zeros((2, 68))},
      r"numbers \(3, 68\), got \(2, 68\)",
    ),
    ({"pt3d_68": np.full((3, 68), np.nan)}, "pt3d_68 holds NaN or infinity"),
    ({"pt3d_68": np.ones((3, 68))}, r"image1.mat: landmarks .* span no box"),
  ],
)
def test_mat_files_that_do_not_fit(tmp_path, changes, message):
  _write(tmp_path, "image1", **changes)
  with pytest.raises(errors.InputError, match=message):
    aflw2000.load(str(tmp_path))


@pytest.mark.parametrize("length", [0, 10, 130, 400])
def test_mat_files_that_are_cut_or_nothing(tmp_path, length):
  _write(tmp_path, "image1")
  path = tmp_path / "image1.mat"
  path.write_bytes(path.read_bytes()[:length])
  with pytest.raises(errors.InputError, match=r"image1.mat: "):
    aflw2000.load(str(tmp_path))


def test_folders_that_do_not_fit(tmp_path):
  with pytest.raises(errors.InputError, match="but there is none"):
    aflw2000.load(str(tmp_path))
  _write(tmp_path, "image1")
  (tmp_path / "image1.mat").unlink()
  with pytest.raises(errors.InputError, match="image1 has only one of them"):
    aflw2000.load(str(tmp_path))
  for options, message in (
    (
      {"angles": "theirs"},
      "angles is 'theirs', expected one of project, given",
    ),
    ({"crop": "x"}, "crop is 'x'"),
  ):
    with pytest.raises(errors.InputError, match=message):
      aflw2000.load(str(tmp_path), **options)


@pytest.fixture(scope="module")
def sample(shared):
  return str(shared / "data/aflw2000_sample")


def test_the_sample_turns_as_its_outline_says(sample):
  got = aflw2000.load(sample, crop="none")["all"]
  assert len(got) == 8
  points = got.labels["landmarks_px"]
  nose, jaw = points[:, 30], points[:, [0, 16]]
  width = np.linalg.norm(jaw[:, 1] - jaw[:, 0], axis=1)
  aside = (nose - jaw.mean(axis=1))[:, 0] / width
  yaw = np.rad2deg(got.labels["yaw_rad"])
  turned = np.abs(yaw) > 15
  assert turned.sum() == 4
  # Positive yaw: the nose is left of the middle of the outline's ends.
  np.testing.assert_array_equal(np.sign(aside[turned]), -np.sign(yaw[turned]))
  # Looking up lifts the nose above the ends of the outline, at the ears.
  lift = (jaw.mean(axis=1) - nose)[:, 1] / width
  up = np.rad2deg(got.labels["pitch_rad"]) < -25
  assert up.sum() == 4 and lift[up].min() > lift[~up].max()
  # The line between the eyes' outer corners falls to the right with the roll,
  # seen from the front.
  line = points[:, 45] - points[:, 36]
  slope = np.rad2deg(np.arctan2(line[:, 1], line[:, 0]))
  front = np.abs(yaw) < 30
  roll = np.rad2deg(got.labels["roll_rad"])
  np.testing.assert_allclose(slope[front], roll[front], atol=5)


def test_the_sample_unturned_is_one_face(sample, shared):
  got = aflw2000.load(sample)["all"]
  faces = {}
  for sign in (1, -1):
    turns = camera.rotation(
      got.labels["yaw_rad"],
      sign * got.labels["pitch_rad"],
      got.labels["roll_rad"],
    )
    faces[sign] = []
    for name, turn in zip(got.names, turns):
      held = scipy_io.loadmat(f"{sample}/{name}.mat")
      solid = held["pt3d_68"] * np.array([[1], [1], [-1]])  # z away.
      solid = solid - solid.mean(axis=1, keepdims=True)
      faces[sign].append(turn.T @ solid / np.linalg.norm(solid))
  spread = {k: np.std(v, axis=0).mean() for k, v in faces.items()}
  size = np.abs(np.mean(faces[1], axis=0)).mean()
  # What is left is how people and expressions differ.
  assert spread[1] < 0.15 * size and spread[-1] > 3 * spread[1]
