import gzip

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import fer2013

_HEADER = "emotion,pixels,Usage"


def _pixels(value):
  return " ".join(str((value + i) % 256) for i in range(48 * 48))


def _write(path, *rows, header=_HEADER):
  path.write_text("\n".join([header, *rows]) + "\n")
  return str(path)


def _row(emotion, usage, value=0):
  return f"{emotion},{_pixels(value)},{usage}"


def test_usage_names_the_split(tmp_path):
  path = _write(
    tmp_path / "fer.csv",
    _row(3, "Training", 0),
    _row(6, "PrivateTest", 1),
    _row(0, "PublicTest", 2),
    _row(1, "Training", 3),
  )
  parts = fer2013.load(path)
  assert list(parts) == ["train", "validation", "test"]
  assert parts["train"].labels["expression"].tolist() == [3, 1]
  assert parts["train"].names == ("line 2", "line 5")
  assert parts["test"].labels["expression"].tolist() == [6]
  assert parts["train"].group is None and parts["train"].cut == "face"
  names = parts["train"].classes["expression"]
  assert (names[3], names[1], names[6]) == ("happiness", "disgust", "neutral")


def test_without_private_rows_the_public_ones_are_the_test(tmp_path):
  path = _write(
    tmp_path / "fer.csv", _row(3, "Training"), _row(2, "PublicTest", 1)
  )
  assert list(fer2013.load(path)) == ["train", "test"]


def test_pixels_run_row_by_row_and_grey_becomes_rgb(tmp_path):
  text = f" Training , {_pixels(7)} ,4"
  path = tmp_path / "fer.csv.gz"
  path.write_bytes(gzip.compress(f"Usage, pixels, emotion\n{text}\n".encode()))
  image = fer2013.load(str(path))["train"].read(0)
  assert image.shape == (48, 48, 3) and image.dtype == np.uint8
  want = (7 + 48 * np.arange(48)[:, None] + np.arange(48)) % 256
  np.testing.assert_array_equal(image, np.repeat(want[..., None], 3, -1))


def test_repeated_images_are_kept_and_counted(tmp_path, caplog):
  path = _write(tmp_path / "f.csv", _row(3, "Training"), _row(2, "PublicTest"))
  assert len(fer2013.load(path)["test"]) == 1
  assert "1 of 2 images occur before" in caplog.text


@pytest.mark.parametrize(
  "row, message",
  [
    (f"7,{_pixels(0)},Training", "line 3: emotion is '7', expected 0 to 6"),
    (f"x,{_pixels(0)},Training", "line 3: emotion is 'x'"),
    (f"1,{_pixels(0)},Test", "line 3: Usage is 'Test', expected one of"),
    (f"1,{_pixels(0)[2:]},Training", r"line 3: 2303 pixels, expected 2304"),
    (f"1,{_pixels(0)[:-1]}x,Training", "line 3: pixels hold something"),
    (f"1,{_pixels(0)[:-3]}256,Training", "line 3: pixels from 0 to 256"),
    (f"1,-1 {_pixels(0)[2:]},Training", "line 3: pixels from -1 to 255"),
    (f"1,{_pixels(0)}", "line 3: expected 3 fields"),
  ],
)
def test_rows_that_do_not_fit(tmp_path, row, message):
  # 0, 1 .. 255, 0 ..: the last of the 2304 values is 255.
  path = _write(tmp_path / "fer.csv", _row(0, "Training"), row)
  with pytest.raises(errors.InputError, match=f"fer.csv, {message}"):
    fer2013.load(path)


def test_files_that_are_no_fer2013(tmp_path):
  path = _write(tmp_path / "a.csv", header="emotion,pixels")
  with pytest.raises(errors.InputError, match="lacks the column 'Usage'"):
    fer2013.load(path)
  path = _write(tmp_path / "b.csv")
  with pytest.raises(errors.InputError, match="holds no row"):
    fer2013.load(path)


def test_the_sample(shared):
  parts = fer2013.load(str(shared / "data/fer2013/fer2013_dev.csv.gz"))
  assert {name: len(part) for name, part in parts.items()} == {
    "train": 4036,
    "test": 1500,
  }
  counts = np.bincount(parts["train"].labels["expression"])
  assert counts.max() == 600 and len(counts) == 7
