import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.explorer import engine as engines
from facerep_jax.explorer import scene, uploads
from facerep_jax.faces import editing
from tests import made_up_faces

QUERY = {
  "yaw": "30",
  "pitch": "-10",
  "roll": "5",
  "ambient": "0.3",
  "diffuse": "0.5",
  "right_deg": "20",
  "above_deg": "-15",
}


@pytest.fixture(scope="module")
def engine(latentface):
  return engines.Engine(latentface)


@pytest.fixture(scope="module")
def photos(engine):
  """Two photos with codes."""
  some = [uploads.Photo(x, "none", ()) for x in made_up_faces.photos(2)]
  for one in some:
    scene.describe(engine, one)
  return some


def test_sliders_start_at_what_the_photo_shows(engine, photos):
  photo = photos[0]
  told = scene.describe(engine, photo)
  assert len(told["pictures"]) == 6
  look = scene.look_of(
    {k: str(v) for k, v in (told["angles"] | told["light"]).items()}
  )
  own = engine.model.draw(photo.codes, batch_size=1)[0]
  np.testing.assert_allclose(scene.draw(engine, photo, look), own, atol=1e-3)


def test_draws_what_the_sliders_say(engine, photos):
  photo, other = photos
  model, codes = engine.model, photo.codes
  view = codes["view"].copy()  # The place in the picture stays.
  view[0, :3] = np.array([-10, 30, 5]) / model.formation.max_angle_deg
  light = editing.light_vector(
    ambient=0.3, diffuse=0.5, right_deg=20, above_deg=-15
  )
  for expression, changed in (
    (scene.OWN, codes),
    (scene.NEUTRAL, editing.neutral(codes)),
    ("name", editing.transferred(codes, other.codes)),
  ):
    look = scene.look_of(QUERY | {"expression": expression})
    drawn = scene.draw(engine, photo, look, other)
    want = model.draw(changed, view=view, light=light, batch_size=1)[0]
    np.testing.assert_allclose(drawn, want, atol=1e-5)


def test_a_face_is_decoded_once_and_few_are_kept(engine, photos, monkeypatch):
  calls, decode = [], engine.decode
  monkeypatch.setattr(
    engine, "decode", lambda codes: calls.append(1) or decode(codes)
  )
  photo = uploads.Photo(photos[0].image, "none", ())
  photo.codes = photos[0].codes
  for _ in range(3):
    scene.draw(engine, photo, scene.look_of(QUERY))
  assert len(calls) == 1
  for i in range(20):
    scene.face_of(engine, photo, f"name {i}", photos[1])
  assert len(photo.faces) < 10


@pytest.mark.parametrize(
  ("name", "value"),
  [("yaw", "76"), ("yaw", "nan"), ("pitch", ""), ("roll", "x"), ("yaw", "inf")],
)
def test_what_sliders_cannot_say_is_one_line(name, value):
  with pytest.raises(errors.InputError, match=f"{name}: expected"):
    scene.look_of(QUERY | {name: value})


def test_light_beyond_its_range_is_one_line(engine, photos):
  look = scene.look_of(QUERY | {"right_deg": "50"})
  with pytest.raises(errors.InputError, match="right_deg: expected -45 to 45"):
    scene.draw(engine, photos[0], look)


def test_photos_that_were_not_used_for_longest_go_first():
  kept = uploads.Kept()
  photo = uploads.Photo(np.zeros((16, 16, 3), np.uint8), "none", ())
  first, second = kept.add(photo), kept.add(photo)
  for _ in range(uploads.MOST_KEPT - 1):
    kept.get(first)
    kept.add(photo)
  assert kept.get(first) is photo
  with pytest.raises(errors.InputError, match="no longer kept"):
    kept.get(second)
