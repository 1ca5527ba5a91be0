"""One JAX device per CPU core.

XLA keeps little more than one core busy at the sizes of small networks. Split
over one device per core, a batch keeps all of them busy.
"""

import os
import sys
from collections.abc import MutableMapping

_VARIABLE = "JAX_NUM_CPU_DEVICES"
_FLAG = "xla_force_host_platform_device_count"


def one_per_core(environment: MutableMapping[str, str] = os.environ) -> None:
  """Asks JAX for as many CPU devices as this process may use cores.

  To be called before JAX looks for devices. Whoever sets JAX_NUM_CPU_DEVICES,
  or XLA_FLAGS with `xla_force_host_platform_device_count`, has the say. GPUs
  and TPUs are not affected.

  Args:
    environment: Variables; JAX_NUM_CPU_DEVICES is added.
  """
  if _VARIABLE in environment or _FLAG in environment.get("XLA_FLAGS", ""):
    return
  count = num_cores()
  environment[_VARIABLE] = str(count)
  if "jax" in sys.modules:  # It has read its variables already.
    sys.modules["jax"].config.update("jax_num_cpu_devices", count)


def num_cores() -> int:
  """Returns how many cores this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
