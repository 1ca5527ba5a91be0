import jax
import numpy as np
import pytest

from facerep_jax import sharding
from facerep_jax.benchmarks import compiled
from tests import tiny


@pytest.fixture
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


def test_result_and_memory_of_a_program():
  batch = {"x": np.arange(256, dtype=np.float32)}
  program = compiled.on_batch(
    lambda scale, batch: scale["by"] * batch["x"],
    {"by": np.float32(2)},
    batch,
  )
  np.testing.assert_array_equal(program.call(), 2 * batch["x"])
  # 1 + 256 numbers in and 256 out, and nothing of note between.
  assert 4 * 513 <= program.memory_bytes < 4 * 513 + 256
  assert program.compile_s > 0


def test_use_of_a_program(monkeypatch):
  program = compiled.Program(lambda: None, 1.5, 5_000_000, 4e9, 3e9)
  monkeypatch.setattr(
    compiled.arithmetic,
    "peak",
    lambda kind, dtype: {"cpu bfloat16": 4e9}[f"{kind} {dtype}"],
  )
  got = compiled.use(program, 0.5, dtype="bfloat16", num_devices=2)
  assert got == {
    **{"gflop": 4, "compiled_gflop": 3, "tflops": 0.008, "peak_share": 1},
    **{"first_s": None, "memory_mb": 5, "compile_s": 1.5},
  }
  assert {column.key for column in compiled.USE_COLUMNS} <= set(got)
  unknown = compiled.use(compiled.Program(lambda: None, 1.5, 5), 0.5)
  assert unknown["gflop"] is None and unknown["tflops"] is None


def test_operations_are_counted_and_the_first_call_is_timed():
  batch = {"x": np.ones((8, 16), np.float32)}
  program = compiled.on_batch(
    lambda w, batch: batch["x"] @ w, np.ones((16, 4), np.float32), batch
  )
  by_hand = 2 * 8 * 16 * 4
  # XLA counts in shares, which it rounds.
  assert program.flops == pytest.approx(by_hand, rel=0.01)
  assert program.compiled_flops == pytest.approx(by_hand, rel=0.01)
  assert program.first_s is None
  program.call()
  first = program.first_s
  program.call()
  assert program.first_s == first > 0


class Program:
  """Says what a compiled program does."""

  def __init__(self, **sizes):
    self.sizes = sizes

  def memory_analysis(self):
    known = {f"{name}_size_in_bytes": n for name, n in self.sizes.items()}
    return type("Known", (), known)


def test_what_is_written_over_an_argument_counts_once():
  program = Program(argument=100, output=80, alias=70, temp=5)
  assert compiled.memory_bytes(program) == 100 + 10 + 5


def test_one_device_of_several():
  assert len(jax.devices()) == 8
  assert compiled.one_device().devices.size == 1


def test_memory_grows_with_the_batch():
  def work(variables, batch):
    del variables
    return batch["x"].sum()

  small, large = (
    compiled.on_batch(work, {}, {"x": np.ones((n, 64), np.float32)})
    for n in (8, 32)
  )
  assert large.memory_bytes / small.memory_bytes == pytest.approx(4, rel=0.05)


@pytest.mark.usefixtures("_optax_mixes_types")
def test_training_steps_go_on_and_are_split_over_the_devices():
  config = tiny.config("", batch_size=4)
  meshes = compiled.one_device(), sharding.mesh_of_batch(config.batch_size)
  one, split = (compiled.training_step(config, mesh) for mesh in meshes)
  losses = [program.call()["loss"] for program in (one, split, one)]
  assert [len(loss.devices()) for loss in losses] == [1, 4, 1]
  assert losses[0] == pytest.approx(float(losses[1]), rel=1e-5)
  assert losses[0] != losses[2]
  # The frames, at least.
  assert one.memory_bytes > 4 * 2 * 32 * 32 * 3
