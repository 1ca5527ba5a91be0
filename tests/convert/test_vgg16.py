import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import vgg16
from facerep_jax.models import vgg

WIDTHS = ((4, 5), (6, 7), (8, 9, 10))
INDICES = (0, 2, 5, 7, 10, 12, 14)


def _state(names):
  rng, state, channels = np.random.default_rng(0), {}, 3
  for name, features in zip(names, sum(WIDTHS, ())):
    state[f"{name}.weight"] = rng.normal(size=(features, channels, 3, 3))
    state[f"{name}.bias"] = rng.normal(size=features)
    channels = features
  return state


def _torchvision():
  return _state([f"features.{i}" for i in INDICES])


def test_converts_torchvision_names():
  state = _torchvision()
  later = {"features.17.weight": np.zeros(3), "classifier.6.bias": np.zeros(3)}
  params = vgg16.from_torch(state | later)
  assert vgg16.widths(state) == WIDTHS
  assert params["conv6"]["kernel"].dtype == np.float32
  np.testing.assert_array_equal(
    params["conv2"]["kernel"],
    state["features.5.weight"].astype(np.float32).transpose(2, 3, 1, 0),
  )
  np.testing.assert_array_equal(
    params["conv6"]["bias"], state["features.14.bias"].astype(np.float32)
  )


def test_round_trip():
  state = _torchvision()
  back = vgg16.to_torch(vgg16.from_torch(state))
  assert back.keys() == state.keys()
  for name, value in state.items():
    np.testing.assert_array_equal(back[name], np.float32(value), err_msg=name)


def test_fits_the_model():
  model = vgg.Vgg16Features(WIDTHS)
  images = jnp.zeros((1, 8, 8, 3))
  want = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  got = vgg16.from_torch(_torchvision())
  assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, want)


def test_names_of_the_perceptual_loss_give_the_same():
  slices = (1, 1, 2, 2, 3, 3, 3)
  state = _state([f"slice{s}.{i}" for s, i in zip(slices, INDICES)])
  state |= {"slice4.17.weight": np.zeros(3), "mean_rgb": np.zeros(3)}
  jax.tree.map(
    np.testing.assert_array_equal,
    vgg16.from_torch(state),
    vgg16.from_torch(_torchvision()),
  )


def test_lists_every_problem():
  state = _torchvision()
  del state["features.7.bias"]
  state["features.2.bias"] = np.zeros(9)
  state["features.3.weight"] = np.zeros(9)
  with pytest.raises(errors.InputError) as error:
    vgg16.from_torch(state)
  for part in (
    "features.7.bias is missing",
    "features.2.bias has shape [9], expected [5]",
    "features.3.weight is unexpected",
  ):
    assert part in str(error.value)
  with pytest.raises(errors.InputError, match=r"expected features\.0\.weight"):
    vgg16.from_torch({"conv1.weight": np.zeros((4, 3, 3, 3))})
