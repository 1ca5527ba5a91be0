import jax
import numpy as np
from PIL import Image

from facerep_jax import sharding
from facerep_jax.systems import base
from facerep_jax.training import preview
from tests import tiny


def test_sizes_are_those_of_the_model():
  config = tiny.config("", batch_size=6)
  system = base.build(config)
  shapes = jax.eval_shape(system.init, jax.random.key(0))
  frozen = {"fixed": np.zeros((1_500, 1_000))}
  line = preview.sizes(
    system, shapes.params, frozen, config, sharding.make_mesh(jax.devices()[:2])
  )
  count = sum(x.size for x in jax.tree.leaves(shapes.params["encoder"]))
  assert f"encoder {count:,}" in line and "1.50 million more are frozen" in line
  assert line.endswith("batches of 6 samples of 2 frames, 32 px, on 2 devices.")


def test_the_first_batch_is_drawn_a_row_each(tmp_path):
  mesh = sharding.make_mesh(jax.devices()[:2])
  frames = np.zeros((20, 2, 96, 96, 3), np.uint8)
  frames[:, 1] = 10 * np.arange(20, dtype=np.uint8)[:, None, None, None]
  batch = sharding.put_batch({"frames": frames}, mesh)
  path = preview.save(tmp_path, batch)
  assert path == tmp_path / "pictures/first_batch.png"
  pixels = np.asarray(Image.open(path))
  # Eight rows of those that one device holds, as wide as two pictures.
  assert pixels.shape == (14 + 8 * 98, 2 * 98, 3)
  middles = pixels[14 + 49 :: 98, [49, 98 + 49]]
  np.testing.assert_array_equal(middles[:, 0], 0)
  np.testing.assert_array_equal(middles[:, 1, 0], 10 * np.arange(8))
