"""Arithmetic of programs, and what devices do of it at most."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax

_TERA = 1e12


class Peak(NamedTuple):
  """The most that one device does, in 10^12 operations a second.

  Dense products, a multiplication and an addition counted as two.

  Attributes:
    bfloat16: Of bfloat16 numbers, sums in float32; None where there are none.
    float32: Of float32 numbers, as JAX multiplies them by default: with
      TensorFloat-32 on GPUs that have it, in one bfloat16 pass on TPUs.
  """

  bfloat16: float | None
  float32: float


# Patterns of `device_kind`; the first that is found counts. Makers give GPUs
# with sparsity, which is twice these.
# Where each number comes from, and which could not be confirmed, says
# docs/benchmarks.md.
PEAKS: Mapping[str, Peak] = {
  r"\bH200 NVL\b": Peak(835.5, 417.5),
  r"\bH200\b": Peak(989.5, 494.5),
  r"\bH100 NVL\b": Peak(835.5, 417.5),
  r"\bH100 PCIe\b": Peak(756.5, 378.0),
  r"\bH100\b": Peak(989.5, 494.5),
  r"\bA100\b": Peak(312.0, 156.0),
  r"\bNVIDIA L4\b": Peak(121.0, 60.0),
  r"\bT4\b": Peak(None, 8.1),
  r"^TPU v4$": Peak(275.0, 275.0),
  r"^TPU (v5 lite|v5e)$": Peak(197.0, 197.0),
  r"^TPU (v5|v5p)$": Peak(459.0, 459.0),
  r"^TPU (v6 lite|v6e)$": Peak(918.0, 918.0),
}
# A part of a GPU does a part of it.
_PART = re.compile(r"\bMIG\b")


def peak(device_kind: str, dtype: str = "float32") -> float | None:
  """Returns the most operations a second of one device.

  Args:
    device_kind: As JAX names it, such as "NVIDIA H200" or "TPU v5 lite".
    dtype: "float32" or "bfloat16".

  Returns:
    Operations a second; None for devices that are not known.
  """
  if _PART.search(device_kind):
    return None
  for pattern, found in PEAKS.items():
    if re.search(pattern, device_kind):
      value = getattr(found, dtype)
      return None if value is None else value * _TERA
  return None


def flops(program: jax.stages.Lowered | jax.stages.Compiled) -> float | None:
  """Counts the floating-point operations of a program by XLA's cost analysis.

  Of a compiled program, convolutions that a library computes may be missing;
  of a lowered one, nothing is, but what XLA leaves out when it compiles is
  counted too. The body of a loop counts once.

  Args:
    program: Lowered or compiled.

  Returns:
    Operations of one call, on all devices together for a lowered program;
    None where XLA does not say.
  """
  try:
    found = program.cost_analysis()
  except (NotImplementedError, jax.errors.JaxRuntimeError):
    return None
  if isinstance(found, list):  # As older versions of JAX return it.
    found = found[0] if found else None
  count = (found or {}).get("flops", 0.0)
  return float(count) if count > 0 else None


def rates(
  num_flops: float | None,
  seconds: float,
  device_kind: str,
  *,
  dtype: str = "float32",
  num_devices: int = 1,
) -> dict[str, float | None]:
  """Says how fast a program ran, and how near that is to the most possible.

  Args:
    num_flops: Of `flops`, of a lowered program.
    seconds: That one call took.
    device_kind: On which.
    dtype: As of `peak`.
    num_devices: How many shared it.

  Returns:
    `tflops`, 10^12 operations a second of all devices together, and
    `peak_share`, [0, 1], of what they do at most; None where unknown.
  """
  if num_flops is None:
    return {"tflops": None, "peak_share": None}
  rate, most = num_flops / seconds, peak(device_kind, dtype)
  share = None if most is None else rate / (most * num_devices)
  return {"tflops": rate / _TERA, "peak_share": share}


def memory_bytes(devices: Iterable[jax.Device]) -> dict[str, int]:
  """Reads how much of their memory devices have used, without waiting.

  Args:
    devices: Of this process.

  Returns:
    `peak`, the most that one of them held at a time, and `limit`, bytes that
    JAX may take of one; without those that the devices do not tell.
  """
  names = {"peak": "peak_bytes_in_use", "limit": "bytes_limit"}
  told = [device.memory_stats() or {} for device in devices]
  return {
    name: max(values)
    for name, key in names.items()
    if (values := [int(stats[key]) for stats in told if key in stats])
  }
