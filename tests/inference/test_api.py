import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import errors
from facerep_jax.data import transforms
from facerep_jax.inference import api
from facerep_jax.runs import metrics
from facerep_jax.training import loop, setup
from tests import tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A run of two steps, and a third checkpoint that is worse than both."""
  folder = tmp_path_factory.mktemp("run")
  config = tiny.config(
    tiny.write_tracks(folder / "tracks"), steps=2, every__eval=1, ema_decay=0.5
  )
  with jax.numpy_dtype_promotion("standard"):
    prepared, state = setup.prepare(
      config, folder / "run", config.data.path, jax.devices()[:1]
    )
    state = loop.train(prepared, state)
  prepared.checkpoints.save(3, state, {}, loss=1e3)
  prepared.checkpoints.wait()
  return folder / "run", jax.device_get(state)


@pytest.fixture(scope="module")
def workdir(trained):
  return trained[0]


@pytest.fixture(scope="module")
def model(workdir):
  return facerep_jax.load(workdir)


def test_embeds_images_of_any_size_and_kind(model):
  rng = np.random.default_rng(0)
  images = [
    rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
    for h, w in [(40, 40), (200, 150), (33, 90)]
  ]
  codes = model.embed(images)["embedding"]
  assert codes.shape == (3, 8) and codes.dtype == np.float32
  # The same numbers as floats; uint8 is rounded once more, when resized.
  floats = model.embed([image / 255 for image in images])["embedding"]
  np.testing.assert_allclose(floats, codes, atol=0.02 * np.abs(codes).max())
  stacked = model.embed(np.stack([images[0]] * 2))["embedding"]
  np.testing.assert_array_equal(stacked, np.stack([codes[0]] * 2))


def test_the_same_image_gives_the_same_code_in_any_batch(model):
  rng = np.random.default_rng(1)
  images = rng.integers(0, 256, (40, 40, 40, 3)).astype(np.uint8)
  whole = model.embed(images)["embedding"]
  again = np.concatenate(
    [model.embed(images[i : i + 7])["embedding"] for i in range(0, 40, 7)]
  )
  np.testing.assert_array_equal(whole, again)


def test_images_pass_the_crop_of_training(model):
  crop = transforms.Crop(**model.config.data.crop)
  image = np.zeros((256, 256, 3), np.uint8)
  image[18:188, 43:213] = 200  # The middle crop, and nothing else.
  inside = np.full((256, 256, 3), 200, np.uint8)
  assert crop.middle() == (43, 18, 170)
  codes = model.embed([image, inside])["embedding"]
  np.testing.assert_array_equal(codes[0], codes[1])


def test_what_is_cut_is_only_resized(model):
  rng = np.random.default_rng(3)
  images = rng.integers(0, 256, (2, 256, 256, 3)).astype(np.uint8)
  assert model.square() == (43 / 256, 18 / 256, 170 / 256)
  assert model.square(is_cropped=True) == (0, 0, 1)
  cut = np.stack([model.crop(image) for image in images])
  assert cut.shape == (2, 32, 32, 3) and cut.dtype == np.uint8
  codes = model.embed(images)["embedding"]
  np.testing.assert_array_equal(
    model.embed(cut, is_cropped=True)["embedding"], codes
  )
  # The same pixels, cut by hand and resized here.
  inside = images[:, 18:188, 43:213]
  np.testing.assert_array_equal(
    model.embed(inside, is_cropped=True)["embedding"], codes
  )
  np.testing.assert_array_equal(model.crop(inside[0], is_cropped=True), cut[0])
  # What has the right size already stays as it is.
  np.testing.assert_array_equal(model.crop(cut[0], is_cropped=True), cut[0])


def test_a_crop_of_floats_keeps_their_type(model):
  image = np.random.default_rng(4).uniform(size=(50, 70, 3))
  cut = model.crop(image)
  assert cut.dtype == np.float32 and cut.shape == (32, 32, 3)
  left, top, side = model.square()
  rows = slice(round(50 * top), round(50 * (top + side)))
  columns = slice(round(10 + 50 * left), round(10 + 50 * (left + side)))
  # The mean of the square, but for its edges, which are not whole pixels.
  np.testing.assert_allclose(cut.mean(), image[rows, columns].mean(), atol=0.02)
  with pytest.raises(errors.InputError, match="image 7: expected shape"):
    model.crop(image[..., 0], 7)


def test_no_images_give_no_rows(model):
  assert model.embed([])["embedding"].shape == (0, 8)


@pytest.mark.parametrize(
  ("image", "text"),
  [
    (np.zeros((40, 40), np.uint8), r"image 0: expected shape \[H, W, 3\]"),
    (np.zeros((0, 40, 3), np.uint8), "image 0: expected shape"),
    (np.zeros((40, 40, 3), np.int64), "got int64"),
    (np.full((40, 40, 3), 255.0), "Divide by 255"),
    (np.full((40, 40, 3), np.nan), r"floats in \[0, 1\]"),
  ],
)
def test_refuses_what_is_no_image(model, image, text):
  with pytest.raises(errors.InputError, match=text):
    model.embed([image])


def test_uses_the_best_checkpoint_and_its_moving_average(trained, model):
  workdir, state = trained
  losses = {
    line["step"]: line["loss"]
    for line in metrics.read(workdir)
    if line["split"] == "validation"
  }
  assert model.step == min(losses, key=losses.get)
  kernel = lambda params: params["encoder"]["conv0"]["kernel"]
  first, second, third = (
    facerep_jax.load(workdir, step=step) for step in (1, 2, 3)
  )
  assert (first.step, second.step, third.step) == (1, 2, 3)
  best = {1: first, 2: second}[model.step]
  jax.tree.map(np.testing.assert_array_equal, model.variables, best.variables)
  jax.tree.map(
    np.testing.assert_array_equal, second.variables.params, state.ema
  )
  assert (kernel(state.ema) != kernel(state.params)).any()
  assert (
    kernel(first.variables.params) != kernel(second.variables.params)
  ).any()


def test_random_weights_have_the_same_shape_and_other_values(model):
  floor = api.untrained(model.config)
  image = np.random.default_rng(2).integers(0, 256, (1, 40, 40, 3))
  a, b = (m.embed(image.astype(np.uint8))["embedding"] for m in (model, floor))
  assert a.shape == b.shape and not np.allclose(a, b)


def test_untrained_weights_are_those_from_which_the_run_began(model, tmp_path):
  config = model.config.copy_and_resolve_references()
  config.data.path = tiny.write_tracks(tmp_path / "tracks")
  _, state = setup.prepare(config, tmp_path / "run", config.data.path)
  jax.tree.map(
    np.testing.assert_array_equal,
    state.params,
    api.untrained(config).variables.params,
  )


def test_folders_without_a_run_are_refused(tmp_path, workdir):
  with pytest.raises(errors.InputError, match="has no config.json"):
    facerep_jax.load(tmp_path)
  (tmp_path / "config.json").write_text((workdir / "config.json").read_text())
  with pytest.raises(errors.InputError, match="no checkpoint yet"):
    facerep_jax.load(tmp_path)
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(errors.InputError, match="config.json: is damaged"):
    facerep_jax.load(tmp_path)
