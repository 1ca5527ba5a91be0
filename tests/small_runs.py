"""Small runs of the loop, and what they wrote."""

import os

import jax

from facerep_jax.runs import metrics
from facerep_jax.training import loop, setup

# Environment of a process of its own that runs on one device, and compiles as
# little as the suite does.
ONE_DEVICE = {
  "XLA_FLAGS": os.environ["XLA_FLAGS"].replace(
    "device_count=8", "device_count=1"
  )
}


def fit(config, workdir, num_devices=1, hook=None):
  """Trains; `hook(prepared)` may change what the loop works with."""
  prepared, state = setup.prepare(
    config, workdir, config.data.path, jax.devices()[:num_devices]
  )
  if hook:
    hook(prepared)
  return prepared, loop.train(prepared, state)


def readings(workdir):
  """The metrics without those of the host's clock."""
  return [
    {k: v for k, v in line.items() if k not in metrics.HOST_READINGS}
    for line in metrics.read(workdir)
  ]
