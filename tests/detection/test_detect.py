import concurrent.futures
import threading
import types

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.detection import boxes, detect
from facerep_jax.synthetic import generator
from facerep_jax.video import video_file

cv2 = pytest.importorskip("cv2")


def test_suppress_keeps_the_better_of_overlapping_faces():
  faces = np.array(
    [
      [0, 0, 10, 10, 1.0],
      [1, 1, 9, 9, 5.0],  # Inside the first.
      [8, 8, 20, 20, 2.0],  # Touches the first: 4 of 100 px.
    ]
  )
  assert boxes.suppress(faces)[:, 4].tolist() == [5, 2]


def test_suppress_of_nothing():
  assert boxes.suppress(np.zeros((0, 5))).shape == (0, 5)


def test_suppress_keeps_what_else_is_known():
  faces = np.array([[0, 0, 9, 9, 1, 0], [0, 0, 8, 8, 2, 1]], np.float32)
  assert boxes.suppress(faces).tolist() == [[0, 0, 8, 8, 2, 1]]
  assert boxes.suppress(faces[:0]).shape == (0, 6)


def _turned(yaw_deg, roll_deg):
  """Eyes, nose and mouth of a simple head, px."""
  points = np.array(
    [[-30, 0, 0], [30, 0, 0], [0, 35, -40], [-20, 60, -10], [20, 60, -10]]
  )
  yaw, roll = np.radians([yaw_deg, roll_deg])
  x = points[:, 0] * np.cos(yaw) + points[:, 2] * np.sin(yaw)
  y = points[:, 1]
  cos, sin = np.cos(roll), np.sin(roll)
  return 100 + np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


@pytest.mark.parametrize("roll_deg", [0, 25, -25])
def test_noses_off_the_middle_are_not_frontal(roll_deg):
  yaws = [0, 10, -10, 40, -40]
  faces = np.stack([_turned(yaw, roll_deg) for yaw in yaws])
  assert boxes.is_frontal(faces).tolist() == [True] * 3 + [False] * 2
  assert boxes.is_frontal(0.1 * faces).sum() == 3  # In any unit.
  assert not boxes.is_frontal(np.zeros((1, 5, 2)))[0]


def test_limit_of_frontal_faces_is_about_20_degrees():
  settings = generator.Settings(num_people=40, num_frames=8)
  near, far = [], []
  for person in range(40):
    labels = generator.draw_labels(settings, person, 0)
    points = labels["landmarks_px"]
    five = np.stack(
      [points[:, 36:42].mean(1), points[:, 42:48].mean(1)]
      + [points[:, i] for i in (30, 48, 54)],
      axis=1,
    )
    yaw_deg = np.abs(np.degrees(labels["yaw_rad"]))
    found = boxes.is_frontal(five)
    near += found[yaw_deg < 10].tolist()
    far += found[yaw_deg > 30].tolist()
  assert len(near) > 50 and np.mean(near) > 0.97
  assert len(far) > 50 and np.mean(far) < 0.03


def test_noise_and_blank_images_hold_no_face():
  find = detect.make_detector("cascade")
  noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
  for image in (noise, np.zeros_like(noise)):
    found = find(image)
    assert found.shape == (0, 6)
    assert found.dtype == np.float32


class FakeCascade:
  """Finds a marked rectangle: all pixels above 200."""

  def __init__(self, sees, hits=30):
    self._sees, self._hits = sees, hits

  def detectMultiScale2(self, grey, *args, **kwargs):
    rows, columns = np.nonzero(grey > 200)
    if not self._sees(grey, columns):
      return (), ()
    x, y = columns.min(), rows.min()
    size = np.ptp(columns) + 1, np.ptp(rows) + 1
    return np.array([[x, y, *size]]), np.array([self._hits])


def make_haar(monkeypatch, frontal, profile):
  find = detect.make_detector("cascade")
  fakes = [FakeCascade(frontal), FakeCascade(profile)]
  monkeypatch.setattr(find._cascades, "value", fakes)
  return find


def marked(height, width, x0, y0, x1, y1):
  # Half of the image bright, so that equalising leaves the mark on top.
  image = np.zeros((height, width, 3), np.uint8)
  image[y0:y1, x0:x1] = 255
  return image


def test_boxes_are_scaled_back_to_the_image(monkeypatch):
  find = make_haar(monkeypatch, lambda *_: True, lambda *_: False)
  found = find(marked(960, 1280, 320, 240, 640, 480))
  # Reduced by 480 / 1280: whole pixels there are 2.7 pixels here.
  np.testing.assert_allclose(found[0, :4], [320, 240, 640, 480], atol=3)
  assert found[0, 4:].tolist() == [30, 1]  # The score; frontal.
  fake = FakeCascade(lambda *_: True, hits=19)
  monkeypatch.setattr(find._cascades, "value", [fake, fake])
  found = find(marked(960, 1280, 320, 240, 640, 480))
  assert found[0, 4:].tolist() == [19, 0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_profiles_are_found_to_both_sides(monkeypatch, side):
  # The profile cascade knows one direction: marks in the left half.
  knows = lambda grey, columns: columns.mean() < grey.shape[1] / 2
  find = make_haar(monkeypatch, lambda *_: False, knows)
  x0 = 20 if side == "left" else 100
  found = find(marked(100, 160, x0, 30, x0 + 40, 70))
  np.testing.assert_array_equal(found[:, :4], [[x0, 30, x0 + 40, 70]])
  assert found[0, 5] == 0


def test_opencv_without_cascades_says_what_to_do(monkeypatch):
  five = types.SimpleNamespace(__version__="5.0.0", data=None)
  monkeypatch.setattr(errors, "require", lambda *_: five)
  with pytest.raises(errors.InputError, match=r"headless<5.*--detector") as e:
    detect.make_detector("cascade")
  assert "5.0.0" in str(e.value)


def test_missing_opencv_names_the_extra(monkeypatch):
  def absent(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

  monkeypatch.setattr(errors.importlib, "import_module", absent)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[video\]"):
    detect.make_detector("cascade")


def test_model_that_is_none_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="no such file"):
    detect.make_detector(str(tmp_path / "none.onnx"))
  path = tmp_path / "text.onnx"
  path.write_text("no model")
  with pytest.raises(errors.InputError, match="cannot use it"):
    detect.make_detector(str(path))


@pytest.mark.parametrize("columns", [15, 5])
def test_model_gets_bgr_and_its_boxes_are_scaled(
  monkeypatch, tmp_path, columns
):
  seen = {}
  marks = _turned(5, 0).ravel().tolist()
  if columns == 5:  # A model without landmarks.
    marks = []

  class FakeNet:
    def setInputSize(self, size):
      seen["size"] = size

    def detect(self, image):
      seen["image"] = image
      if image.max() == 0:
        return 1, None
      return 1, np.array([[10, 20, 30, 40, *marks, 0.9]], np.float32)

  monkeypatch.setattr(
    cv2.FaceDetectorYN, "create", lambda *args: FakeNet(), raising=True
  )
  path = tmp_path / "model.onnx"
  path.write_bytes(b"x")
  find = detect.make_detector(str(path))
  red = np.zeros((540, 960, 3), np.uint8)
  assert find(red).shape == (0, 6)
  red[..., 0] = 200
  found = find(red)
  assert seen["size"] == (480, 270)
  assert seen["image"][0, 0].tolist() == [0, 0, 200]
  want = [20, 40, 80, 120, 0.9, 1.0]
  np.testing.assert_allclose(found, [want[: 6 if marks else 5]], rtol=1e-6)


def test_real_faces_are_found_where_they_are(shared):
  find = detect.make_detector("cascade")
  for path in sorted((shared / "data" / "videos").glob("*.mpg")):
    frame = next(iter(video_file.Video(str(path))))
    image = frame.image()
    found = find(image)
    assert len(found) == 1, path
    # The recordings show one face in the middle, a third to half of the height.
    x0, y0, x1, y1 = found[0, :4]
    assert found[0, 5] == 1  # They look into the camera.
    assert x0 < 180 < x1
    assert 0.3 < (y1 - y0) / 288 < 0.7
    # Mirroring the picture mirrors the box, up to the detector's steps.
    mirrored = find(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(
      mirrored[0, :4], [360 - x1, y0, 360 - x0, y1], atol=12
    )


class Net:
  """Finds one face that fills the image, of the size it was told."""

  def __init__(self, told):
    self._told = told

  def setInputSize(self, size):
    self._size = size
    self._told.wait()  # Until all threads have set theirs.

  def detect(self, image):
    assert (image.shape[1], image.shape[0]) == self._size
    return 1, np.array([[0, 0, *self._size, 0.9]], np.float32)


class Cascade:
  """Finds one face that fills the image, of the size it was given first."""

  def __init__(self, told):
    self._told = told

  def empty(self):
    return False

  def detectMultiScale2(self, grey, *args, **kwargs):
    self._size = grey.shape
    self._told.wait()
    return [[0, 0, *self._size[::-1]]], [30]


@pytest.mark.parametrize("kind", ["cascade", "model"])
def test_threads_do_not_disturb_each_other(tmp_path, kind):
  told = threading.Barrier(3, timeout=20)
  stand_in = types.SimpleNamespace(
    **{name: getattr(cv2, name) for name in dir(cv2) if name[0] != "_"}
    | {
      "data": cv2.data,
      "CascadeClassifier": lambda path: Cascade(told),
      "FaceDetectorYN": types.SimpleNamespace(create=lambda *args: Net(told)),
    }
  )
  (tmp_path / "model.onnx").write_bytes(b"made up")
  if kind == "cascade":
    find = detect._Haar(stand_in)
  else:
    find = detect._Model(stand_in, str(tmp_path / "model.onnx"))
  images = [np.zeros((100, 60 + 20 * i, 3), np.uint8) for i in range(3)]
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    found = list(pool.map(find, images))
  for faces, image in zip(found, images):
    height, width = image.shape[:2]
    assert faces[:, :4].tolist() == [[0, 0, width, height]]
