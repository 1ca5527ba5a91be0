"""The named sizes are those of the `paper` presets."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from configs import fabnet, latentface
from facerep_jax.models import published
from facerep_jax.runs import stages
from facerep_jax.systems import base

KEY = jax.random.key(0)


def _shapes(tree):
  return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def _init(net, *args, **kwargs):
  return _shapes(
    jax.eval_shape(lambda key: net.init(key, *args, **kwargs)["params"], KEY)
  )


def _paper(config):
  return jax.eval_shape(base.build(config).init, KEY)


def test_fabnet_256():
  image = jnp.zeros((2, 256, 256, 3))
  net = published.fabnet_256()
  want = _shapes(_paper(fabnet.get_config("paper")).params)
  assert _init(net, image, image[:, None], train=False) == want


def test_latentface_64():
  config = stages.config_of(latentface.get_config("paper"), "autoencoder")
  want = _shapes(_paper(config).params)
  nets = published.latentface_64()
  image = jnp.zeros((1, 64, 64, 3))
  assert {k: _init(net, image) for k, net in nets.items()} == want


@pytest.mark.parametrize("width", [128, 1024])
def test_denoisers(width):
  config = latentface.get_config("paper")
  config.diffusion.model.width = width
  want = _paper(stages.config_of(config, "diffusion")).params["depth"]
  net = getattr(published, f"denoiser_{width}")()
  code = jnp.zeros((1, 256))
  step = jnp.zeros((1,), jnp.int32)
  assert _init(net, code, code, step) == _shapes(want)


def test_vgg16_relu3_3():
  # 64, 64, 128, 128, 256, 256, 256 channels: weights and biases.
  channels = (3, 64, 64, 128, 128, 256, 256, 256)
  want = sum(9 * a * b + b for a, b in itertools.pairwise(channels))
  shapes = jax.eval_shape(
    lambda key: published.vgg16_relu3_3().init(key, jnp.zeros((1, 8, 8, 3))),
    KEY,
  )
  assert sum(x.size for x in jax.tree.leaves(shapes)) == want == 1_735_488
