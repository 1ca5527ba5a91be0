import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import photos
from facerep_jax.detection import crop


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "sub").mkdir()
  for i, name in enumerate(["b.png", "sub/a.JPG", "sub/c.webp", "d.bmp"]):
    pixels = np.full((20 + i, 30, 3), 50 * i, np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
  (tmp_path / "c.jpg").write_bytes(b"no image")
  (tmp_path / "notes.txt").write_text("no image either")
  return tmp_path


def test_finds_images_in_order(folder):
  assert photos.find(str(folder)) == [
    *("b.png", "c.jpg", "d.bmp", "sub/a.JPG", "sub/c.webp")
  ]
  with pytest.raises(errors.InputError, match="no such folder"):
    photos.find(str(folder / "nowhere"))
  (folder / "empty").mkdir()
  with pytest.raises(errors.InputError, match="holds no image"):
    photos.find(str(folder / "empty"))


def test_reads_some_at_a_time_and_says_what_it_skips(folder):
  def cut(image):
    if image.shape[0] == 23:
      return crop.Cut(None, "whole")
    return crop.Cut(image[:10], "face")

  paths = photos.find(str(folder))
  groups = list(photos.read(str(folder), paths, cut, 2))
  assert [x.paths for x in groups] == [
    *(["b.png"], ["sub/a.JPG"], ["sub/c.webp"])
  ]
  assert [len(x.skipped) for x in groups] == [1, 1, 0]
  assert "c.jpg" in groups[0].skipped[0]
  assert groups[1].skipped == ["d.bmp: no face found."]
  assert [x.kinds for x in groups] == [["face"]] * 3
  assert groups[0].images[0].shape == (10, 30, 3)
  assert (groups[0].images[0] == 0).all()


def test_auto_falls_back_to_the_whole_image(monkeypatch):
  def detector(image):
    found = [[10, 10, 30, 30, 1.0]] if image.shape[0] == 64 else []
    return np.array(found, np.float32).reshape(-1, 5)

  monkeypatch.setattr(photos.detect, "make_detector", lambda model: detector)
  auto, face = photos.make_cutter("auto"), photos.make_cutter("face")
  large = np.zeros((64, 67, 3), np.uint8)
  small = np.zeros((40, 43, 3), np.uint8)
  cut, kind, found, _ = auto(large)
  assert found.tolist() == [10, 10, 30, 30, 1]
  assert kind == "face" and cut.shape == (256, 256, 3)
  cut, kind, *_ = auto(small)
  assert kind == "whole" and cut is small
  assert face(small) == crop.Cut(None, "whole")


def test_missing_detector_names_its_extra(monkeypatch):
  def absent(module, extra, purpose):
    raise errors.InputError(f'{purpose}: pip install "facerep_jax[{extra}]"')

  monkeypatch.setattr(errors, "require", absent)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[video\]"):
    photos.make_cutter("auto")
