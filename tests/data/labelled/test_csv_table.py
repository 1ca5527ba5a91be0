import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import csv_table, open_set
from tests.data.labelled import tiny


def _write(tmp_path, header, *rows):
  for i in range(3):
    tiny.write_image(tmp_path / "faces" / f"{i}.png", 10 * i)
  lines = [f"path,{header}" if header else "path"]
  lines += [
    f"faces/{i}.png" + (f",{x}" if x else "") for i, x in enumerate(rows)
  ]
  path = tmp_path / "my.set.csv"
  path.write_text("\n".join(lines) + "\n")
  return str(path)


def test_labels_by_their_names(tmp_path):
  path = _write(
    tmp_path,
    "person,fold,yaw_deg,pitch_rad,expression,age,x0,y0,x1,y1,identity",
    "ann,0,90,0.5,2,31.5,1,2,3,4,7",
    "bo,1,-45,0,0,20,5,6,7,8,9",
  )
  got = open_set.open_data(f"csv:{path}")["all"]
  labels = got.labels
  np.testing.assert_allclose(labels["yaw_rad"], [np.pi / 2, -np.pi / 4])
  np.testing.assert_allclose(labels["pitch_rad"], [0.5, 0])
  np.testing.assert_allclose(labels["age"], [31.5, 20])
  assert labels["landmarks_px"].tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
  assert labels["expression"].tolist() == [2, 0]
  assert got.classes["expression"] == ("0", "1", "2")
  assert labels["fold"].tolist() == [0, 1] and labels["identity"].tolist() == [
    7,
    9,
  ]
  assert got.group.tolist() == ["ann", "bo"]
  assert got.names == ("faces/0.png", "faces/1.png")
  assert got.read(1)[0, 0].tolist() == [10, 10, 10]
  assert (got.name, got.cut) == ("my", "photo")
  assert set(labels) == {
    "fold",
    "yaw_rad",
    "pitch_rad",
    "expression",
    "age",
    "landmarks_px",
    "identity",
  }


def test_columns_of_0_and_1_become_attributes(tmp_path):
  path = _write(tmp_path, "au_12,glasses,au_4,age", "1,0,1,5", "0,1,1,6")
  got = csv_table.load(path)["all"]
  assert got.classes["attributes"] == ("au_12", "glasses", "au_4")
  assert got.labels["attributes"].tolist() == [[1, 0, 1], [0, 1, 1]]
  assert list(got.labels) == ["age", "attributes"] and got.group is None


def test_splits_share_their_classes(tmp_path):
  path = _write(
    tmp_path,
    "split,expression",
    "test,sad",
    "train,happy",
    "test,angry",
  )
  parts = open_set.open_data(f"csv:{path}:name=mine:cut=face")
  assert list(parts) == ["train", "test"]
  for part in parts.values():
    assert part.classes["expression"] == ("angry", "happy", "sad")
    assert (part.name, part.cut) == ("mine", "face")
  assert parts["train"].labels["expression"].tolist() == [1]
  assert parts["test"].labels["expression"].tolist() == [2, 0]
  assert parts["test"].read(1)[0, 0, 0] == 20


@pytest.mark.parametrize(
  "header, rows, message",
  [
    ("split", ["dev"], "line 2: split is 'dev', expected one of train"),
    ("age", ["1", "old"], "line 3, column age: expected a number, got 'old'"),
    ("age", ["1", "nan"], "line 3, column age: expected a number, got 'nan'"),
    ("au_1", ["1", "999"], "line 3, column au_1: expected 0 or 1, got 999"),
    ("fold", ["1.5"], "line 2, column fold: expected a whole number from 0"),
    ("identity", ["-1"], "column identity: expected a whole number from 0"),
    ("expression", ["sad", "1"], "line 3, column expression: expected a name"),
    ("x0,y0,x2,y2", ["1,1,1,1"], "line 1: lacks the column x1"),
    ("x0", ["1"], "line 1: lacks the column y0"),
    ("yaw_deg,yaw_rad", ["1,1"], "label yaw_rad is given twice"),
    ("light", ["0.5"], "label light takes several numbers"),
    ("action_units", ["1"], "label action_units takes several numbers"),
    ("age", ["1,2"], "line 2: expected 2 fields"),
    ("", [], "holds no row"),
  ],
)
def test_tables_that_do_not_fit(tmp_path, header, rows, message):
  with pytest.raises(errors.InputError, match=f"my.set.csv.*{message}"):
    csv_table.load(_write(tmp_path, header, *rows))


def test_paths_that_do_not_fit(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text("image\nx.png\n")
  with pytest.raises(
    errors.InputError, match="lacks the column 'path'; got im"
  ):
    csv_table.load(str(path))
  tiny.write_image(tmp_path / "x.png")
  path.write_text("path\nx.png\nx.png\n")
  with pytest.raises(errors.InputError, match=r"line 3: image 'x.png' stands"):
    csv_table.load(str(path))
  path.write_text("path\nx.png\ny.png\n")
  with pytest.raises(
    errors.InputError, match=r"line 3: the image .*y.png does"
  ):
    csv_table.load(str(path))
  path.write_text("path\nx.png\n")
  (tmp_path / "x.png").write_bytes(b"no image")
  with pytest.raises(errors.InputError, match=r"x.png: not an image"):
    csv_table.load(str(path))["all"].read(0)
