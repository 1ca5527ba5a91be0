import json
import os
import subprocess
import sys

import pytest

from facerep_jax import cpu_devices

_PROGRAM = """
import json, sys
{before}
from facerep_jax import cpu_devices
cpu_devices.one_per_core()
import jax
print(json.dumps([len(jax.devices()), cpu_devices.num_cores()]))
"""


def count(before="", **environment):
  """Devices that a fresh process sees, and its cores."""
  known = {
    k: v
    for k, v in os.environ.items()
    if k not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
  }
  out = subprocess.run(
    [sys.executable, "-c", _PROGRAM.format(before=before)],
    env=known | {"JAX_PLATFORMS": "cpu"} | environment,
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(out.stdout)


@pytest.mark.parametrize("before", ["", "import jax"])
def test_each_core_is_a_device(before):
  devices, cores = count(before)
  assert devices == cores


@pytest.mark.parametrize(
  "environment",
  [
    {"JAX_NUM_CPU_DEVICES": "3"},
    {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"},
  ],
)
def test_the_environment_has_the_say(environment):
  assert count(**environment)[0] == 3


def test_only_a_missing_variable_is_added():
  environment = {"JAX_NUM_CPU_DEVICES": "5"}
  cpu_devices.one_per_core(environment)
  assert environment == {"JAX_NUM_CPU_DEVICES": "5"}
