import numpy as np
import pytest

from facerep_jax.faces import editing
from facerep_jax.inference import sheets
from tests import made_up_faces

NAMES = ["a.png", "b/c.jpg", "d.jpg"]


@pytest.fixture(scope="module")
def model():
  return made_up_faces.with_neutral(made_up_faces.representation())


@pytest.fixture(scope="module")
def page(model):
  return sheets.Page(model, NAMES, made_up_faces.photos(3), 4)


@pytest.mark.parametrize(
  ("kind", "captions"),
  [
    ("views", ["rebuilt", "yaw -60", "yaw +0", "yaw +60", "pitch +30"]),
    ("frontal", ["rebuilt", "frontal", "in even light"]),
    ("relight", ["rebuilt", "from the left", "from above"]),
    ("neutral", ["rebuilt", "neutral", "frontal", "neutral frontal"]),
    ("maps", ["albedo", "shading", "depth", "normals", "canonical"]),
  ],
)
def test_sheets_have_a_picture_for_each_face(page, kind, captions):
  columns = page.sheet(kind)
  assert next(iter(columns)) == "input" and set(captions) <= set(columns)
  for caption, values in columns.items():
    assert values.shape == (3, 128, 128, 3), caption
    assert values.min() >= 0 and values.max() <= 1, caption


def test_columns_show_what_their_captions_say(model, page):
  images = made_up_faces.photos(3)
  large = {"size_px": 128, "batch_size": 4}
  views, relit = page.sheet("views"), page.sheet("relight")
  for got, want in (
    (views["rebuilt"], model.reconstruct(images, **large)),
    (views["yaw -20"], model.turn(images, -20, **large)),
    (views["pitch +30"], model.turn(images, 0, 30, **large)),
    (page.sheet("frontal")["frontal"], model.frontalise(images, **large)),
    (page.sheet("neutral")["neutral"], model.neutralise(images, **large)),
    (
      relit["from above"],
      model.relight(images, editing.light_vector(above_deg=40), **large),
    ),
  ):
    np.testing.assert_array_equal(got, want)
  maps, shown = page.maps(), page.sheet("maps")
  np.testing.assert_array_equal(shown["albedo"][:, ::2, 1::2], maps["albedo"])


def test_inputs_are_cut_as_the_network_sees_them(model, page):
  image = made_up_faces.photos(1)[0]
  want = model.crop(image, size_px=128)
  got = page.sheet("frontal")["input"][0]
  np.testing.assert_allclose(got, want / 255, atol=1e-6)


def test_transfer_crosses_the_first_faces(model, page):
  columns, names = page.transfer(2)
  assert list(columns) == ["identity", "expression 1", "expression 2"]
  assert names == ["whose expression", "1: a.png", "2: b/c.jpg"]
  inputs = page.sheet("frontal")["input"]
  assert (columns["identity"][0] == 1).all()
  np.testing.assert_array_equal(columns["identity"][1:], inputs[:2])
  images = made_up_faces.photos(3)
  for j in range(2):
    column = columns[f"expression {j + 1}"]
    np.testing.assert_array_equal(column[0], inputs[j])
    want = model.transfer(images[:2], images[[j, j]], size_px=128, batch_size=4)
    # In another place of a batch of other faces: one unit in the last place of
    # a number in 98,304 was seen.
    np.testing.assert_allclose(column[1:], want, rtol=2e-7)
  assert len(page.transfer(9)[0]) == 4


def test_films_begin_at_rest_and_go_both_ways(model, page, monkeypatch):
  monkeypatch.setattr(sheets, "FILM_PX", 64)
  monkeypatch.setattr(sheets, "FILM_FRAMES", 8)
  codes = {name: values[1:2] for name, values in page.codes.items()}

  def check(picture, **changes):
    want = model.draw(codes, batch_size=4, **changes)[0]
    # Another batch size: rounding, by which a pixel at an edge changes sides.
    assert (np.abs(picture - want).max(-1) > 1e-3).mean() < 1e-3

  film = page.film("views", 1)
  assert film.shape == (8, 64, 64, 3)
  for frame, yaw in ((0, 0), (2, 45), (6, -45)):
    check(film[frame], view=model.view_vector(yaw))
  film = page.film("relight", 1)
  for frame, (right, above) in ((0, (40, 0)), (2, (0, 40)), (4, (-40, 0))):
    light = editing.light_vector(right_deg=right, above_deg=above)
    check(film[frame], light=light)
