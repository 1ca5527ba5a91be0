import csv
import json

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.files import table

parquet = pytest.importorskip("pyarrow.parquet")

COLUMNS = [
  table.Column("file", table.TEXT, "", "name"),
  table.Column("frame", "int64", "", "number"),
  table.Column("seconds", "float64", "s", "time"),
  table.Column("score", "float32", "", "of the detector"),
  table.Column("detected", "int8", "", "whether"),
  table.Column("code", "float32", "", "feature", 3),
]
NAMES = ["file", "frame", "seconds", "score", "detected"]
NAMES += ["code_0", "code_1", "code_2"]
ROWS = 10


def draw():
  rng = np.random.default_rng(0)
  score = rng.normal(size=ROWS).astype(np.float32)
  score[3] = np.nan
  seconds = np.arange(ROWS) / 25
  seconds[-1] = np.nan
  return {
    "file": [f'a, "{i}" é.mp4' for i in range(ROWS)],
    "frame": np.array([2**40, *range(1, ROWS)]),
    "seconds": seconds,
    "score": score,
    "detected": np.array([-1, 0, 1] * 3 + [1], np.int8),
    "code": rng.normal(size=(ROWS, 3)).astype(np.float32),
  }


def write(path, rows=None, block=4):
  rows = draw() if rows is None else rows

  def blocks():
    for start in range(0, ROWS, block):
      yield {k: v[start : start + block] for k, v in rows.items()}

  table.write(path, COLUMNS, blocks, ROWS, {"model": "m"})
  return path


def read_parquet(path):
  return parquet.read_table(path).to_pydict()


def read_csv(path):
  with open(path, encoding="utf-8", newline="") as file:
    lines = list(csv.DictReader(file))
  kinds = {"file": str, "frame": int, "detected": int}
  return {
    name: [
      None if line[name] == "" else kinds.get(name, float)(line[name])
      for line in lines
    ]
    for name in NAMES
  }


def read_npz(path):
  with np.load(path, allow_pickle=False) as found:
    out = {name: found[name] for name in found.files if name != "metadata"}
  for i in range(3):
    out[f"code_{i}"] = out["code"][:, i]
  return {
    name: [None if x in (-1,) or x != x else x for x in out[name].tolist()]
    for name in NAMES
  }


def test_all_formats_hold_the_same_values(tmp_path):
  wide = read_parquet(write(tmp_path / "a.parquet"))
  assert list(wide) == NAMES
  rows = draw()
  assert wide["file"] == rows["file"]
  assert wide["frame"][0] == 2**40
  assert wide["score"][3] is None and wide["seconds"][-1] is None
  assert wide["detected"][:3] == [None, 0, 1]
  np.testing.assert_array_equal(
    np.stack([wide[f"code_{i}"] for i in range(3)], 1), rows["code"]
  )
  # Numbers of 32 bits are written with the digits that tell them apart.
  single = lambda values: [
    x if x is None else float(np.float32(x)) for x in values
  ]
  text = read_csv(write(tmp_path / "a.csv"))
  arrays = read_npz(write(tmp_path / "a.npz"))
  for name in NAMES:
    is_single = name.startswith(("code", "score"))
    assert (single(text[name]) if is_single else text[name]) == wide[name]
    assert arrays[name] == wide[name]


def test_arrays_are_those_of_savez(tmp_path):
  rows = draw()
  with np.load(write(tmp_path / "a.npz")) as found:
    for name, want in rows.items():
      np.testing.assert_array_equal(found[name], want)
      assert found[name].dtype == np.asarray(want).dtype
    assert json.loads(str(found["metadata"]))[table.KEY]["model"] == "m"


def test_units_and_the_model_are_in_the_metadata(tmp_path):
  found = parquet.read_schema(write(tmp_path / "a.parquet")).metadata
  stored = json.loads(found[table.KEY.encode()])
  assert stored["model"] == "m"
  assert list(stored["columns"]) == NAMES
  assert stored["columns"]["seconds"] == {"unit": "s", "meaning": "time"}
  write(tmp_path / "a.csv")
  beside = json.loads((tmp_path / "a.json").read_text())
  assert beside == {table.KEY: stored}


def test_each_block_is_a_row_group(tmp_path):
  file = parquet.ParquetFile(write(tmp_path / "a.parquet"))
  sizes = [file.metadata.row_group(i).num_rows for i in range(3)]
  assert file.num_row_groups == 3 and sizes == [4, 4, 2]


@pytest.mark.parametrize("suffix", table.SUFFIXES)
def test_nothing_is_left_of_a_table_that_fails(tmp_path, suffix):
  def blocks():
    yield {k: v[:4] for k, v in draw().items()}
    raise OSError("full")

  with pytest.raises(OSError, match="full"):
    table.write(tmp_path / f"a{suffix}", COLUMNS, blocks, ROWS, {})
  assert not list(tmp_path.iterdir())


def test_names_that_cannot_be_written_are_one_line(tmp_path, monkeypatch):
  with pytest.raises(errors.InputError, match=r"--output=a.txt: expected"):
    table.check("a.txt", "--output")
  (tmp_path / "a.json").write_text("[1]")
  with pytest.raises(errors.InputError, match="is another file already"):
    table.check(tmp_path / "a.csv")
  write(tmp_path / "b.csv")
  table.check(tmp_path / "b.csv")  # Its own metadata may be replaced.
  monkeypatch.setattr(
    errors.importlib,
    "import_module",
    lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name)),
  )
  with pytest.raises(errors.InputError, match=r"facerep_jax\[table\]"):
    table.check("a.parquet")
  table.check("a.npz")
