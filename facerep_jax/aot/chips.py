"""Devices that programs can be compiled for, and the memory that they have."""

import math
import re
from typing import Any, NamedTuple

from facerep_jax import errors

# Memory of a chip, in 10^9 bytes.
# Source: https://cloud.google.com/tpu/docs, the pages of the versions.
MEMORY_GB = {"v4": 32, "v5e": 16, "v5p": 95, "v6e": 32, "tpu7x": 192}
# As libtpu describes them; of the others a chip is one device.
_DEVICES_PER_CHIP = {"v4": 2, "tpu7x": 2}
_FORM = re.compile(r"([a-z0-9]+):(\d+(?:x\d+){0,2})")
_MOST_CPUS = 512


class Topology(NamedTuple):
  """Devices that need not be there.

  Attributes:
    chip: One of `MEMORY_GB`, or "cpu".
    shape: How the chips of a slice are laid out.
    num_slices: Of that shape.
  """

  chip: str
  shape: tuple[int, ...]
  num_slices: int = 1

  @property
  def name(self) -> str:
    """How the user names a slice, such as "v5e:4x4"."""
    return f"{self.chip}:{'x'.join(map(str, self.shape))}"

  @property
  def num_devices(self) -> int:
    """Of all slices, as JAX counts them."""
    per_chip = _DEVICES_PER_CHIP.get(self.chip, 1)
    return math.prod(self.shape) * self.num_slices * per_chip

  @property
  def memory_bytes(self) -> float | None:
    """Memory of a device; None where it is not known."""
    if self.chip not in MEMORY_GB:
      return None
    return 1e9 * MEMORY_GB[self.chip] / _DEVICES_PER_CHIP.get(self.chip, 1)


def parse(text: str, num_slices: int = 1) -> Topology:
  """Reads how the user names devices.

  Args:
    text: Such as "v5e:16x16" or "v4:2x2x4"; "cpu:8" for virtual CPU devices.
    num_slices: How often.

  Returns:
    The devices.

  Raises:
    InputError: There are no such devices.
  """
  found = _FORM.fullmatch(text)
  if not found or found[1] not in (*MEMORY_GB, "cpu"):
    raise errors.InputError(
      f"--topology={text}: expected one of {', '.join(MEMORY_GB)} with the "
      "shape of a slice, such as v5e:4x4 or v5p:2x2x4, or cpu:8."
    )
  shape = tuple(map(int, found[2].split("x")))
  is_cpu = found[1] == "cpu"
  if 0 in shape or (is_cpu and (len(shape) > 1 or shape[0] > _MOST_CPUS)):
    raise errors.InputError(
      f"--topology={text}: expected sizes from 1, and of cpu one, up to "
      f"{_MOST_CPUS}."
    )
  if num_slices < 1 or (is_cpu and num_slices > 1):
    raise errors.InputError(
      f"--slices={num_slices}: expected 1 or more; of cpu there is one."
    )
  return Topology(found[1], shape, num_slices)


def devices(topology: Topology) -> list[Any]:
  """Describes the devices to JAX; it needs an environment of `processes`.

  Args:
    topology: Which.

  Returns:
    What a mesh is made of.

  Raises:
    InputError: libtpu knows no slice of this shape.
  """
  import jax
  from jax.experimental import topologies

  if topology.chip == "cpu":
    return jax.devices("cpu")
  slices = topology.num_slices
  try:
    found = topologies.get_topology_desc(
      topology.name, "tpu", **({"num_slices": slices} if slices > 1 else {})
    ).devices
  except jax.errors.JaxRuntimeError as error:
    raise errors.InputError(
      f"--topology={topology.name}: libtpu refuses it: {error}"
    ) from error
  if len(found) != topology.num_devices:
    raise errors.InputError(
      f"--topology={topology.name}: libtpu describes {len(found)} devices, not "
      f"{topology.num_devices}. Install the libtpu that this JAX asks for."
    )
  return found
