import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import build, extract, sheet, sources


def test_sheet_shows_stored_frames_row_by_row(tmp_path):
  for person in range(3):
    for i in range(4):
      path = tmp_path / "in" / f"p{person}" / "v" / "t" / f"{i}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      level = np.full((32, 32, 3), 60 * person + 10 * i, np.uint8)
      Image.fromarray(level).save(path)
  units = sources.collect([sources.Source(str(tmp_path / "in"))])
  settings = extract.Settings(size_px=32)
  build.build(units, str(tmp_path / "out"), settings, build.Plan())
  path = str(tmp_path / "sheet.png")
  count = sheet.draw(str(tmp_path / "out"), path, columns=3, high=16)
  assert count == 3
  got = np.asarray(Image.open(path))
  assert got.shape == (3 * 20, 3 * 16, 3)
  levels = sorted(got[8::20, 8::16, 0].ravel().tolist())
  # First, last and one in the middle of each track.
  assert levels == sorted(60 * p + 10 * i for p in range(3) for i in (0, 2, 3))


def test_sheet_of_nothing_is_an_error(tmp_path):
  with pytest.raises(errors.InputError, match="no finished dataset"):
    sheet.draw(str(tmp_path), str(tmp_path / "sheet.png"))


def test_boxes_are_drawn_on_real_videos(shared, tmp_path):
  pytest.importorskip("av")
  clip = str(shared / "data" / "videos" / "bbaf2n.mpg")
  units = sources.collect([sources.Source(clip)])
  settings = extract.Settings(size_px=64, fps=2)
  build.build(units, str(tmp_path / "out"), settings, build.Plan())
  path = str(tmp_path / "sheet.png")
  assert sheet.draw(str(tmp_path / "out"), path, columns=2, high=144) == 1
  got = np.asarray(Image.open(path))
  assert got.shape == (148, 180 + 180 + 144, 3)  # Two frames, a crop.
  green = (got == (0, 220, 0)).all(-1)
  rows, columns = np.nonzero(green[:, :180])
  # The face of this clip, at half size; see the detector's test.
  assert abs(columns.min() - 44) < 6
  assert abs(rows.max() - 122) < 6
