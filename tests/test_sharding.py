import dataclasses

import jax
import numpy as np
import pytest

from facerep_jax import errors, sharding


@pytest.mark.many_devices
def test_rows_lie_on_their_devices_and_the_rest_on_all():
  mesh = sharding.make_mesh()
  assert mesh.devices.size == 8
  batch = sharding.put_batch({"x": np.arange(16.0).reshape(16, 1)}, mesh)
  shards = batch["x"].addressable_shards
  for i, shard in enumerate(shards):
    np.testing.assert_array_equal(shard.data[:, 0], [2 * i, 2 * i + 1])
  whole = jax.device_put(np.arange(3.0), sharding.replicated(mesh))
  assert all(s.data.shape == (3,) for s in whole.addressable_shards)


def test_steps_take_and_give_what_they_say():
  mesh = sharding.make_mesh(jax.devices()[:4])

  def step(state, frozen, batch, control):
    total = batch["x"].sum() * control["scale"] + frozen["bias"]
    return {"n": state["n"] + 1}, {"total": total}

  whole = sharding.replicated(mesh)
  state = jax.device_put({"n": np.zeros(1000, np.float32)}, whole)
  batch = sharding.put_batch({"x": np.ones((8, 2), np.float32)}, mesh)
  fn = sharding.jit_train_step(step, mesh)
  control = {"scale": np.float32(2)}
  new, metrics = fn(state, {"bias": np.float32(1)}, batch, control)
  assert metrics["total"] == 33 and metrics["total"].is_fully_replicated
  assert new["n"].is_fully_replicated and state["n"].is_deleted()
  on_batch = sharding.jit_on_batch(lambda v, b: v["n"][0] + b["x"].sum(), mesh)
  assert on_batch(new, batch) == 17


@pytest.mark.many_devices
@pytest.mark.parametrize("batch_size", [0, 12, 20, -8])
def test_batches_that_do_not_divide(batch_size):
  devices = jax.devices()
  with pytest.raises(
    errors.InputError, match=f"batch_size={batch_size} does not divide among 8"
  ):
    sharding.check_batch_size(batch_size, devices)
  sharding.check_batch_size(24, devices)


@pytest.mark.many_devices
def test_several_processes_take_all_devices_or_none(monkeypatch):
  sharding.check_batch_size(12)
  monkeypatch.setattr(sharding.jax, "process_count", lambda: 2)
  with pytest.raises(errors.InputError) as caught:
    sharding.check_batch_size(12, setting="config.diffusion.batch_size")
  assert str(caught.value).startswith(
    "config.diffusion.batch_size=12 does not divide among 8 devices. Use a "
    "multiple of 8, such as 16;"
  )


@dataclasses.dataclass(frozen=True)
class Device:
  """What a mesh asks of a device."""

  id: int
  process_index: int
  slice_index: int | None
  platform: str = "gpu"
  device_kind: str = "made up"
  client: None = None


@pytest.mark.parametrize("slices", [(0, 0, 1, 1), (1, 1, 0, 0), (None,) * 4])
def test_devices_of_several_slices_give_each_process_a_block(slices):
  # As they come: each process's first device, then each one's second.
  devices = [Device(8 * n + p, p, slices[p]) for n in (0, 1) for p in range(4)]
  mesh = sharding.make_mesh(devices)
  assert mesh.axis_names == ("data",) and set(mesh.devices) == set(devices)
  rows = sharding.by_row(mesh).devices_indices_map((16, 3))
  per_process = {p: [] for p in range(4)}
  for device, (part, _) in rows.items():
    per_process[device.process_index] += range(part.start, part.stop)
  for process, own in per_process.items():
    assert sorted(own) == list(range(min(own), min(own) + 4)), process
  # Slices lie behind each other; in them, processes, as `batches` has it.
  order = sorted(range(4), key=lambda p: (slices[p] or 0, p))
  assert sorted(per_process, key=lambda p: min(per_process[p])) == order
  for process in range(4):
    block = sharding.block_of_rows(mesh, process)
    assert block == (order.index(process), 4)


def test_rows_lie_in_the_order_of_slices(monkeypatch):
  # The first four devices as the second slice, and the other way round.
  monkeypatch.setattr(sharding, "slice_of", lambda device: device.id < 4)
  mesh = sharding.make_mesh()
  assert [x.id for x in mesh.devices.flat] == [4, 5, 6, 7, 0, 1, 2, 3]
  rows = np.arange(16.0).reshape(8, 2)
  batch = sharding.put_batch(rows, mesh)
  np.testing.assert_array_equal(batch, rows)
  for shard in batch.addressable_shards:
    np.testing.assert_array_equal(
      shard.data[0], rows[(shard.device.id + 4) % 8]
    )
  assert sharding.block_of_rows(mesh) == (0, 1)


@pytest.mark.many_devices
@pytest.mark.parametrize(
  ("batch_size", "count"), [(8, 8), (16, 8), (12, 6), (2, 2), (7, 7), (11, 1)]
)
def test_as_many_devices_as_divide_the_batch(batch_size, count, caplog):
  with caplog.at_level("INFO", "facerep_jax"):
    mesh = sharding.mesh_of_batch(batch_size)
  assert mesh.devices.size == count
  assert (f"{count} of them are used" in caplog.text) == (count < 8)


@pytest.mark.many_devices
def test_devices_that_were_chosen_have_to_fit():
  assert sharding.mesh_of_batch(4, jax.devices()[:2]).devices.size == 2
  with pytest.raises(errors.InputError, match="divide among 8"):
    sharding.mesh_of_batch(12, jax.devices())
  with pytest.raises(errors.InputError, match="batch_size=0"):
    sharding.mesh_of_batch(0)


@pytest.mark.many_devices
def test_batches_are_filled_up_and_cut_again():
  mesh = sharding.make_mesh(jax.devices()[:4])
  shapes = []

  def step(variables, batch):
    shapes.append(batch["x"].shape)  # Once for each compilation.
    return {"y": batch["x"] * variables + 1, "n": batch["x"][:, 0] > 2}

  compiled = sharding.jit_on_batch(step, mesh)
  assert sharding.round_up(5, mesh) == 8 and sharding.round_up(8, mesh) == 8
  rows = np.arange(22.0, dtype=np.float32).reshape(11, 2)
  batches = ({"x": rows[start : start + 8]} for start in (0, 8))
  out = sharding.map_batches(compiled, np.float32(3), batches, 8, mesh)
  np.testing.assert_array_equal(out["y"], rows * 3 + 1)
  np.testing.assert_array_equal(out["n"], rows[:, 0] > 2)
  assert shapes == [(8, 2)]
  empty = sharding.map_batches(
    compiled, np.float32(3), [{"x": rows[:0]}], 8, mesh
  )
  assert empty["y"].shape == (0, 2)


def test_rows_are_mapped_by_batches_under_names_or_without():
  mesh = sharding.make_mesh(jax.devices()[:4])
  rows = np.arange(22, dtype=np.uint8).reshape(11, 2)
  double = sharding.jit_on_batch(lambda v, x: x * v, mesh)
  out = sharding.map_rows(double, np.uint8(2), rows, 5, mesh)
  np.testing.assert_array_equal(out, rows * 2)
  assert isinstance(out, np.ndarray) and out.dtype == np.uint8
  named = sharding.jit_on_batch(lambda v, b: {"y": b["x"] + v}, mesh)
  out = sharding.map_rows(named, np.uint8(1), {"x": rows}, 5, mesh)
  np.testing.assert_array_equal(out["y"], rows + 1)
  none = sharding.map_rows(named, np.uint8(1), {"x": rows[:0]}, 5, mesh)
  assert none["y"].shape == (0, 2)


def test_batches_are_asked_for_when_the_one_before_is_done():
  mesh = sharding.make_mesh(jax.devices()[:1])
  calls = []

  def batches():
    for number in range(3):
      calls.append(f"given {number}")
      yield np.full(2, number)
      calls.append(f"back {number}")

  def step(variables, batch):
    calls.append(f"done {int(batch[0])}")
    return batch

  sharding.map_batches(step, None, batches(), 2, mesh)
  assert calls == [
    f"{what} {i}" for i in range(3) for what in ("given", "done", "back")
  ]
