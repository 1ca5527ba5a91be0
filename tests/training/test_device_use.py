import logging
import types

import jax
import numpy as np
import pytest

from facerep_jax.runs import arithmetic, metrics
from facerep_jax.training import device_use
from tests import small_runs, tiny


class Device:
  """Stands in for a device of a kind."""

  def __init__(self, kind, platform, stats=None):
    self.device_kind, self.platform = kind, platform
    self.memory_stats = lambda: stats


class Step:
  """Stands in for a jitted step of 2e12 operations."""

  def __init__(self):
    self.num_lowered = 0

  def lower(self, *args):
    self.num_lowered += 1
    return types.SimpleNamespace(cost_analysis=lambda: {"flops": 2e12})


def meter(*devices, dtype="float32"):
  mesh = types.SimpleNamespace(
    local_devices=devices, devices=np.array(devices, object)
  )
  return device_use.Meter(mesh, dtype)


def test_reads_rate_share_and_memory(caplog):
  stats = {"peak_bytes_in_use": 3 * 10**9}
  gpus = [Device("NVIDIA A100-SXM4-40GB", "gpu", stats) for _ in range(2)]
  of_two, step = meter(*gpus, dtype="bfloat16"), Step()
  of_two.look(step, 1, 2)
  assert step.num_lowered == 1
  want = {"tflops": 62.4, "peak_share": 0.1, "device_memory_gb": 3.0}
  with caplog.at_level(logging.INFO):
    assert of_two.read(31.2) == pytest.approx(want)
    of_two.read(31.2)
  (line,) = caplog.messages
  assert line == (
    "2 x NVIDIA A100-SXM4-40GB: 62.40 TFLOP/s, 10.0 % of the most; "
    "3.00 GB of memory."
  )
  assert of_two.read(None) == {"device_memory_gb": 3.0}


def test_an_unknown_gpu_says_its_memory_alone():
  stats = {"peak_bytes_in_use": 10**9}
  unknown, step = meter(Device("NVIDIA X1", "gpu", stats)), Step()
  unknown.look(step)
  assert step.num_lowered == 0
  assert unknown.read(2.0) == {"device_memory_gb": 1.0}


def test_a_device_that_does_not_tell_its_memory():
  tpu = meter(Device("TPU v4", "tpu"))
  tpu.look(Step())
  got = tpu.read(1.0)
  assert got == pytest.approx({"tflops": 2.0, "peak_share": 2 / 275})


def test_cpus_are_left_alone():
  cpu, step = meter(Device("cpu", "cpu", {"peak_bytes_in_use": 1})), Step()
  cpu.look(step)
  assert step.num_lowered == 0 and cpu.read(1.0) == {}


def test_the_log_of_a_run_holds_it_where_the_device_is_known(
  tmp_path, monkeypatch
):
  config = tiny.config(
    tiny.write_tracks(tmp_path / "tracks"), steps=4, every__log=2
  )
  traced = []
  with jax.numpy_dtype_promotion("standard"):
    small_runs.fit(config, tmp_path / "unknown")
    monkeypatch.setattr(
      arithmetic, "PEAKS", {"^cpu$": arithmetic.Peak(None, 1.0)}
    )

    def count_traces(run):
      step = run.train_step.__wrapped__

      def counted(*args):
        traced.append(1)
        return step(*args)

      run.train_step = jax.jit(counted)

    small_runs.fit(config, tmp_path / "known", hook=count_traces)
  lines = [x for x in metrics.read(tmp_path / "known") if x["split"] == "train"]
  assert len(traced) == 1  # No second time for the count.
  assert [line["step"] for line in lines] == [2, 4]
  for line in lines:
    assert line["tflops"] > 0
    assert line["peak_share"] == pytest.approx(line["tflops"])
    assert "device_memory_gb" not in line  # CPUs have none of their own.
  before = metrics.read(tmp_path / "unknown")
  assert not any("tflops" in line for line in before)
  assert small_runs.readings(tmp_path / "known") == small_runs.readings(
    tmp_path / "unknown"
  )
