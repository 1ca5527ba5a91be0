import numpy as np
import pytest

from facerep_jax.evaluators import gallery


def test_points_are_drawn_where_they_lie():
  image = np.zeros((40, 40, 3), np.uint8)
  true = np.array([[10.0, 5.0], [np.nan, 3.0]])
  got = np.asarray(
    gallery.enlarge(gallery.Picture(image, "", true, np.array([[30.0, 20.0]])))
  ).astype(int)
  assert got.shape == (120, 120, 3)
  for channel, (x, y) in ((1, (10, 5)), (0, (30, 20))):
    rows, columns = np.nonzero(got[..., channel] > 150)
    # The centre of pixel (x, y) is that of its 3 x 3 pixels; drawn to 1 px.
    assert abs(rows.mean() - (3 * y + 1)) < 0.6
    assert abs(columns.mean() - (3 * x + 1)) < 0.6
  assert image.max() == 0


@pytest.mark.parametrize(("side", "want"), [(64, 192), (256, 512), (600, 600)])
def test_large_pictures_are_enlarged_less(side, want):
  image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
  got = np.asarray(gallery.enlarge(gallery.Picture(image, "")))
  times = want // side
  np.testing.assert_array_equal(got, image.repeat(times, 0).repeat(times, 1))
