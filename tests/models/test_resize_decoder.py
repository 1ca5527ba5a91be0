import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.models import resize_decoder
from tests.oracles import convolution
from tests.oracles import image as image_oracle

KEY = jax.random.key(0)
CODE = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)


def make(size_px=32, resampled_from_px=32):
  return resize_decoder.ResizeDecoder(
    size_px=size_px,
    width=4,
    out_channels=2,
    dtype=jnp.float32,
    num_groups=2,
    resampled_from_px=resampled_from_px,
  )


def decoded(params, code, resampled_from_px, size_px):
  """The decoder in float64 loops."""
  seed = np.float64(params["seed"]["kernel"])
  x = np.maximum(np.einsum("nc,ijcd->nijd", np.float64(code), seed), 0)
  side = 4
  while side < resampled_from_px:
    side *= 2
    up, norm = params[f"up{side}"], params[f"norm{side}"]
    x = image_oracle.upsample_loop(x)
    x = image_oracle.conv_loop(x, up["kernel"], 1, 1) + np.float64(up["bias"])
    groups = 2 * x.shape[-1] // 4
    x = convolution.group_norm_loop(x, norm["scale"], norm["bias"], groups)
    x = np.maximum(x, 0)
  x = image_oracle.conv_loop(x, params["out"]["kernel"], 1, 1)
  while side < size_px:
    x, side = image_oracle.upsample_loop(x), 2 * side
  return x


@pytest.mark.parametrize(("size", "drawn"), [(16, 16), (32, 16)])
def test_maps_are_those_of_the_loops(size, drawn):
  net = make(size, drawn)
  params = jax.device_get(jax.jit(net.init)(KEY, CODE))
  got = jax.jit(net.apply)(params, CODE)
  want = decoded(params["params"], CODE, drawn, size)
  # Float32 through six layers of numbers of size 1.
  np.testing.assert_allclose(got, want, atol=2e-5)


def test_widths_halve_as_sides_double():
  params = jax.eval_shape(make(64, 64).init, KEY, CODE)["params"]
  channels = {k: x["kernel"].shape[-1] for k, x in params.items() if "up" in k}
  assert channels == {"up8": 16, "up16": 8, "up32": 4, "up64": 4}
  assert params["out"]["kernel"].shape == (3, 3, 4, 2)


@pytest.mark.parametrize(("size", "drawn"), [(32, 64), (48, 16), (32, 4)])
def test_sides_that_cannot_be_are_refused(size, drawn):
  with pytest.raises(errors.InputError, match="expected a power of two"):
    jax.eval_shape(make(size, drawn).init, KEY, CODE)
