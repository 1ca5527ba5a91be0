import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data.labelled import base, lfw, open_set
from tests.data.labelled import tiny


def _folder(tmp_path, below=""):
  for person, number in (("A", 1), ("A", 2), ("B", 1)):
    name = f"{person}/{person}_{number:04d}.jpg"
    tiny.write_image(tmp_path / below / name, 40 * number)
  (tmp_path / "pairs.txt").write_text("1\nA\t1\t2\nA\t2\tB\t1\n")
  return tmp_path


@pytest.mark.parametrize("below", ["", "images", "aligned images"])
def test_each_image_is_there_once(tmp_path, below):
  pairs = open_set.open_data(f"lfw:{_folder(tmp_path, below)}")
  assert isinstance(pairs, base.Pairs)
  assert pairs.images.names == (
    "A/A_0001.jpg",
    "A/A_0002.jpg",
    "B/B_0001.jpg",
  )
  assert pairs.images.group.tolist() == ["A", "A", "B"]
  assert pairs.left.tolist() == [0, 1] and pairs.right.tolist() == [1, 2]
  assert pairs.same.tolist() == [True, False] and pairs.fold.tolist() == [0, 0]
  assert abs(int(pairs.images.read(1)[0, 0, 0]) - 80) <= 2  # JPEG.
  assert pairs.images.name == "lfw" and pairs.images.cut == "track"


def test_another_list_of_the_folder(tmp_path):
  folder = _folder(tmp_path)
  (folder / "pair_SLLFW.txt").write_text(
    "A/A_0001.jpg\nA/A_0002.jpg\nA/A_0001.jpg\nB/B_0001.jpg\n"
  )
  pairs = open_set.open_data(f"lfw:{folder}:pair_SLLFW.txt:cut=photo")
  assert pairs.images.name == "pair_SLLFW" and pairs.images.cut == "photo"
  assert pairs.right.tolist() == [1, 2]


def test_people_of_flat_files(tmp_path):
  for i in range(20):
    tiny.write_image(tmp_path / "images" / f"Al_X_{i}.jpg")
    tiny.write_image(tmp_path / "images" / f"Bo_{i}.jpg")
  lines = []
  for i in range(0, 20, 2):
    lines += [f"Al_X_{i}.jpg 1", f"Al_X_{i + 1}.jpg 1"]
    lines += [f"Al_X_{i}.jpg 0", f"Bo_{i}.jpg 0"]
  (tmp_path / "pairs_CPLFW.txt").write_text("\n".join(lines))
  pairs = lfw.load(f"{tmp_path}:pairs_CPLFW.txt")
  assert set(pairs.images.group) == {"Al_X", "Bo"}
  same = pairs.images.group[pairs.left] == pairs.images.group[pairs.right]
  np.testing.assert_array_equal(same, pairs.same)


def test_images_of_250_px_are_cut_to_the_tracks_square(tmp_path):
  folder = _folder(tmp_path)
  image = np.zeros((250, 250, 3), np.uint8)
  image[52:234, 34:216] = 255  # 125 - 182 x 103 / 256 is 51.8.
  Image.fromarray(image).save(folder / "A/A_0001.jpg", quality=100)
  pairs = lfw.load(str(folder))
  cut = pairs.images.read(0)
  assert cut.shape == (182, 182, 3)
  assert cut.min() > 200  # JPEG rings a little at the edge of the white.
  assert pairs.images.read(1).shape == (32, 32, 3)
  whole = lfw.load(str(folder), cut="photo").images.read(0)
  assert whole.shape == (250, 250, 3)


def test_refusals(tmp_path):
  with pytest.raises(errors.InputError, match="none: there is no such folder"):
    lfw.load(str(tmp_path / "none"))
  folder = _folder(tmp_path)
  with pytest.raises(errors.InputError, match="no.txt: there is no such list"):
    lfw.load(f"{folder}:no.txt")
  (folder / "B/B_0001.jpg").write_bytes(b"")
  with pytest.raises(errors.InputError, match="B_0001.jpg: empty file"):
    lfw.load(str(folder)).images.read(2)
  (folder / "B/B_0001.jpg").unlink()
  with pytest.raises(
    errors.InputError,
    match=r"pairs.txt, line 3: the image .*B/B_0001.jpg does not exist",
  ):
    lfw.load(str(folder))


def test_the_sample(shared):
  pairs = lfw.load(str(shared / "data/lfw"))
  assert len(pairs) == 3000
  assert np.bincount(pairs.fold).tolist() == [600] * 5
  assert np.bincount(pairs.fold[pairs.same]).tolist() == [300] * 5
  same = pairs.images.group[pairs.left] == pairs.images.group[pairs.right]
  np.testing.assert_array_equal(same, pairs.same)
  assert pairs.images.read(0).shape == (160, 160, 3)
