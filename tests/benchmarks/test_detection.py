import math

import numpy as np
import pytest
from PIL import Image

from facerep_jax import benchmark, errors
from facerep_jax.benchmarks import detection, face_pictures, report

SETS = ("yaw 0 to 15", "yaw 45 to 60", "pale skin", "dark skin", "no face")


def test_right_boxes_are_on_the_face_and_about_as_large():
  target = np.array([10.0, 10, 30, 30])
  right = [[10, 10, 30, 30], [2, 2, 42, 42], [15, 15, 29, 29, 0.7, 1]]
  wrong = [[30, 10, 50, 30], [-15, -15, 55, 55], [18, 18, 22, 22]]
  assert all(detection.is_right(np.array(x), target) for x in right)
  assert not any(detection.is_right(np.array(x), target) for x in wrong)


def test_share_interval_is_wilsons():
  # Worked by hand for z = 1.96.
  assert detection.share_interval(8, 10) == pytest.approx((0.490, 0.943), 1e-2)
  low, high = detection.share_interval(10, 10)
  assert high == 1 and low == pytest.approx(10 / (10 + 1.96**2))
  assert detection.share_interval(0, 10)[0] == 0


def test_jitter_is_the_noise_and_not_the_motion():
  rng = np.random.default_rng(0)
  time = np.arange(4000)
  steady = np.stack([3 * time, 2 * time] * 2, axis=1) + [0, 0, 100.0, 100]
  assert detection.jitter(steady) == pytest.approx((0, 0), abs=1e-9)
  moved = steady + np.tile(rng.normal(0, 2, (4000, 2)), 2)
  grown = rng.normal(0, 3, (4000, 1)) * [-0.5, -0.5, 0.5, 0.5]
  middle, side = detection.jitter(moved + grown)
  assert (middle, side) == pytest.approx((0.02, 0.03), rel=0.05)
  moved[::2] = np.nan
  assert all(math.isnan(x) for x in detection.jitter(moved))
  assert all(math.isnan(x) for x in detection.jitter(steady[:2]))


def bright(image):
  """Finds the bright pixels; and a corner in any picture with a red one."""
  rows, columns = np.nonzero(image.min(axis=2) > 200)
  found = []
  if len(rows):
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    found.append([*box, 1.0])
  if (image[..., 0] > image[..., 1]).any():
    found.append([0, 0, 5, 5, 0.5])
  return np.array(found, np.float32).reshape(-1, 5)


def pictures():
  plain = np.zeros((60, 60, 3), np.uint8)
  plain[20:40, 20:40] = 255
  red = plain.copy()
  red[0, 0, 0] = 255
  target = np.array([20.0, 20, 40, 40])
  return [plain, red, np.zeros_like(plain)], [target] * 3


def test_what_is_found_and_what_is_beside():
  images, targets = pictures()
  sets = [
    face_pictures.Pictures("faces", images, targets),
    face_pictures.Pictures("none", images[1:], [None, None]),
    face_pictures.Pictures("empty", [], []),
  ]
  section = detection.compare({"bright": bright}, sets)
  faces, none = section.rows
  assert (faces["num"], faces["found"]) == (3, pytest.approx(2 / 3))
  assert faces["others"] == pytest.approx(1 / 3)
  assert (none["found"], none["low"], none["others"]) == (None, None, 1)
  assert "| faces" in report.table(section)


def test_videos_are_followed(monkeypatch):
  images, _ = pictures()
  frames = [images[0]] * 4 + [images[1], images[2]]
  monkeypatch.setattr(detection, "_videos", lambda folder: iter([frames]))
  (row,) = detection.watch({"bright": bright}, "videos").rows
  assert (row["num"], row["found"]) == (6, pytest.approx(5 / 6))
  assert row["others"] == pytest.approx(1 / 6)
  assert (row["middle"], row["side"]) == (0, 0)


def test_a_folder_without_videos_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="holds no video"):
    detection.watch({"bright": bright}, str(tmp_path))


def test_synthetic_sets_hold_every_frame_once_by_yaw_and_by_tone():
  pytest.importorskip("cv2")
  sets = {x.name: x for x in face_pictures.synthetic(3)}
  assert set(SETS) < set(sets)
  for kind in ("yaw", "skin"):
    parts = [x for name, x in sets.items() if kind in name]
    assert sum(len(x.images) for x in parts) == 12
  brightness = {
    name: np.mean([x.mean() for x in sets[name].images])
    for name in ("all, very dark", "all, lower half covered")
  }
  assert brightness["all, very dark"] < 20
  assert (sets["all, lower half covered"].images[0][-1] == [90, 110, 150]).all()
  assert set(map(type, sets["no face"].targets)) == {type(None)}
  for image, target in zip(sets["pale skin"].images, sets["pale skin"].targets):
    assert image.shape == (160, 160, 3)
    # The frames are cut as faces are: 1.6 boxes, the face in the middle.
    assert detection.is_right(np.array([30, 14, 130, 114]), target)


def test_a_set_without_landmarks_has_its_faces_in_the_middle(tmp_path):
  pytest.importorskip("cv2")
  table = tmp_path / "faces.csv"
  Image.new("RGB", (80, 60), (9, 9, 9)).save(tmp_path / "a.png")
  table.write_text("path,smile\na.png,0.5\n")
  found = face_pictures.labelled(f"csv:{table}", 5)
  assert len(found) == 4 and len(found[0].images) == 1
  np.testing.assert_array_equal(found[0].targets[0], [25, 15, 55, 45])


def test_the_command_needs_a_detector(tmp_path):
  with pytest.raises(errors.InputError, match="--detectors"):
    benchmark.main(["--only=detection", "--detectors=", f"--output={tmp_path}"])
