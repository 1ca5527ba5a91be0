import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.faces import editing, panels, rendering
from facerep_jax.inference import api
from facerep_jax.ops import render
from tests import made_up_faces, tiny


@pytest.fixture(scope="module")
def model():
  return made_up_faces.with_neutral(made_up_faces.representation())


@pytest.fixture(scope="module")
def images():
  return made_up_faces.photos(3)


@pytest.fixture(scope="module")
def codes(model, images):
  return model.encode(images)


def assert_same_picture(got, want):
  """Equal but for rounding, by which a pixel at an edge changes sides."""
  assert got.shape == want.shape
  off = np.abs(got - want).max(-1) > 1e-4
  assert off.mean() < 1e-3


def test_codes_are_those_of_the_features(model, images, codes):
  features = model.embed(images)
  neutral = {f"neutral_{name}" for name in editing.NAMES}
  assert set(codes) == set(features) | neutral
  for name, values in features.items():
    np.testing.assert_allclose(codes[name], values, rtol=1e-5, atol=1e-7)
  assert model.has_neutral
  assert {x.dtype for x in codes.values()} == {np.dtype(np.float32)}


def test_reconstruction_is_that_of_the_factors(model, images):
  cut = np.stack([model.crop(x) for x in images]) / np.float32(255)
  want = jax.jit(model.system.factors)(model.variables, cut)
  assert_same_picture(model.reconstruct(images), want["reconstruction"])
  maps = model.maps(images)
  for name, values in maps.items():
    np.testing.assert_allclose(values, want[name], atol=1e-4, err_msg=name)
  assert set(maps) == {
    *("albedo", "shading", "canonical", "canonical_depth", "normal")
  }


def test_unturned_is_frontal_is_the_canonical_picture(images):
  model = made_up_faces.representation(model__pixel_grid="consistent")
  frontal = model.frontalise(images)
  np.testing.assert_array_equal(model.turn(images, 0.0, 0.0), frontal)
  # Edges of the mesh lie on centres of pixels: colours are not mixed.
  canonical = model.maps(images)["canonical"]
  np.testing.assert_allclose(frontal, canonical, atol=2e-3)
  face = model.decode(model.encode(images))
  turned = panels.turned(face.depth, canonical, 0, model.formation)
  np.testing.assert_allclose(frontal, turned, atol=2e-3)
  turned = panels.turned(face.depth, canonical, 25, model.formation)
  assert_same_picture(model.turn(images, 25), turned)


def test_frontal_does_not_depend_on_the_viewpoint(model, codes):
  front = model.view_vector(0)
  moved = codes | {"view": codes["view"] + np.float32(0.3)}
  np.testing.assert_array_equal(
    model.draw(codes, view=front), model.draw(moved, view=front)
  )
  assert np.abs(model.draw(codes) - model.draw(moved)).max() > 0.1


def test_angles_are_degrees_and_turn_as_the_camera_says(model):
  np.testing.assert_allclose(
    model.view_vector(30, -15, 6), [-0.25, 0.5, 0.1, 0, 0, 0], rtol=1e-6
  )
  # A dome's middle is nearest: it goes left with the nose, and down.
  size = model.size_px
  place = np.linspace(-1, 1, size) ** 2
  depth = 0.95 + 0.05 * (place[:, None] + place[None])
  colour = np.full((size, size, 3), -1.0)
  colour[28:36, 28:36] = 1.0

  def middle(yaw, pitch, roll=0):
    face = rendering.Face(
      depth[None].astype(np.float32),
      colour[None].astype(np.float32),
      np.array([[1.0, -1.0, 0.0, 0.0]], np.float32),
      model.view_vector(yaw, pitch, roll)[None],
    )
    # The white behind the mesh is left out.
    seen = model.render(face)[0, 8:-8, 8:-8, 0] > 0.5
    return np.mean(np.nonzero(seen), axis=1) + 8

  np.testing.assert_allclose(middle(0, 0), 31.5, atol=0.5)
  assert middle(10, 0)[1] < 30 < 33 < middle(-10, 0)[1]
  assert middle(0, -10)[0] < 30 < 33 < middle(0, 10)[0]
  colour[:] = -1.0
  colour[14:20, 29:35] = 1.0  # Above the middle: goes right with the top.
  assert middle(0, 0, -20)[1] < 28 < 35 < middle(0, 0, 20)[1]


def test_relighting(model, images, codes):
  own = model.reconstruct(images)
  np.testing.assert_array_equal(model.relight(images, codes["light"]), own)
  np.testing.assert_array_equal(
    model.draw(codes, view=codes["view"], light=codes["light"]), own
  )
  dark = editing.light_vector(ambient=0.0, diffuse=0.0)
  face = model.relight(images, dark)
  assert ((face < 1e-6) | (face == 1)).all()  # Black on white.
  assert (face < 1e-6).mean() > 0.5


def test_light_comes_from_the_side_it_says(model, codes):
  size = model.size_px

  # Shading alone: the sides of the dome that is added to every shape.
  def shading(**angles):
    light = editing.light_vector(**angles)
    lit = codes | {"light": np.tile(light, (3, 1))}
    return model.draw_maps(lit)["shading"][..., 0].mean(0)[4:-4, 4:-4]

  half = size // 2 - 4
  right, left = shading(right_deg=40), shading(right_deg=-40)
  assert right[:, half:].mean() > right[:, :half].mean() + 0.05
  assert left[:, half:].mean() < left[:, :half].mean() - 0.05
  above, below = shading(above_deg=40), shading(above_deg=-40)
  assert above[:half].mean() > above[half:].mean()
  assert below[:half].mean() < below[half:].mean()


def test_transfer_to_itself_is_the_reconstruction(model, images):
  own = model.reconstruct(images)
  assert_same_picture(model.transfer(images, images), own)
  other = model.transfer(images, images[::-1])
  assert np.abs(other[0] - own[0]).max() > 1e-3


def test_transfer_draws_its_codes_in_the_view_of_the_identity(
  model, images, codes
):
  other = {name: values[::-1] for name, values in codes.items()}
  want = {"view": codes["view"], "light": codes["light"]}
  num_negative = 0
  for name in editing.NAMES:
    neutral = codes[f"neutral_{name}"].astype(np.float64)
    total = neutral + other[name] - other[f"neutral_{name}"]
    num_negative += (total < 0).sum()
    want[name] = np.maximum(total, 0).astype(np.float32)
  assert num_negative  # Else nothing is tested.
  assert_same_picture(model.transfer(images, images[::-1]), model.draw(want))


def test_neutral_faces(model, images, codes):
  changed = {name: codes[f"neutral_{name}"] for name in editing.NAMES}
  want = model.draw(codes | changed)
  np.testing.assert_array_equal(model.neutralise(images), want)
  assert np.abs(want - model.reconstruct(images)).max() > 1e-3


def test_the_same_image_gives_the_same_picture_in_any_company(model, images):
  many = np.concatenate([images, made_up_faces.photos(4, seed=1)])
  settings = {"batch_size": 4}
  whole = model.reconstruct(many, **settings)
  np.testing.assert_array_equal(
    model.reconstruct(images, **settings), whole[:3]
  )
  np.testing.assert_array_equal(model.reconstruct(many, **settings), whole)


def test_devices_share_the_work(model, images):
  parts = (model.config, model.system, model.variables, 0)
  spread = api.Representation(*parts, jax.devices())
  assert spread.mesh.devices.size == 8
  assert_same_picture(
    spread.transfer(images, images[::-1]), model.transfer(images, images[::-1])
  )


def test_compiled_equals_eager(model, images, codes):
  key = jax.random.key(0)
  cut = np.stack([model.crop(x) for x in images[:1]]) / np.float32(255)
  taken = model.system.faces.encode(model.variables, cut, key)
  for name, values in taken.items():
    np.testing.assert_allclose(values, codes[name][:1], rtol=1e-4, atol=1e-6)
  depth, albedo11 = model.system.faces.decode(
    model.variables, codes["albedo_code"][:1], codes["depth_code"][:1]
  )
  rest = (jnp.asarray(codes[name][:1]) for name in ("light", "view"))
  face = rendering.Face(depth, albedo11, *rest)
  # `tests/ops/test_render.py` compares the renderer itself with eager calls.
  picture = jax.jit(lambda face: panels.picture(face, model.formation))(face)
  assert_same_picture(model.draw(codes)[:1], np.asarray(picture))


def test_larger_pictures_show_the_same(model, images):
  small = model.frontalise(images)
  large = model.frontalise(images, size_px=3 * model.size_px)
  assert large.shape == (3, 192, 192, 3)
  # The published grid fits the outer edges of the pixels: the middle one of
  # nine has its centre where the small picture's pixel has its own.
  assert model.formation.pixel_grid == "published"
  assert_same_picture(large[:, 1::3, 1::3], small)


def test_pictures_have_hard_edges_whatever_training_draws(images):
  model = made_up_faces.representation(
    model__softness_edge_px=1.0,
    model__softness_depth=0.01,
    model__image_formation="warp",
  )
  assert model.formation.kind == "rasterise"
  assert model.formation.softness == render.HARD
  assert model.turn(images, 80).max() == 1  # White behind.


def test_no_images_give_no_pictures(model):
  assert model.encode([])["view"].shape == (0, 6)
  assert model.reconstruct([]).shape == (0, 64, 64, 3)
  assert model.draw_maps(model.encode([]))["normal"].shape == (0, 64, 64, 3)


def test_other_systems_have_no_faces(images):
  model = api.untrained(tiny.config(""))
  assert not model.has_neutral
  for call in (model.encode, model.reconstruct, model.neutralise, model.maps):
    with pytest.raises(errors.InputError, match="fabnet, does not take faces"):
      call(images)


def test_without_the_second_stage_there_are_no_neutral_faces(images):
  model = made_up_faces.representation()
  assert not model.has_neutral
  with pytest.raises(errors.InputError, match="config.stage=diffusion"):
    model.neutralise(images)
  with pytest.raises(errors.InputError, match="config.stage=diffusion"):
    model.transfer(images, images)


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"view": np.zeros(5)}, r"view: expected \[6\] or \[3, 6\], got \[5\]"),
    ({"view": np.full(6, np.nan)}, "view: expected -1.5 to 1.5, got nan"),
    ({"light": np.zeros((2, 4))}, r"expected \[4\] or \[3, 4\], got \[2, 4\]"),
    ({"light": [0, 2, 0, 0]}, "light: expected -1 to 1, got 0 to 2"),
  ],
)
def test_refuses_views_and_lights_that_cannot_be(model, codes, change, text):
  with pytest.raises(errors.InputError, match=text):
    model.draw(codes, **change)


def test_refuses_turns_past_the_side(model, images):
  with pytest.raises(errors.InputError, match="yaw_deg: expected more than"):
    model.turn(images, 90)
  with pytest.raises(errors.InputError, match="pitch_deg: expected more than"):
    model.turn(images, 0, float("nan"))


def test_random_weights_of_the_same_network():
  model = made_up_faces.representation()
  photos = made_up_faces.photos(2)
  before = model.reconstruct(photos), model.embed(photos)
  changed = copy.copy(model)
  changed.variables = jax.tree.map(lambda x: 0.5 * x, model.variables)
  other = changed.untrained()
  assert other.step == 0 and other.system is model.system
  np.testing.assert_array_equal(other.reconstruct(photos), before[0])
  assert (changed.reconstruct(photos) != before[0]).any()
  for name, value in other.embed(photos).items():
    np.testing.assert_array_equal(value, before[1][name])
