import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data.labelled import base, landmarks68, open_set
from tests.data.labelled import tiny

_AXES = [f"{axis}{i}" for i in range(68) for axis in "xy"]


def _row(image, points, *more):
  return ",".join([image, *more, *(str(x) for x in points.ravel())])


def _table(tmp_path, *rows, header=("image", *_AXES)):
  for name in ("a.png", "images/b.png"):
    tiny.write_image(tmp_path / name, 7, 100, 120)
  path = tmp_path / "set.csv"
  path.write_text("\n".join([",".join(header), *rows]) + "\n")
  return str(path)


def test_a_table_without_splits(tmp_path):
  points = [tiny.face_points(), tiny.face_points(40, 40)]
  rows = [_row("a.png", points[0]), _row("b.png", points[1])]
  parts = landmarks68.load(_table(tmp_path, *rows))
  assert list(parts) == ["all"]
  got = parts["all"]
  assert got.names == ("a.png", "b.png") and got.name == "set"
  np.testing.assert_array_equal(got.labels["landmarks_px"], np.float32(points))
  assert got.read(1).shape == (120, 100, 3) and got.cut == "track"


def test_training_and_testing_are_train_and_test(tmp_path):
  points = tiny.face_points()
  path = _table(
    tmp_path,
    _row("a.png", points, "testing", "3"),
    _row("b.png", points, "training", "4"),
    header=("image", "split", "box_x", *_AXES),
  )
  parts = landmarks68.load(path)
  assert {k: v.names for k, v in parts.items()} == {
    "train": ("b.png",),
    "test": ("a.png",),
  }
  joined = base.concatenate(list(parts.values()))
  assert joined.names == ("b.png", "a.png")


@pytest.mark.parametrize(
  "crop, cut, side", [("box", "face", 72), ("square", "track", 110)]
)
def test_a_table_can_be_cut(tmp_path, crop, cut, side):
  points = tiny.face_points().round()
  path = _table(tmp_path, _row("a.png", points))
  # Red tells x, green y.
  y, x = np.mgrid[:120, :100]
  pixels = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
  Image.fromarray(pixels).save(tmp_path / "a.png")
  got = open_set.open_data(f"landmarks:{path}:crop={crop}")["all"]
  image = got.read(0)
  assert got.cut == cut and image.shape == (side, side, 3)
  moved = got.labels["landmarks_px"][0]
  column, row = np.rint(moved).astype(int).T
  # Each point still lies on the pixel that it lay on.
  np.testing.assert_allclose(image[row, column, :2], points, atol=1)


@pytest.mark.parametrize(
  "rows, header, message",
  [
    ([], ("image", *_AXES[:-1]), "line 1: lacks the column 'y67'"),
    ([], ("image", *_AXES), "holds no row"),
    (["nan"], None, "line 2, column x0: expected a number, got 'nan'"),
    ([""], None, "line 2, column x0: expected a number, got ''"),
  ],
)
def test_tables_that_do_not_fit(tmp_path, rows, header, message):
  tail = ",".join(["1"] * 135)
  path = _table(
    tmp_path,
    *(f"a.png,{x},{tail}" for x in rows),
    header=header or ("image", *_AXES),
  )
  with pytest.raises(errors.InputError, match=f"set.csv.*{message}"):
    landmarks68.load(path)


def test_rows_that_do_not_fit(tmp_path):
  points = tiny.face_points()
  twice = [_row("a.png", points), _row("b.png", points), _row("a.png", points)]
  with pytest.raises(
    errors.InputError, match="line 4: image 'a.png' stands in line 2 already"
  ):
    landmarks68.load(_table(tmp_path, *twice))
  with pytest.raises(
    errors.InputError, match=r"line 2: the image .*c.png does not exist"
  ):
    landmarks68.load(_table(tmp_path, _row("c.png", points)))
  header = ("image", "split", *_AXES)
  with pytest.raises(errors.InputError, match="line 2: split is 'dev'"):
    landmarks68.load(
      _table(tmp_path, _row("a.png", points, "dev"), header=header)
    )
  path = _table(tmp_path, _row("a.png", np.ones((68, 2))))
  with pytest.raises(errors.InputError, match="line 2: landmarks .* no box"):
    landmarks68.load(path, crop="square")
  with pytest.raises(errors.InputError, match="crop is 'tight', expected one"):
    landmarks68.load(path, crop="tight")


def _pts(folder, stem, points, image=".png"):
  folder.mkdir(parents=True, exist_ok=True)
  lines = ["version: 1", f"n_points:  {len(points)}", "{"]
  lines += [f"{x + 1} {y + 1}" for x, y in points]
  (folder / f"{stem}.pts").write_text("\n".join([*lines, "}"]) + "\n")
  if image:
    tiny.write_image(folder / (stem + image), 7, 200, 200)


def test_points_files_count_from_one(tmp_path):
  points = tiny.face_points()
  _pts(tmp_path, "a", points)
  np.testing.assert_allclose(
    landmarks68.read_points(tmp_path / "a.pts"), points
  )


def test_a_folder_is_cut_as_tracks_are(tmp_path):
  points = tiny.face_points()
  _pts(tmp_path, "img_10", points)
  _pts(tmp_path, "img_9", points + 3, ".jpg")
  got = landmarks68.load(str(tmp_path))["all"]
  assert got.names == ("img_9.jpg", "img_10.png") and got.cut == "track"
  assert got.read(0).shape == (110, 110, 3)
  # Both cuts are the same place of a face, the second 3 px further.
  marks = got.labels["landmarks_px"]
  np.testing.assert_allclose(marks[0], marks[1], atol=1e-5)  # Float32.
  whole = landmarks68.load(str(tmp_path), crop="none")["all"]
  assert whole.cut == "photo" and whole.read(0).shape == (200, 200, 3)
  np.testing.assert_allclose(whole.labels["landmarks_px"][1], points, rtol=1e-6)


def test_folders_of_300w_name_the_split(tmp_path):
  points = tiny.face_points()
  for i, below in enumerate(("afw", "helen/trainset", "lfpw/testset", "ibug")):
    _pts(tmp_path / "w" / below, f"i{i}", points)
  parts = landmarks68.load(str(tmp_path / "w"))
  assert {k: v.names for k, v in parts.items()} == {
    "train": ("i0.png", "i1.png"),
    "test": ("i3.png", "i2.png"),
  }
  _pts(tmp_path / "w" / "more", "x", points)
  with pytest.raises(errors.InputError, match=r"more/x.pts is in none of"):
    landmarks68.load(str(tmp_path / "w"))


def test_the_folder_that_is_named_does_not_count(tmp_path):
  _pts(tmp_path / "testset" / "a", "x", tiny.face_points())
  assert list(landmarks68.load(str(tmp_path / "testset"))) == ["all"]
  _pts(tmp_path / "b" / "ibug" / "trainset", "x", tiny.face_points())
  with pytest.raises(errors.InputError, match="x.pts: its folders name two"):
    landmarks68.load(str(tmp_path / "b"))


def test_folders_that_do_not_fit(tmp_path):
  with pytest.raises(errors.InputError, match="holds no .pts file"):
    landmarks68.load(str(tmp_path))
  points = tiny.face_points()
  _pts(tmp_path, "a", points, image="")
  with pytest.raises(errors.InputError, match="a.pts: there is no image"):
    landmarks68.load(str(tmp_path))
  _pts(tmp_path, "a", points[:5])
  with pytest.raises(errors.InputError, match="a.pts: 5 points, expected 68"):
    landmarks68.load(str(tmp_path))
  path = tmp_path / "a.pts"
  _pts(tmp_path, "a", points)
  good = path.read_text()
  for old, new, message in (
    ("{", "", "between { and }"),
    ("21.0 31.0", "21.0", 'a.pts, line 4: expected "x y"'),
    ("21.0 31.0", "21.0 nan", "a.pts, line 4: expected a number, got 'nan'"),
  ):
    path.write_text(good.replace(old, new, 1))
    with pytest.raises(errors.InputError, match=message):
      landmarks68.load(str(tmp_path))


def test_an_image_that_its_landmarks_miss(tmp_path):
  path = _table(tmp_path, _row("a.png", tiny.face_points(corner=(900, 900))))
  got = landmarks68.load(path, crop="square")["all"]
  with pytest.raises(errors.InputError, match=r"a.png: face box .* outside"):
    got.read(0)


def test_the_sample(shared):
  path = shared / "data/dlib_faces68/landmarks68.csv"
  parts = landmarks68.load(str(path))
  assert {k: len(v) for k, v in parts.items()} == {"train": 18, "test": 25}
  marks = base.concatenate(list(parts.values())).labels["landmarks_px"]
  assert len(marks) == 43 and marks.min() > 0 and marks.max() < 128


def test_what_a_folder_holds_besides_is_counted(tmp_path, caplog):
  caplog.set_level("INFO", "facerep_jax")
  points = tiny.face_points()
  _pts(tmp_path / "in", "a", points)
  _pts(tmp_path / "in" / ".trash", "b", points)
  _pts(tmp_path / "far", "c", points)
  (tmp_path / "in" / "link").symlink_to(tmp_path / "far")
  for name in ("lone.png", "notes.txt"):
    (tmp_path / "in" / name).write_bytes(b"x")
  names = [x.image for x in landmarks68._read_folder(str(tmp_path / "in"))]
  assert names == [f"{tmp_path}/in/a.png", f"{tmp_path}/in/link/c.png"]
  assert caplog.messages == [
    f"{tmp_path}/in: passed over 1 x .png, 1 x .txt, 1 x hidden folder"
  ]
  with pytest.raises(errors.InputError, match=r"no \.pts.*1 x \.txt"):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_bytes(b"x")
    landmarks68.load(str(tmp_path / "none"))
