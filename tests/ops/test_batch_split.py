import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import sharding
from facerep_jax.benchmarks import render as batches
from facerep_jax.ops import batch_split, render
from facerep_jax.ops import camera as cameras
from tests import hlo_loops

SIZE = 12


def _halvings(rows, whole):
  """How often each row halves until it is below a limit."""

  def count(x):
    start = (x, jnp.int32(0))
    go_on = lambda state: state[0] > whole
    halve = lambda state: (state[0] / 2, state[1] + 1)
    return jax.lax.while_loop(go_on, halve, start)[1]

  return jax.vmap(count)(rows)


def _compiled(function, rows, mesh):
  on_batch = sharding.jit_on_batch(lambda _, rows: function(rows), mesh)
  return on_batch.lower({}, sharding.put_batch(rows, mesh)).compile()


@pytest.mark.parametrize("num_rows", [8, 16])
def test_devices_do_not_wait_for_each_other_in_loops(num_rows):
  rows = np.float32(2) ** np.arange(num_rows)
  mesh = sharding.make_mesh()
  limit = jnp.float32(1)
  split = lambda x: batch_split.by_device(_halvings, x, limit)
  program = _compiled(split, rows, mesh)
  np.testing.assert_array_equal(
    program({}, sharding.put_batch(rows, mesh)), np.arange(num_rows)
  )
  assert not hlo_loops.collectives(program.as_text())
  together = _compiled(lambda x: _halvings(x, limit), rows, mesh)
  assert hlo_loops.collectives(together.as_text())


def _is_called_plainly(function, rows):
  return "shard_map" not in str(jax.make_jaxpr(function)(rows))


def test_where_there_is_nothing_to_split_it_is_a_plain_call():
  split = lambda x: batch_split.by_device(lambda x, _: 2 * x, x, ())
  rows, mesh = np.ones(8, np.float32), sharding.make_mesh()
  assert _is_called_plainly(split, rows)
  with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
    assert not _is_called_plainly(split, rows)
    assert _is_called_plainly(split, rows[:7])
    # Each device has one row in there.
    twice = lambda x: batch_split.by_device(lambda x, _: split(x), x, ())
    assert str(jax.make_jaxpr(twice)(rows)).count("shard_map") == 1
  one = sharding.make_mesh(jax.devices()[:1])
  with jax.sharding.use_abstract_mesh(one.abstract_mesh):
    assert _is_called_plainly(split, rows)


def test_eight_devices_draw_the_pictures_and_gradients_of_one():
  batch = batches.face_batch(SIZE, 16)
  rng = np.random.default_rng(0)
  batch["weight"] = rng.normal(size=batch["colour"].shape).astype(np.float32)

  def add_up(batch):
    pose = cameras.pose_from_view(batch["view"])
    camera = cameras.Camera(SIZE)
    seen = render.render_depth_map(
      batch["depth"], batch["colour"], pose, camera
    )
    return jnp.sum(
      batch["weight"] * (seen.colour + seen.depth[..., None])
    ), seen

  found = []
  for devices in (jax.devices()[:1], jax.devices()):
    mesh = sharding.make_mesh(devices)
    program = _compiled(jax.value_and_grad(add_up, has_aux=True), batch, mesh)
    assert not hlo_loops.collectives(program.as_text())
    found.append(program({}, sharding.put_batch(batch, mesh)))
  (one, one_grad), (eight, eight_grad) = jax.tree.map(np.asarray, found)
  np.testing.assert_allclose(one[0], eight[0], rtol=1e-5)  # Another order.
  for name in render.Rendered._fields:
    # The same arithmetic on the same rows, compiled for two rows or sixteen.
    np.testing.assert_allclose(
      getattr(one[1], name), getattr(eight[1], name), rtol=1e-6, err_msg=name
    )
  for name, grad in one_grad.items():
    largest = np.abs(grad).max()
    assert largest > 0, name
    # Triangles add to the gradient of a vertex in any order.
    np.testing.assert_allclose(
      grad, eight_grad[name], atol=1e-5 * largest, err_msg=name
    )
