import numpy as np
from PIL import Image

from facerep_jax.files import image_grid


def test_sheet_holds_every_picture_under_its_caption(tmp_path):
  shades = np.linspace(0, 1, 3, dtype=np.float32)
  left = np.broadcast_to(shades[:, None, None, None], (3, 8, 8, 3))
  sheet = image_grid.sheet({"left": left, "right": 1 - left})
  scale = 96 // 8
  cell = 8 * scale + 2
  assert sheet.shape == (14 + 3 * cell, 2 * cell, 3)
  for row, shade in enumerate([0, 128, 255]):
    middle = 14 + row * cell + 4 * scale
    assert abs(int(sheet[middle, 4 * scale, 0]) - shade) <= 1
    assert abs(int(sheet[middle, cell + 4 * scale, 0]) - (255 - shade)) <= 1
  image_grid.save(tmp_path / "a" / "b.png", sheet)
  assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / "b.png")), sheet)
  assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.png"]


def test_rows_have_names():
  columns = {"a": np.zeros((2, 64, 64, 3)), "b": np.zeros((2, 64, 64, 3))}
  plain = image_grid.sheet(columns)
  assert (plain[14 + 128 : 14 + 130] == 255).all()  # The gap.
  sheet = image_grid.sheet(columns, ["first", "second"])
  assert sheet.shape == (14 + 2 * (14 + 130), 260, 3)
  for r in range(2):
    top = 14 + r * 144
    caption = sheet[top : top + 14]
    assert caption.min() < 100 < caption.max()  # Something is written.
    assert (sheet[top + 14 : top + 142, :128] == 0).all()


def test_long_and_foreign_names_fit():
  columns = {"a": np.zeros((1, 96, 96, 3))}
  for name in ("x" * 500, "名前" * 50, "new\nline", ""):
    sheet = image_grid.sheet(columns, [name])
    assert sheet.shape == (14 + 14 + 98, 98, 3)
    assert (sheet[28:124, :96] == 0).all()
  # Of what is too long, the end is shown.
  ends = [image_grid.sheet(columns, ["x" * 50 + end]) for end in ("1", "2")]
  assert (ends[0] != ends[1]).any()
