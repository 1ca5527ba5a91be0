import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.benchmarks.reference import literal_unet
from facerep_jax.convert import rdm
from facerep_jax.models import unet
from tests.golden import rdm as golden_rdm
from tests.oracles import unet_literal

GROUPS = golden_rdm.NUM_GROUPS
MODEL = unet.CodeUNet(16, 32, GROUPS)


@pytest.fixture(scope="module")
def case():
  published = golden_rdm.read_small()
  state = {name: np.float32(x) for name, x in published.state.items()}
  arrays = published.arrays
  t = np.int32(arrays["timesteps"])
  return state, (arrays["noisy"], arrays["code"], t)


def test_literal_network_matches_float64(case):
  state, inputs = case
  got = literal_unet.apply(state, *inputs, GROUPS)
  want = unet_literal.predict(state, *inputs, GROUPS)
  # Float32 through 20 layers, values up to 3.
  np.testing.assert_allclose(got, want, atol=2e-5)


def test_dense_and_literal_gradients_are_the_same(case):
  state, inputs = case
  factor = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)

  def literal(state):
    return jnp.sum(factor * literal_unet.apply(state, *inputs, GROUPS))

  def dense(params):
    return jnp.sum(factor * MODEL.apply({"params": params}, *inputs))

  want = jax.jit(jax.grad(literal))(state)
  got = rdm.to_torch(jax.jit(jax.grad(dense))(rdm.from_torch(state)))
  assert set(got) == set(want)
  for name, value in want.items():
    # Float32; zero, up to rounding, for all that has no effect.
    scale = max(np.abs(value).max(), 1e-2)
    np.testing.assert_allclose(
      got[name] / scale, value / scale, atol=2e-5, err_msg=name
    )
