import numpy as np
from PIL import Image

from facerep_jax import pictures


def test_sheet_holds_every_picture_under_its_caption(tmp_path):
  shades = np.linspace(0, 1, 3, dtype=np.float32)
  left = np.broadcast_to(shades[:, None, None, None], (3, 8, 8, 3))
  sheet = pictures.sheet({"left": left, "right": 1 - left})
  scale = 96 // 8
  cell = 8 * scale + 2
  assert sheet.shape == (14 + 3 * cell, 2 * cell, 3)
  for row, shade in enumerate([0, 128, 255]):
    middle = 14 + row * cell + 4 * scale
    assert abs(int(sheet[middle, 4 * scale, 0]) - shade) <= 1
    assert abs(int(sheet[middle, cell + 4 * scale, 0]) - (255 - shade)) <= 1
  pictures.save(tmp_path / "a" / "b.png", sheet)
  assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / "b.png")), sheet)
  assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.png"]
