import types

import jax
import jax.numpy as jnp
import pytest

from facerep_jax.runs import arithmetic


@pytest.mark.parametrize(
  ("kind", "bfloat16", "float32"),
  [
    ("NVIDIA H200", 989.5e12, 494.5e12),
    ("NVIDIA H200 NVL", 835.5e12, 417.5e12),
    ("NVIDIA H100 80GB HBM3", 989.5e12, 494.5e12),
    ("NVIDIA H100 PCIe", 756.5e12, 378e12),
    ("NVIDIA A100-SXM4-40GB", 312e12, 156e12),
    ("NVIDIA L4", 121e12, 60e12),
    ("Tesla T4", None, 8.1e12),
    ("TPU v4", 275e12, 275e12),
    ("TPU v5 lite", 197e12, 197e12),
    ("TPU v5", 459e12, 459e12),
    ("TPU v5p", 459e12, 459e12),
    ("TPU v6 lite", 918e12, 918e12),
    ("NVIDIA L40S", None, None),
    ("NVIDIA H200 MIG 1g.18gb", None, None),
    ("TPU v4 lite", None, None),
    ("cpu", None, None),
  ],
)
def test_peaks_by_the_names_of_devices(kind, bfloat16, float32):
  assert arithmetic.peak(kind, "bfloat16") == bfloat16
  assert arithmetic.peak(kind) == float32


def test_operations_of_a_product():
  def product(a, b):
    return a @ b

  a, b = jnp.ones((32, 64)), jnp.ones((64, 16))
  lowered = jax.jit(product).lower(a, b)
  assert arithmetic.flops(lowered) == 2 * 32 * 64 * 16
  assert arithmetic.flops(lowered.compile()) == 2 * 32 * 64 * 16


@pytest.mark.parametrize("said", [None, [], {}, {"flops": -1.0}])
def test_what_xla_does_not_count_is_unknown(said):
  program = types.SimpleNamespace(cost_analysis=lambda: said)
  assert arithmetic.flops(program) is None


def test_a_device_without_cost_analysis():
  def refuse():
    raise NotImplementedError

  assert arithmetic.flops(types.SimpleNamespace(cost_analysis=refuse)) is None


def test_share_is_of_all_devices():
  got = arithmetic.rates(
    197e12, 0.5, "TPU v5 lite", dtype="bfloat16", num_devices=4
  )
  assert got == {"tflops": 394.0, "peak_share": 0.5}
  got = arithmetic.rates(1e12, 0.5, "cpu")
  assert got == {"tflops": 2.0, "peak_share": None}
  unknown = {"tflops": None, "peak_share": None}
  assert arithmetic.rates(None, 0.5, "TPU v4") == unknown


def test_memory_is_that_of_the_fullest_device():
  def device(stats):
    return types.SimpleNamespace(memory_stats=lambda: stats)

  devices = [
    device({"peak_bytes_in_use": 5, "bytes_limit": 9}),
    device({"peak_bytes_in_use": 7}),
    device(None),
  ]
  assert arithmetic.memory_bytes(devices) == {"peak": 7, "limit": 9}
  assert arithmetic.memory_bytes(jax.devices()) == {}
