"""How much of its devices a training uses, where they are known."""

import logging
from typing import Any

from jax.sharding import Mesh

from facerep_jax.runs import arithmetic

_log = logging.getLogger(__name__)


class Meter:
  """Adds the use of devices to the timings of the training log.

  Of devices that module `arithmetic` does not know, such as CPUs, it counts
  nothing; of those that do not tell their memory it says nothing of it.

  Args:
    mesh: Devices that share a step.
    dtype: In which the networks compute.
  """

  def __init__(self, mesh: Mesh, dtype: str):
    self._devices = list(mesh.local_devices)
    self._num_devices, self._dtype = mesh.devices.size, dtype
    self._kind = self._devices[0].device_kind
    self._flops = None
    self._is_first = True

  def look(self, step: Any, *args: Any) -> None:
    """Counts the operations of a step, which was called before.

    JAX remembers what it traced and lowered for that call: nothing is traced
    or compiled again, and no device is waited for.

    Args:
      step: The jitted step.
      *args: Its arguments, of the shapes of that call.
    """
    if arithmetic.peak(self._kind, self._dtype) and hasattr(step, "lower"):
      self._flops = arithmetic.flops(step.lower(*args))

  def read(self, steps_per_second: float | None) -> dict[str, float]:
    """Reads the use of the devices.

    Args:
      steps_per_second: Over the last steps, if known.

    Returns:
      `tflops`, 10^12 operations a second of all devices; `peak_share`, [0, 1],
      of the most that they do; `device_memory_gb`, the most that a device of
      this process held so far, in 10^9 bytes. Without what is not known.
    """
    out = {}
    if self._flops and steps_per_second:
      out |= arithmetic.rates(
        self._flops,
        1 / steps_per_second,
        self._kind,
        dtype=self._dtype,
        num_devices=self._num_devices,
      )
    if self._devices[0].platform != "cpu":
      memory = arithmetic.memory_bytes(self._devices)
      if "peak" in memory:
        out["device_memory_gb"] = memory["peak"] / 1e9
    self._say(out)
    return out

  def _say(self, values):
    """Logs the first reading that is whole."""
    if self._is_first and "tflops" in values:
      self._is_first = False
      memory = values.get("device_memory_gb")
      _log.info(
        "%d x %s: %.2f TFLOP/s, %.1f %% of the most%s.",
        *(self._num_devices, self._kind, values["tflops"]),
        100 * values["peak_share"],
        "" if memory is None else f"; {memory:.2f} GB of memory",
      )
