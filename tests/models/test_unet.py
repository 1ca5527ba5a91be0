import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import rdm
from facerep_jax.models import unet
from tests.oracles import unet_literal, waves

DIM, GROUPS = 6, 4
MODEL = unet.CodeUNet(DIM, width=16, num_groups=GROUPS)
STEPS = np.array([0, 250, 999], np.int32)


def _shapes(model):
  code = jnp.zeros((1, model.code_dim))
  t = jnp.zeros((1,), jnp.int32)
  init = functools.partial(model.init, jax.random.key(0))
  return jax.eval_shape(init, code, code, t)["params"]


@functools.cache
def _state():
  """Weights in the published form; noise where nothing has an effect."""
  zeros = jax.tree.map(lambda x: np.zeros(x.shape), _shapes(MODEL))
  shapes = {name: x.shape for name, x in rdm.to_torch(zeros).items()}
  return waves.torch_state(shapes)


def _params():
  return rdm.from_torch(_state())


def _codes():
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, len(STEPS), DIM)).astype(np.float32)


def _predict(params, noisy, code, t):
  return MODEL.apply({"params": params}, noisy, code, t)


def _literal(state, noisy, code):
  return unet_literal.predict(state, noisy, code, STEPS, GROUPS)


def test_dense_is_the_literal_network():
  got = _predict(_params(), *_codes(), STEPS)
  want = _literal(_state(), *_codes())
  assert got.dtype == jnp.float32 and want.std() > 0.1
  # Float32 through 20 layers; measured 2e-6.
  np.testing.assert_allclose(got, want, atol=2e-5)
  jitted = jax.jit(_predict)(_params(), *_codes(), STEPS)
  np.testing.assert_allclose(jitted, got, atol=1e-5)


def test_gradients_are_differences_of_the_literal_network():
  """Along one direction for each weight, off-centre taps included."""
  rng = np.random.default_rng(1)
  factor = rng.normal(size=(len(STEPS), DIM)).astype(np.float32)

  def total(params, noisy, code):
    return jnp.sum(factor * _predict(params, noisy, code, STEPS))

  noisy, code = _codes()
  of_params, *of_codes = jax.grad(total, (0, 1, 2))(_params(), noisy, code)
  grads = rdm.to_torch(of_params) | dict(zip(("noisy", "code"), of_codes))
  values = _state() | {"noisy": noisy, "code": code}
  assert set(grads) == set(values)
  for name, value in values.items():
    direction = rng.normal(size=value.shape)
    ends = []
    for step in (1e-5, -1e-5):
      moved = values | {name: value + step * direction}
      state = {k: v for k, v in moved.items() if k in _state()}
      out = _literal(state, moved["noisy"], moved["code"])
      ends.append(np.sum(factor * out))
    want = (ends[0] - ends[1]) / 2e-5
    got = np.sum(np.float64(grads[name]) * direction)
    # Gradients are float32, the differences float64.
    scale = np.linalg.norm(grads[name]) * np.linalg.norm(direction)
    assert abs(got - want) <= 2e-5 * scale + 1e-7, name


def test_one_step_for_all():
  noisy, code = _codes()
  want = _predict(_params(), noisy, code, np.full(len(STEPS), 250, np.int32))
  got = _predict(_params(), noisy, code, np.array([250], np.int32))
  np.testing.assert_allclose(got, want, atol=1e-5)  # Other matrix products.


def test_time_features_are_cosines_then_sines():
  got = unet.time_features(jnp.array([0, 1, 999]), 8)
  frequency = 10 ** -np.arange(4.0)
  for row, t in zip(got, (0, 1, 999), strict=True):
    want = [*np.cos(t * frequency), *np.sin(t * frequency)]
    # A float32 angle of 999 is off by 3e-5.
    np.testing.assert_allclose(row, want, atol=1e-4)


def _count(width):
  """Parameters by hand; see the table of the U-Net."""
  dense = lambda channels, features: (channels + 1) * features
  code, time = 256, 4 * width

  def block(channels):
    norms = 2 * channels + 2 * width
    layers = dense(channels, width) + dense(width, width) + dense(time, width)
    shortcut = dense(channels, width) if channels != width else 0
    return norms + layers + shortcut

  out = dense(2 * code, width) + dense(width, time) + dense(time, time)
  out += 4 * block(width) + 3 * block(2 * width)
  out += 2 * width + 2 * dense(width, width)
  return out + 2 * width + dense(width, code)


@pytest.mark.parametrize("width, want", [(128, 1_303_936), (1024, 77_407_488)])
def test_parameter_counts_of_published_widths(width, want):
  shapes = _shapes(unet.CodeUNet(width=width))
  got = sum(x.size for x in jax.tree.leaves(shapes))
  assert got == _count(width) == want
  assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def test_initial_values_are_those_of_published_centre_taps():
  model = unet.CodeUNet(32, width=64)
  code = jnp.zeros((1, 32))
  variables = model.init(jax.random.key(0), code, code, jnp.zeros(1, jnp.int32))
  flat = flax.traverse_util.flatten_dict(variables["params"])
  for path, value in flat.items():
    if "norm" in path[-2]:
      np.testing.assert_array_equal(value, path[-1] == "scale")
      continue
    fan_in = flat[(*path[:-1], "kernel")].shape[0]
    if path[-2] in ("first", "conv0", "conv1", "last"):
      fan_in *= 9
    bound = fan_in**-0.5
    assert np.abs(value).max() <= bound, path
    # A uniform draw of 32 or more has this spread within a third.
    assert abs(value.std() / (bound / 3**0.5) - 1) < 0.33, path


def test_half_precision_keeps_parameters_and_output_in_float32():
  model = MODEL.clone(dtype=jnp.bfloat16)
  assert {x.dtype for x in jax.tree.leaves(_shapes(model))} == {
    jnp.dtype("float32")
  }
  got = model.apply({"params": _params()}, *_codes(), STEPS)
  assert got.dtype == jnp.float32
  want = _predict(_params(), *_codes(), STEPS)
  difference = np.abs(got - want).max() / np.abs(want).max()
  # Eight bits through 20 layers; a difference shows that they are used.
  assert 1e-4 < difference < 0.1


@pytest.mark.parametrize(
  "settings, text",
  [
    ({"width": 48}, "even multiple of num_groups=32, got 48"),
    ({"width": 7, "num_groups": 7}, "even multiple of num_groups=7, got 7"),
    ({"width": 0}, "got 0"),
  ],
)
def test_widths_must_fit_the_groups(settings, text):
  with pytest.raises(errors.InputError, match=text):
    _shapes(unet.CodeUNet(DIM, **settings))


@pytest.mark.parametrize(
  "noisy, code, t, text",
  [
    ((2, 5), (2, 6), (2,), r"noisy: expected \[N, 6\], got float32\[2, 5\]"),
    ((2, 6), (3, 6), (2,), r"code: expected \[2, 6\], got float32\[3, 6\]"),
    ((2, 6), (2, 6), (3,), r"t: expected \[2\], got float32\[3\]"),
    ((2, 6), (2, 6), (2, 1), r"t: expected \[2\], got float32\[2, 1\]"),
  ],
)
def test_shapes_must_fit(noisy, code, t, text):
  with pytest.raises(errors.InputError, match=text):
    MODEL.init(jax.random.key(0), *map(jnp.zeros, (noisy, code, t)))
