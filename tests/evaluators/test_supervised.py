import jax
import numpy as np
import pytest

from facerep_jax.evaluators import linear_probe, statistics, supervised
from facerep_jax.inference import api
from tests import tiny
from tests.evaluators import made_up

SIZE = 32


@pytest.fixture(scope="module", autouse=True)
def one_device():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    yield


def images(people=12, count=8):
  """The middle of made-up images, and what moves with it."""
  source = made_up.labelled(range(people), count)
  pixels = np.stack([source.read(i)[4:36, 4:36] for i in range(len(source))])
  # Up and down again twice: random weights tell it less well.
  label = np.cos(4 * source.labels["yaw_rad"])
  return pixels, {"yaw_rad": label}, source.group


def explained(model, pixels, yaw, group):
  code = model.embed(pixels, is_cropped=True)["embedding"]
  found = linear_probe.ridge(code, yaw[:, None], group)
  return statistics.r2(found.outputs(code), yaw[:, None])(np.ones(len(yaw)))


def test_the_network_learns_what_is_labelled():
  pixels, labels, group = images()
  config = tiny.config("")
  recipe = supervised.Recipe(
    steps=60, batch_size=32, learning_rate=5e-3, shift=0, colour=0
  )
  with jax.numpy_dtype_promotion("standard"):
    model = supervised.train(config, pixels, labels, recipe)
  untrained = api.untrained(config)
  args = pixels, labels["yaw_rad"], group
  after, before = explained(model, *args), explained(untrained, *args)
  assert model.step == 60
  # A tenth of what random weights leave unexplained.
  assert 1 - after < 0.1 * (1 - before), (before, after)
  # Its running statistics are those of training, and moved.
  old, new = (m.variables.model_state["encoder"] for m in (untrained, model))
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), old, new)
  assert all(jax.tree.leaves(moved))


def test_targets_are_columns_and_class_numbers_without_gaps():
  numbers, classes = supervised._targets(
    {
      "landmarks_ndc": np.zeros((4, 68, 2)),
      "yaw_rad": np.arange(4.0),
      "expression": np.array([2, 2, 7, 0]),
      "track": np.array(["a", "b", "c", "d"]),
    }
  )
  assert {k: v.shape for k, v in numbers.items()} == {
    "landmarks_ndc": (4, 136),
    "yaw_rad": (4, 1),
  }
  assert classes["expression"].tolist() == [1, 1, 2, 0] and len(classes) == 1
  mean, deviation = supervised._scale(np.array([[1.0, 5.0], [3.0, 5.0]]))
  np.testing.assert_allclose(mean, [2, 5])
  np.testing.assert_allclose(deviation, [1, 1])


def test_landmarks_and_pixels_move_alike():
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:SIZE, :SIZE]
  places = rng.uniform(12, 20, (6, 2))
  square = [(x - a) ** 2 + (y - b) ** 2 for a, b in places]
  grey = np.rint(255 * np.exp(-np.array(square) / 4)).astype(np.uint8)
  pixels = np.repeat(grey[..., None], 3, axis=-1)
  ndc = ((places + 0.5) * 2 / SIZE - 1).astype(np.float32)
  recipe = supervised.Recipe(shift=0.2, colour=0)
  batch = supervised._draw(rng, pixels, {"landmarks_ndc": ndc}, {}, 40, recipe)
  assert batch["images"].shape == (40, SIZE, SIZE, 3)
  assert batch["images"].dtype == np.float32 and batch["images"].max() <= 1
  weight = batch["images"][..., 0].astype(np.float64)
  total = weight.sum(axis=(1, 2))
  seen = np.stack(
    [(weight * axis).sum(axis=(1, 2)) / total for axis in (x, y)], axis=1
  )
  # Pixels are moved by whole ones; the dots are rounded to 8 bits.
  np.testing.assert_allclose(
    batch["landmarks_ndc"], (seen + 0.5) * 2 / SIZE - 1, atol=2e-3
  )
  shifts = np.rint((batch["landmarks_ndc"][:, None] - ndc) * SIZE / 2)
  least = np.abs(shifts).sum(axis=2).argmin(axis=1)
  chosen = shifts[np.arange(40), least]
  assert np.abs(chosen).max() == 6  # Up to a fifth, every way.
  assert chosen.min() < 0 < chosen.max()


def test_rows_keep_their_labels_and_draws_repeat():
  pixels = np.repeat(np.arange(0, 200, 20), 16 * 16 * 3)
  pixels = pixels.reshape(10, 16, 16, 3).astype(np.uint8)
  numbers = {"yaw_rad": np.arange(10, dtype=np.float32)[:, None]}
  classes = {"expression": np.arange(10)}
  recipe = supervised.Recipe(colour=0)
  batches = [
    supervised._draw(
      np.random.default_rng(3), pixels, numbers, classes, 30, recipe
    )
    for _ in range(2)
  ]
  level = np.rint(batches[0]["images"][:, 3, 3, 0] * 255 / 20)
  np.testing.assert_array_equal(batches[0]["yaw_rad"][:, 0], level)
  np.testing.assert_array_equal(batches[0]["expression"], level)
  jax.tree.map(np.testing.assert_array_equal, *batches)
