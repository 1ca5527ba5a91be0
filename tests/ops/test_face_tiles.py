import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import grid_mesh, hard_raster, render
from tests.ops import scenes

# No edge of the mesh runs through a row of pixels, where rounding would choose.
POSES = (
  scenes.pose(3, 10, -5),
  scenes.pose(-20, 40, 10),
  scenes.pose(2, -75, 7),
)


def _draw(size, raster, size_px=None):
  """Returns a function of depth, colour and view."""
  camera = cameras.Camera(size)
  return lambda depth, colour, pose: render.render_depth_map(
    depth, colour, pose, camera, size_px=size_px, raster=raster
  )


def _batch(size):
  num = len(POSES)
  pose = cameras.Pose(*(np.concatenate(part) for part in zip(*POSES)))
  repeat = lambda x: np.concatenate([x(size)] * num)
  return repeat(scenes.nose), repeat(scenes.picture), pose


@pytest.mark.parametrize(("size", "size_px"), [(21, None), (16, 27)])
def test_pictures_and_gradients_are_those_of_lists(size, size_px):
  """Neither tiles nor blocks of a grid need to come out even."""
  batch = _batch(size)
  weight = np.random.default_rng(0).normal(
    size=(len(POSES), size_px or size, size_px or size, 5)
  )

  def pictures(raster):
    def loss(batch):
      out = _draw(size, raster, size_px)(*batch)
      shown = jnp.concatenate(
        [out.colour, out.depth[..., None], out.mask[..., None]], -1
      )
      return jnp.sum(shown * weight.astype(np.float32)), shown

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(batch)

  (_, want), want_grad = pictures("lists")
  (_, got), got_grad = pictures("tiles")
  assert want[..., 4].mean() > 0.5
  np.testing.assert_allclose(got, want, atol=1e-6)
  for one, other in zip(*map(jax.tree.leaves, (got_grad, want_grad))):
    gap = np.linalg.norm(one - other) / np.linalg.norm(other)
    assert gap < 1e-6  # Float32.


def test_blocks_hold_the_triangles_of_8_by_8_cells():
  grid = grid_mesh.Grid(12, 20)  # 11 x 19 cells: 2 x 3 blocks.
  number = np.arange(len(grid))
  blocks = np.asarray(grid.blocks(jnp.asarray(number), -1))
  assert blocks.shape == (6, 128)
  np.testing.assert_array_equal(np.sort(blocks[blocks >= 0]), number)
  _, cell = np.divmod(blocks, 11 * 19)
  row, column = np.divmod(cell, 19)
  for block, rows, columns in zip(blocks, row, column):
    rows, columns = rows[block >= 0], columns[block >= 0]
    assert len(set(rows // 8)) == len(set(columns // 8)) == 1


def test_programs_for_tpus_look_up_rows_and_nothing_else():
  """Of the whole drawing and its gradient, lowered without a TPU."""
  size = 64
  camera = cameras.Camera(size)
  depth, colour = scenes.nose(size), scenes.picture(size)

  def loss(depth, colour):
    pose = cameras.Pose(*scenes.pose(0, 30))
    out = render.render_depth_map(depth, colour, pose, camera)
    return jnp.sum(out.colour * out.colour) + jnp.sum(out.depth)

  traced = jax.jit(jax.grad(loss, (0, 1))).trace(depth, colour)
  numbers, scatters = {}, {}
  for platform in ("cpu", "cuda", "tpu"):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    scatters[platform] = text.count('"stablehlo.scatter"(')
    numbers[platform] = [
      [int(n) for n in sizes.split(",")]
      for sizes in re.findall(r"slice_sizes = array<i64: ([\d, ]+)>", text)
    ]
  # Corners with depth, and numbers, of a patch of 128 triangles for each tile.
  assert sorted(map(np.prod, numbers["tpu"])) == [128, 9 * 128]
  assert scatters["tpu"] == 0
  for platform in ("cpu", "cuda"):
    assert scatters[platform] and min(map(np.prod, numbers[platform])) == 1


def test_many_triangles_are_looked_up(monkeypatch):
  monkeypatch.setattr(hard_raster, "_MOST_BY_PRODUCTS", 100)
  batch = _batch(12)
  text = str(jax.make_jaxpr(_draw(12, "tiles"))(*batch))
  monkeypatch.undo()
  other = str(jax.make_jaxpr(_draw(12, "tiles", 11))(*batch))
  assert "dot_general" not in text and "dot_general" in other
