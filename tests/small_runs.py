"""Small runs of the loop, and what they wrote."""

import jax

from facerep_jax.runs import metrics
from facerep_jax.training import loop, setup


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
